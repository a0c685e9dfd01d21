"""
What a service accepts and offers: GATEWAY is the seed's page, OFFICIAL the vendor's own API.

A service that allows more is one `attrs.evolve` away: `attrs.evolve(GATEWAY, prompt_max=2500)`.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.endpoints.base import ID_LENGTH, stands_in_path
from kling_async.wire.redaction import hide_query, shorten
from kling_async.wire.tasks import AspectRatio, ImageReference, ImageRequest, Model, Resolution, describe_image

__all__ = [
    "GATEWAY",
    "HALF_A_PAIR",
    "OFFICIAL",
    "WHOLE_CHARACTERS",
    "Dialect",
    "ImageFacts",
    "broken_rules",
    "dialect_of",
]

_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""
What no prompt is written with: such a character comes from text in another encoding, or from what is no text. Tabs and
line breaks are written by people, in cells of tables and in forms of web pages.
"""

MIB: Final = 1024 * 1024

HALF_A_PAIR: Final = re.compile("[\ud800-\udfff]")
"""
What no text can be sent with, nor any file be named: JSON and Python can hold half of a character.
"""

WHOLE_CHARACTERS: Final = "must be whole Unicode characters: it holds half of a surrogate pair"


@attrs.frozen(kw_only=True)
class Dialect:
    """
    The limits, models and abilities of one kind of service.

    Attributes:
        name: "gateway" or "official": what a batch remembers of its service, and the emulator plays.
        prompt_max: Characters, as `len` counts them.
        negative_prompt_max: Characters, too.
        models: Those that the service offers.
        aspect_ratios: As they are written on the wire, "16:9".
        resolutions: Likewise, "1k"; empty where the service takes none.
        default_model: What the service runs when no model is named; its slots are what an unset model takes.
        names_default_model: Whether to name it anyway, where the service's own documents disagree about the default.
        unknown_models: "refuse" a model that is not in `models`, or "pass" it on.
        models_needing_image_reference: Models that take an image only together with `image_reference`.
        negative_prompt_with_image: Whether both may be sent in one request.
        n_max: Most pictures for one request.
        image_max_bytes: Of the picture itself, before Base64. The pages say "10 MB"; we read it as 10 MiB.
        image_min_side: Pixels.
        image_max_ratio: Long side to short side; None where the service sets no limit.
        external_ids: Whether an id of ours can be sent, and tasks be found by it.
        lists: Whether tasks can be listed.
        ids_per_read: How many tasks one request can ask for by their ids; 1 where that is not offered.
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
    models_needing_image_reference: tuple[str, ...] = (Model.V1_5,)
    negative_prompt_with_image: bool = True
    n_max: int = 9
    image_max_bytes: int = 10 * MIB
    image_min_side: int = 300
    image_max_ratio: float | None = None
    external_ids: bool = False
    lists: bool = False
    ids_per_read: int = 1


_SEED_RATIOS: Final = tuple(ratio.value for ratio in AspectRatio if ratio is not AspectRatio.R21_9)

GATEWAY: Final = Dialect(
    name="gateway",
    prompt_max=500,
    negative_prompt_max=200,
    models=(Model.V1.value, Model.V1_5.value, Model.V2.value),
    default_model=Model.V1.value,
    aspect_ratios=_SEED_RATIOS,
)
"""
The page "Image Generation" of the gateway api.gpt.ge, which others repeat. It tells of no external ids, no lists and no
resolutions; what a gateway of yours has beyond that, `attrs.evolve` adds.
"""

OFFICIAL: Final = Dialect(
    name="official",
    prompt_max=2500,
    negative_prompt_max=2500,
    models=tuple(model.value for model in Model),
    default_model=Model.V3.value,
    names_default_model=True,
    aspect_ratios=(*_SEED_RATIOS, AspectRatio.R21_9.value),
    resolutions=tuple(resolution.value for resolution in Resolution),
    negative_prompt_with_image=False,
    image_max_ratio=2.5,
    external_ids=True,
    lists=True,
    ids_per_read=20,
)
"""
The vendor's own API, by its reference of September 2026.
"""

_VENDOR_HOSTS: Final = ("klingai.com", "kling.ai")


def dialect_of(base_url: str) -> Dialect:
    """
    Return OFFICIAL for the vendor's hosts and GATEWAY for any other.
    """
    host = urlsplit(base_url).hostname or ""
    is_vendor = any(host == vendor or host.endswith("." + vendor) for vendor in _VENDOR_HOSTS)
    return OFFICIAL if is_vendor else GATEWAY


@attrs.frozen
class ImageFacts:
    """
    What is known of a reference image before it is sent.

    Attributes:
        size_in_bytes: Bytes of the picture itself, before Base64.
        kind: By its content, not its name; None for anything but png and jpg.
        width: Pixels, None where the header does not tell.
        height: Pixels, None likewise.
        flaw: Why the file is truncated or damaged, worded as a broken rule; None if it is complete or was not checked.
    """

    size_in_bytes: int
    kind: Literal["png", "jpg"] | None
    width: int | None = None
    height: int | None = None
    flaw: str | None = None


def broken_rules(dialect: Dialect, request: ImageRequest, image: ImageFacts | None = None) -> tuple[BrokenRule, ...]:
    """
    Return every rule of *dialect* that *request* breaks; *image* is what is known of its reference image.
    """
    return (
        *_text_rules(dialect, request),
        *_unicode_rules(request),
        *_number_rules(dialect, request),
        *_choice_rules(dialect, request),
        *_image_rules(dialect, request),
        *(_picture_rules(dialect, request, image) if image else ()),
        *_address_rules(dialect, request),
    )


def _text_rules(dialect: Dialect, request: ImageRequest) -> Iterator[BrokenRule]:
    prompt: Any = request.prompt
    negative: Any = request.negative_prompt
    if not isinstance(prompt, str) or not prompt.strip() or len(prompt) > dialect.prompt_max:
        yield _broken(
            "prompt", prompt, f"must be text of 1 to {dialect.prompt_max} characters, not all blank{_length(prompt)}"
        )
    if negative is not None and (not isinstance(negative, str) or len(negative) > dialect.negative_prompt_max):
        rule = f"must be text of at most {dialect.negative_prompt_max} characters{_length(negative)}"
        yield _broken("negative_prompt", negative, rule)


def _unicode_rules(request: ImageRequest) -> Iterator[BrokenRule]:
    for field in ("prompt", "negative_prompt", "model_name", "callback_url"):
        value: Any = getattr(request, field)
        if isinstance(value, str) and HALF_A_PAIR.search(value):
            yield _broken(field, value, WHOLE_CHARACTERS)
        if isinstance(value, str) and (control := _CONTROL.search(value)):
            where = f"U+{ord(control[0]):04X} at character {control.start() + 1}"
            yield _broken(field, value, f"must hold no control characters but tabs and line breaks; it has {where}")


def _number_rules(dialect: Dialect, request: ImageRequest) -> Iterator[BrokenRule]:
    n: Any = request.n
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= dialect.n_max:
        yield _broken("n", n, f"must be a whole number from 1 to {dialect.n_max}")
    fidelities: dict[str, Any] = {
        "image_fidelity": request.image_fidelity,
        "human_fidelity": request.human_fidelity,
    }
    for field, fidelity in fidelities.items():
        if fidelity is None:
            continue
        # "not (0 <= x <= 1)" also refuses NaN
        if not isinstance(fidelity, int | float) or isinstance(fidelity, bool) or not 0 <= fidelity <= 1:
            yield _broken(field, fidelity, "must be a number from 0 to 1")


def _choice_rules(dialect: Dialect, request: ImageRequest) -> Iterator[BrokenRule]:
    if request.aspect_ratio is not None and request.aspect_ratio not in dialect.aspect_ratios:
        yield _broken("aspect_ratio", request.aspect_ratio, _one_of(dialect.aspect_ratios))
    if request.resolution is not None and request.resolution not in dialect.resolutions:
        rule = _one_of(dialect.resolutions) if dialect.resolutions else f"is not taken by {dialect.name} services"
        yield _broken("resolution", request.resolution, rule)
    model: Any = request.model_name
    if model is None:
        return
    if not isinstance(model, str) or not model:
        yield _broken("model_name", model, "must be a model's name")
    elif model not in dialect.models and dialect.unknown_models == "refuse":
        hint = 'another one passes with attrs.evolve(dialect, unknown_models="pass")'
        yield _broken("model_name", model, f"{_one_of(dialect.models)}; {hint}")


_REFERENCES: Final = tuple(kind.value for kind in ImageReference)


def _image_rules(dialect: Dialect, request: ImageRequest) -> Iterator[BrokenRule]:
    if request.image_reference is not None and request.image_reference not in _REFERENCES:
        yield _broken("image_reference", request.image_reference, _one_of(_REFERENCES))
    if request.image is None:
        if request.image_reference is not None:
            yield _broken("image_reference", request.image_reference, "needs an image")
        return
    model = request.model_name or dialect.default_model
    if request.image_reference is None and model in dialect.models_needing_image_reference:
        yield _broken("image_reference", None, f"is required where {model} is given an image: {_one_of(_REFERENCES)}")
    if request.negative_prompt and not dialect.negative_prompt_with_image:
        yield _broken("negative_prompt", request.negative_prompt, "cannot be combined with an image")


def _picture_rules(dialect: Dialect, request: ImageRequest, image: ImageFacts) -> Iterator[BrokenRule]:
    shown = describe_image(request.image)
    if image.size_in_bytes > dialect.image_max_bytes:
        limit = f"{dialect.image_max_bytes} bytes"
        yield BrokenRule("image", shown, f"must be at most {limit} before Base64; it has {image.size_in_bytes}")
    if image.kind is None:
        yield BrokenRule("image", shown, "must be a jpg or png picture, by its content")
        return
    if not image.width or not image.height:
        yield BrokenRule("image", shown, "has a damaged header: its sides cannot be read")
        return
    if image.flaw is not None:
        yield BrokenRule("image", shown, image.flaw)
    sides = f"it has {image.width}x{image.height}"
    if min(image.width, image.height) < dialect.image_min_side:
        yield BrokenRule("image", shown, f"must have sides of at least {dialect.image_min_side} pixels; {sides}")
    ratio = max(image.width, image.height) / min(image.width, image.height)
    if dialect.image_max_ratio is not None and ratio > dialect.image_max_ratio:
        limit = f"1:{dialect.image_max_ratio:g} to {dialect.image_max_ratio:g}:1"
        yield BrokenRule("image", shown, f"must have a ratio of {limit}; {sides}")


def _address_rules(dialect: Dialect, request: ImageRequest) -> Iterator[BrokenRule]:
    if request.callback_url is not None and not _is_absolute(request.callback_url):
        yield _broken("callback_url", request.callback_url, "must be an absolute http(s) URL")
    external_id: Any = request.external_task_id
    if external_id is None:
        return
    if not dialect.external_ids:
        yield _broken("external_task_id", external_id, f"is not taken by {dialect.name} services")
    elif not isinstance(external_id, str) or not stands_in_path(external_id):
        yield _broken(
            "external_task_id", external_id, f"must be text of at most {ID_LENGTH} characters that can stand in a path"
        )


def _is_absolute(url: object) -> bool:
    if not isinstance(url, str) or any(character.isspace() for character in url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _broken(field: str, value: object, rule: str) -> BrokenRule:
    if isinstance(value, str):
        return BrokenRule(field, repr(shorten(hide_query(value) if field.endswith("_url") else value)), rule)
    try:
        return BrokenRule(field, shorten(repr(value)), rule)
    except ValueError:  # Python refuses to write a number of more than 4300 digits
        return BrokenRule(field, f"<{type(value).__name__}>", rule)


def _one_of(words: tuple[str, ...]) -> str:
    return "must be one of " + ", ".join(words)


def _length(text: object) -> str:
    return f"; it has {len(text)}" if isinstance(text, str) else ""
