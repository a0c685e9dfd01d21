"""
What a service accepts and offers: GATEWAY is what gateways document, OFFICIAL the vendor's own API.

A service that allows more is one `attrs.evolve` away: `attrs.evolve(GATEWAY, prompt_max=2500)`. A TOML file can say the
same. `Dialect.load` is the only function of `wire` that reads a file.
"""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import attrs

from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.wire.redaction import hide_secrets, one_line, shorten
from kling_async.wire.suggestions import nearest_names, show_unknown, unknown_field_rule

__all__ = ["DIALECTS", "GATEWAY", "OFFICIAL", "Dialect", "dialect_of", "read_dialect", "toml_fields"]


LONGEST_SHOWN: Final = 12
"""
Maximum length of a name without ".toml" that errors show. A longer one may be a key.
"""

MIB: Final = 1024 * 1024

_LARGEST: Final = 2**63 - 1
"""
The largest whole number that TOML promises. Python refuses to print much larger ones.
"""


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

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> "Dialect":
        """
        Return the dialect of a name, "gateway" or "official", or of a TOML file.

        The file has `base = "gateway"` or `base = "official"`, and the fields that differ from it. A list replaces the
        list of the base; `image_max_ratio = inf` sets no limit.

        Raises:
            InvalidRequest: The file cannot be read, or breaks rules: all are named, with field and value.
        """
        word = source.strip().lower() if isinstance(source, str) else ""
        if word in DIALECTS:
            return DIALECTS[word]
        name = _shown_path(source)
        try:
            text = Path(source).read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InvalidRequest(f"{name}: is not a TOML file: it is not UTF-8") from None
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            near = " or ".join(nearest_names(word, DIALECTS))
            hint = f"; did you mean {near}?" if near else ""
            what = f"a dialect is {' or '.join(DIALECTS)}, or the path of a TOML file{hint}"
            raise InvalidRequest(f"{name}: {reason}; {what}") from None
        return read_dialect(text, name)


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

DIALECTS: Final[Mapping[str, Dialect]] = {dialect.name: dialect for dialect in (GATEWAY, OFFICIAL)}
"""
The built-in dialects by their names.
"""

_VENDOR_HOSTS: Final = ("klingai.com", "kling.ai")


def dialect_of(base_url: str) -> Dialect:
    """
    Return OFFICIAL for the vendor's hosts and GATEWAY for any other.
    """
    host = urlsplit(base_url).hostname or ""
    is_vendor = any(host == vendor or host.endswith("." + vendor) for vendor in _VENDOR_HOSTS)
    return OFFICIAL if is_vendor else GATEWAY


# As TOML


def toml_fields(dialect: Dialect) -> dict[str, str]:
    """
    Return the values of *dialect* as TOML, for all fields that a file may have besides `base`.
    """
    values = {name: getattr(dialect, name) for name in _FIELDS}
    return {name: "inf" if value is None else json.dumps(value, ensure_ascii=False) for name, value in values.items()}


def read_dialect(text: str, name: str) -> Dialect:
    """
    Read the text of a TOML file; see `Dialect.load`.

    Args:
        name: The file's name, for errors.

    Raises:
        InvalidRequest: It is not TOML, or breaks rules.
    """
    try:
        import tomllib  # noqa: PLC0415 (most programs load no file)

        given: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{name}: is not a TOML file: {hide_secrets(str(error))}") from None
    if broken := tuple(_broken_rules(given)):
        raise InvalidRequest(f"{name}: {'; '.join(map(str, broken))}", broken=broken)
    base = DIALECTS[given.pop("base")]
    if given.get("image_max_ratio") == math.inf:
        given["image_max_ratio"] = None
    lists = {field: tuple(cast("list[str]", value)) for field, value in given.items() if isinstance(value, list)}
    return attrs.evolve(base, **{**given, **lists})


def _broken_rules(given: Mapping[str, Any]) -> Iterator[BrokenRule]:
    rules = {field: _rule_of(field, value) for field, value in given.items() if field in _FIELDS}
    for field, rule in rules.items():
        if rule is not None:
            yield BrokenRule(field, show_unknown(field, given[field]), rule)
    for field in (each for each in given if each not in _FIELDS and each != "base"):
        rule = unknown_field_rule(
            "a dialect", field, ("base", *_FIELDS), lists_fields=not nearest_names(field, _FIELDS)
        )
        yield BrokenRule(shorten(one_line(field)), show_unknown(field, given[field]), rule)
    base = given.get("base")
    if not isinstance(base, str) or base not in DIALECTS:
        yield BrokenRule("base", show_unknown("base", base) if "base" in given else "<missing>", _one_of(DIALECTS))
    elif not any(rules.get(field) for field in _OF_MODELS):
        unknown, models, default = (given.get(field, getattr(DIALECTS[base], field)) for field in _OF_MODELS)
        if unknown == "refuse" and default not in models:
            rule = f"must be one of models ({', '.join(models)}), unless unknown_models is 'pass'"
            yield BrokenRule("default_model", show_unknown("default_model", default), rule)


def _rule_of(field: str, value: Any) -> str | None:
    # Returns the rule that a value breaks.
    kind = _FIELDS[field]
    rule = "must be a number of at least 1, or inf for no limit"
    if kind is bool:
        is_right, rule = isinstance(value, bool), "must be true or false"
    elif kind is int:
        is_right, rule = type(value) is int and 1 <= value <= _LARGEST, "must be a whole number of at least 1"
    elif kind is str:
        is_right, rule = _is_text(value), "must be text, not empty and without control characters"
    elif get_origin(kind) is Literal:
        is_right, rule = value in get_args(kind), _one_of(get_args(kind))
    elif field == "aspect_ratios":
        is_right, rule = _is_list_of(_is_ratio, value), 'must be a list such as ["16:9", "1:1"]'
    elif get_origin(kind) is tuple:
        is_right, rule = _is_list_of(_is_text, value), "must be a list of texts, none of them empty"
    else:
        is_right = type(value) in (int, float) and value >= 1
    return None if is_right else rule


def _is_list_of(is_right: Callable[[object], bool], value: object) -> bool:
    return isinstance(value, list) and all(is_right(each) for each in cast("list[object]", value))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _is_ratio(value: object) -> bool:
    sides = value.split(":") if isinstance(value, str) and value.isascii() else []
    return len(sides) == 2 and all(side.isdecimal() and len(side) < 5 and int(side) > 0 for side in sides)


def _one_of(words: Iterable[str]) -> str:
    return "must be " + " or ".join(map(repr, words))


def _shown_path(source: str | os.PathLike[str]) -> str:
    is_path = not isinstance(source, str) or len(source) <= LONGEST_SHOWN or source.endswith(".toml")
    return (one_line(os.fspath(source)) or "''") if is_path else "<str>"


_OF_MODELS: Final = ("unknown_models", "models", "default_model")

_FIELDS: Final[Mapping[str, Any]] = {field: kind for field, kind in get_type_hints(Dialect).items() if field != "name"}
"""
The fields that a file may have besides `base`, which decides the name, and their types.
"""
