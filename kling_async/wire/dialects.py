"""
What a service accepts and offers: GATEWAY is what gateways document, OFFICIAL the vendor's own API.

A service that allows more is one `attrs.evolve` away: `attrs.evolve(GATEWAY, prompt_max=2500)`.
"""

from typing import Final, Literal
from urllib.parse import urlsplit

import attrs

from kling_async.errors import BrokenRule, InvalidRequest

__all__ = ["GATEWAY", "OFFICIAL", "Dialect", "dialect_named", "dialect_of"]


LONGEST_SHOWN: Final = 12
"""
Maximum length of a name that errors show. A longer one may be a key.
"""

MIB: Final = 1024 * 1024


@attrs.frozen(kw_only=True)
class Dialect:
    """
    The limits, models and abilities of one kind of service.

    Attributes:
        name: "gateway" or "official": a batch's journal stores it, and the emulator takes it as its mode.
        prompt_max: Characters, as `len` counts them.
        negative_prompt_max: Characters.
        models: The models that the service offers.
        aspect_ratios: As they are written on the wire, "16:9".
        resolutions: As they are written on the wire, "1k"; empty if the service takes none.
        default_model: The model that the service runs if none is named; such requests take its slots.
        names_default_model: Whether to name it in each request, because the service's own documents disagree about it.
        unknown_models: "refuse" a model that is not in `models`, or "pass" it on.
        models_needing_image_reference: Models that take an image only together with `image_reference`.
        negative_prompt_with_image: Whether both may be sent in one request.
        n_max: Most pictures for one request.
        image_max_bytes: Of the picture itself, before Base64. The pages say "10 MB"; we read it as 10 MiB.
        image_min_side: Pixels.
        image_max_ratio: Long side to short side; None if the service sets no limit.
        sound_max_bytes: Of the sound itself, before Base64. The pages say "5 MB"; we read it as 5 MiB.
        external_ids: Whether an id of ours can be sent, and tasks be found by it.
        lists: Whether tasks can be listed.
        default_video_model: The model of videos for which a request names none; it is sent in each request.
        refuses_retired: Whether models that the vendor has retired are refused here.
        standard: Which of the vendor's standards it speaks: "legacy only"; "legacy", and the new one where a model has
            no legacy path; or "new" wherever an endpoint has it.
        account_pages: Whether the account's packs and deductions can be read.
        ids_per_read: How many tasks one request can ask for by their ids; 1 if that is not offered.
    """

    name: str
    prompt_max: int
    negative_prompt_max: int
    models: tuple[str, ...]
    default_model: str
    aspect_ratios: tuple[str, ...]
    resolutions: tuple[str, ...] = ()
    names_default_model: bool = False
    unknown_models: Literal["refuse", "pass"] = "refuse"
    models_needing_image_reference: tuple[str, ...] = ("kling-v1-5",)
    negative_prompt_with_image: bool = True
    n_max: int = 9
    image_max_bytes: int = 10 * MIB
    image_min_side: int = 300
    image_max_ratio: float | None = None
    sound_max_bytes: int = 5 * MIB
    external_ids: bool = False
    lists: bool = False
    default_video_model: str = "kling-v2-5-turbo"
    refuses_retired: bool = False
    standard: Literal["legacy only", "legacy", "new"] = "legacy only"
    ids_per_read: int = 1
    account_pages: bool = False


_GATEWAY_RATIOS: Final = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3")

GATEWAY: Final = Dialect(
    name="gateway",
    prompt_max=500,
    negative_prompt_max=200,
    models=("kling-v1", "kling-v1-5", "kling-v2"),
    default_model="kling-v1",
    aspect_ratios=_GATEWAY_RATIOS,
)
"""
The page "Image Generation" of the gateway api.gpt.ge, which others repeat. It has no external ids, no lists and no
resolutions; if your gateway has more, add it by `attrs.evolve`.
"""

OFFICIAL: Final = Dialect(
    name="official",
    prompt_max=2500,
    negative_prompt_max=2500,
    models=("kling-v1", "kling-v1-5", "kling-v2", "kling-v2-new", "kling-v2-1", "kling-v3"),
    default_model="kling-v3",
    names_default_model=True,
    aspect_ratios=(*_GATEWAY_RATIOS, "21:9"),
    resolutions=("1k", "2k"),
    negative_prompt_with_image=False,
    image_max_ratio=2.5,
    external_ids=True,
    lists=True,
    default_video_model="kling-v3",
    refuses_retired=True,
    standard="legacy",
    ids_per_read=20,
    account_pages=True,
)
"""
The vendor's own API, by its reference of September 2026.
"""


def dialect_named(name: str) -> Dialect:
    """
    Return the dialect of this package with this name.

    Raises:
        InvalidRequest: There is none.
    """
    known = {dialect.name: dialect for dialect in (GATEWAY, OFFICIAL)}
    if (dialect := known.get(name.strip().lower())) is None:
        rule = f"must be {' or '.join(map(repr, known))}, or a Dialect such as attrs.evolve(GATEWAY, prompt_max=2500)"
        shown = repr(name) if len(name) <= LONGEST_SHOWN else "<str>"
        broken = BrokenRule("dialect", shown, rule)
        raise InvalidRequest(str(broken), broken=(broken,))
    return dialect


_VENDOR_HOSTS: Final = ("klingai.com", "kling.ai")


def dialect_of(base_url: str) -> Dialect:
    """
    Return OFFICIAL for the vendor's hosts and GATEWAY for any other.
    """
    host = urlsplit(base_url).hostname or ""
    is_vendor = any(host == vendor or host.endswith("." + vendor) for vendor in _VENDOR_HOSTS)
    return OFFICIAL if is_vendor else GATEWAY
