"""
Requests for videos in the vendor's new standard, which some models need and others have beside the legacy one.

A request is written in the legacy standard first; the functions here turn that body into the other. The service ignores
what it does not know and bills all the same, so only documented fields are written.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from kling_async.errors import BrokenRule
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import NewStandard
from kling_async.wire.endpoints.rules import broken
from kling_async.wire.endpoints.video_models import facts_of_model, model_of_segment
from kling_async.wire.endpoints.video_rules import Shot, VideoRequest, model_of

__all__ = [
    "RESOLUTIONS",
    "contents_from",
    "contents_of",
    "new_standard",
    "new_standard_rules",
    "prompt_from",
    "prompt_of",
    "settings_of",
    "unknown_item",
    "with_contents",
    "with_options",
    "with_prompt",
]

RESOLUTIONS: Final = {"std": "720p", "pro": "1080p", "4k": "4k"}
_MODES: Final = {resolution: mode for mode, resolution in RESOLUTIONS.items()}
_SOUNDS: Final = {"on": "native", "off": "off"}
PROMPT_MAX: Final = 3072
"""
Characters of a prompt in the new standard; shots are lines of it.
"""

_OPTIONS: Final = ("callback_url", "external_task_id", "watermark_info")
_CONTENTS: Final = {"first_frame": "image", "last_frame": "image_tail"}


def new_standard(
    path: str,
    to_body: Callable[[Mapping[str, Any]], dict[str, Any]],
    from_body: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> NewStandard[Any]:
    """
    Return the new standard of an endpoint whose models are named in its path.
    """
    return NewStandard(
        path=path, segment=_segment_of, is_needed=_is_needed, to_body=to_body, from_body=_reader(from_body)
    )


def new_standard_rules(request: VideoRequest, dialect: Dialect, missing: tuple[str, ...]) -> Iterator[BrokenRule]:
    """
    Check that a request which is sent in the new standard has none of the fields that are *missing* there.
    """
    if not _is_spoken(request, dialect):
        return
    for field in missing:
        if (value := getattr(request, field)) not in (None, ()):
            yield broken(field, value, "is not taken in the vendor's new standard, which would ignore it and bill")
    shots: Any = getattr(request, "multi_prompt", ())
    if isinstance(shots, tuple) and all(isinstance(shot, Shot) for shot in shots):
        length = sum(len(_shot_line(number, shot.duration, shot.prompt)) + 1 for number, shot in enumerate(shots, 1))
        if length > PROMPT_MAX:
            rule = f"must be at most {PROMPT_MAX} characters together in the vendor's new standard; they are {length}"
            yield BrokenRule("multi_prompt", "the prompts of the shots", rule)


def _is_spoken(request: VideoRequest, dialect: Dialect) -> bool:
    return dialect.standard == "new" or (dialect.standard == "legacy" and _is_needed(request, dialect))


def _is_needed(request: VideoRequest, dialect: Dialect) -> bool:
    facts = facts_of_model(model_of(request, dialect))
    return facts is not None and facts.is_new_only


def _segment_of(request: VideoRequest, dialect: Dialect) -> str:
    model = model_of(request, dialect)
    facts = facts_of_model(model)
    return model if facts is None or facts.segment is None else facts.segment


def settings_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the settings for the *fields* of a legacy body. The resolution is always set, since its default is documented
    nowhere and decides the price; and so are several shots, since they are the default.
    """
    facts = facts_of_model(fields.get("model_name"))
    settings: dict[str, Any] = {"resolution": RESOLUTIONS[fields.get("mode", "std")]}
    if "duration" in fields:
        settings["duration"] = int(fields["duration"])
    if "aspect_ratio" in fields:
        settings["aspect_ratio"] = fields["aspect_ratio"]
    if "sound" in fields and not (facts is not None and facts.always_has_sound):
        settings["audio"] = _SOUNDS[fields["sound"]]
    if facts is None or facts.has_shots:
        settings["multi_shot"] = fields.get("multi_shot", False)
    return settings


def prompt_of(fields: Mapping[str, Any]) -> str:
    """
    Return the prompt for the *fields* of a legacy body; several shots are lines of it.
    """
    shots = fields.get("multi_prompt")
    if not shots:
        return str(fields.get("prompt", ""))
    return "\n".join(
        _shot_line(shot["index"], shot["duration"], " ".join(shot["prompt"].splitlines())) for shot in shots
    )


def _shot_line(number: int, seconds: object, prompt: str) -> str:
    return f"shot {number}, {seconds}, {prompt};"


def with_prompt(fields: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the body of a request for a video from text.
    """
    return with_options({"prompt": prompt_of(fields), "settings": settings_of(fields)}, fields)


def with_contents(fields: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the body of a request for a video from pictures.
    """
    urls = [{"type": kind, "url": fields[field]} for kind, field in _CONTENTS.items() if field in fields]
    return with_options({"contents": contents_of(fields, urls), "settings": settings_of(fields)}, fields)


def contents_of(fields: Mapping[str, Any], inputs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """
    Return the contents of a body: the prompt if there is one, *inputs*, and the elements and voices. The prompt refers
    to those by their ids, "element_1" and so on.
    """
    prompt = prompt_of(fields)
    named = [
        {"type": kind, **item, "id": f"{kind}_{number}"}
        for kind in ("element", "voice")
        for number, item in enumerate(fields.get(f"{kind}_list", ()), start=1)
    ]
    return [*([{"type": "prompt", "text": prompt}] if prompt else []), *inputs, *named]


def with_options(body: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return *body* with the options for the *fields* of a legacy body, if there are any.
    """
    options = _options_in(fields)
    return {**body, "options": options} if options else body


def _reader(
    from_body: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> Callable[[Mapping[str, Any], str], dict[str, Any]]:
    def read(body: Mapping[str, Any], segment: str) -> dict[str, Any]:
        settings, options = body.get("settings") or {}, body.get("options") or {}
        if not isinstance(settings, Mapping) or not isinstance(options, Mapping):
            raise ValueError("settings and options must be objects")  # noqa: TRY004 (the contract of readers)
        fields = {"model_name": model_of_segment(segment), **_options_in(options)}
        _read_settings(settings, fields)
        return {**fields, **from_body(body)}

    return read


def _read_settings(settings: Mapping[str, Any], fields: dict[str, Any]) -> None:
    for name in ("aspect_ratio", "multi_shot"):
        if name in settings:
            fields[name] = settings[name]
    if settings.get("multi_shot") is True:
        fields["shot_type"] = "intelligence"  # the shots are lines of the prompt
    if "resolution" in settings:
        fields["mode"] = _MODES.get(settings["resolution"], settings["resolution"])
    if "duration" in settings:
        fields["duration"] = str(settings["duration"])
    if "audio" in settings:
        fields["sound"] = {"native": "on"}.get(settings["audio"], settings["audio"])


def prompt_from(body: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the legacy fields of what `with_prompt` wrote, except its settings and options.
    """
    return {"prompt": body.get("prompt")}


def contents_from(body: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the legacy fields of what `with_contents` wrote, except its settings and options.

    Raises:
        ValueError: It has an item of a type that is not known.
    """
    fields: dict[str, Any] = {}
    for place, item in enumerate(body.get("contents") or ()):
        match item:
            case {"type": "prompt", "text": text}:
                fields["prompt"] = text
            case {"type": "first_frame" | "last_frame" as kind, "url": url}:
                fields[_CONTENTS[kind]] = url
            case {"type": "element" | "voice" as kind}:
                name = f"{kind}_id"
                fields.setdefault(f"{kind}_list", []).append({name: item.get(name)})
            case _:
                raise unknown_item(item, place)
    return fields


def _options_in(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in _OPTIONS if name in fields}


def unknown_item(item: Any, place: int) -> ValueError:
    """
    Return the error for an item of `contents` that is not known, in the service's words.
    """
    if isinstance(item, Mapping) and "type" in item:
        return ValueError(f"contents[{place}].type value '{item['type']}' is invalid")
    return ValueError(f"contents[{place}] cannot be empty")
