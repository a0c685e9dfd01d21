"""
Rules and prices that endpoints for videos share.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, Protocol

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import TaskRequest, as_tuple
from kling_async.wire.endpoints.rules import broken, choice_rule, flag_rule, number_rule, one_of, text_rule
from kling_async.wire.endpoints.video_models import MODES, ModelFacts, facts_of_model, model_rules
from kling_async.wire.field_metadata import WireForm
from kling_async.wire.redaction import shown_text

__all__ = [
    "PROMPT_MAX",
    "RATIOS",
    "SHOTS",
    "Shot",
    "VideoRequest",
    "as_tuple",
    "bucket_of",
    "camera_rules",
    "caption_of_shots",
    "duration_rules",
    "facts_for",
    "mode_rules",
    "model_choice_rules",
    "model_of",
    "only_retired",
    "prompt_rules",
    "shot_rules",
    "sound_rules",
    "units_per_second",
]

RATIOS: Final = ("16:9", "9:16", "1:1")

PROMPT_MAX: Final = 2500
"""
Characters of a prompt or a negative prompt for a video.
"""

SHOT_PROMPT_MAX: Final = 512
SHOTS_MAX: Final = 6

_OF_ANY_MODEL: Final = tuple(range(3, 61))
"""
Seconds of a model that is not known: no model makes less, and the longest that relays announce are 30.
"""

SHOT_TYPES: Final = ("customize", "intelligence")


_CAMERA: Final = ("simple", "down_back", "forward_up", "right_turn_forward", "left_turn_forward")

_AXES: Final = ("horizontal", "vertical", "pan", "tilt", "roll", "zoom")


class VideoRequest(TaskRequest, Protocol):
    """
    The fields that requests for videos of a chosen model have.
    """

    @property
    def model_name(self) -> str | None: ...

    @property
    def mode(self) -> str | None: ...

    @property
    def duration(self) -> float | None: ...

    @property
    def sound(self) -> bool | None: ...


class _ShotsRequest(VideoRequest, Protocol):
    @property
    def prompt(self) -> str | None: ...

    @property
    def multi_shot(self) -> bool | None: ...

    @property
    def shot_type(self) -> str | None: ...

    @property
    def multi_prompt(self) -> "tuple[Shot, ...]": ...


@explained
@attrs.frozen
class Shot:
    """
    One shot of a video that has several.

    Attributes:
        prompt: What it shows; 512 characters at most.
        duration: Seconds, 1 or more; those of all shots add up to the duration of the video.
    """

    prompt: str = attrs.field(repr=shown_text)
    duration: float


def _write_shots(shots: Any) -> list[dict[str, Any]]:
    return [
        {"index": number, "prompt": shot.prompt, "duration": f"{shot.duration:g}"}
        for number, shot in enumerate(shots, start=1)
    ]


def _read_shots(items: Any) -> tuple[Shot, ...]:
    if not isinstance(items, list):
        raise TypeError("must be a list")
    return tuple(Shot(_text_of(item["prompt"]), _seconds_of(item["duration"])) for item in items)


def _text_of(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("must be text")
    return value


def _seconds_of(value: Any) -> float:
    seconds = float(_text_of(value))
    return int(seconds) if seconds.is_integer() else seconds


SHOTS: Final = WireForm(_write_shots, _read_shots).metadata
"""
Metadata of a tuple of `Shot`s; the service numbers them from 1.
"""


def model_of(request: VideoRequest, dialect: Dialect) -> str:
    """
    Return the model that a request runs on.
    """
    return request.model_name or dialect.default_video_model


def bucket_of(request: VideoRequest, dialect: Dialect) -> str:
    """
    Return the name of the slots of a request: the vendor counts videos by model, and apart from images.
    """
    return f"video/{model_of(request, dialect)}"


def prompt_rules(request: TaskRequest, *, is_required: bool) -> Iterator[BrokenRule]:
    """
    Check the prompt and, if there is one, the negative prompt.
    """
    yield from text_rule("prompt", getattr(request, "prompt", None), PROMPT_MAX, is_required=is_required)
    yield from text_rule("negative_prompt", getattr(request, "negative_prompt", None), PROMPT_MAX)


def duration_rules(value: Any, facts: ModelFacts | None, model: str) -> Iterator[BrokenRule]:
    """
    Check a duration in whole seconds. The service's new standard accepts and bills any number, so a model that is not
    known has a range, too.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1 or value < 1:
        yield broken("duration", value, "must be a whole number of seconds, such as 5")
    elif value not in (durations := _OF_ANY_MODEL if facts is None else facts.durations):
        yield broken("duration", value, f"{_seconds_of_model(durations)} with {model}")


def _seconds_of_model(durations: tuple[int, ...]) -> str:
    if len(durations) > 2:
        return f"must be {durations[0]} to {durations[-1]} seconds"
    return f"must be {' or '.join(map(str, durations))} seconds"


def mode_rules(mode: Any, facts: ModelFacts | None, model: str, dialect: Dialect) -> Iterator[BrokenRule]:
    """
    Check the quality of a video.
    """
    yield from choice_rule("mode", mode, MODES, dialect)
    if facts is not None and mode in MODES and mode not in facts.modes:
        yield broken("mode", mode, f"{one_of(facts.modes)} with {model}")


def sound_rules(request: VideoRequest, facts: ModelFacts | None, model: str, mode: str) -> Iterator[BrokenRule]:
    """
    Check whether the model makes sound in this mode.
    """
    yield from flag_rule("sound", request.sound)
    if facts is None or request.sound is None:
        return
    if facts.always_has_sound and request.sound is False:
        yield broken("sound", False, f"cannot be turned off with {model}")
    elif request.sound is True and mode not in tuple(facts.prices.sound):
        modes = facts.prices.sound
        yield broken("sound", True, f"needs mode {' or '.join(modes)} with {model}" if modes else f"{model} makes none")


def shot_rules(request: _ShotsRequest, facts: ModelFacts | None, model: str) -> Iterator[BrokenRule]:
    """
    Check the fields of a video with several shots. Without them, a prompt is required, see `prompt_rules`.
    """
    yield from flag_rule("multi_shot", request.multi_shot)
    shots: Any = request.multi_prompt
    if request.multi_shot is not True:
        if request.shot_type is not None:
            yield broken("shot_type", request.shot_type, "needs multi_shot=True")
        if shots:
            yield broken("multi_prompt", shots, "needs multi_shot=True and shot_type='customize'")
        return
    if facts is not None and not facts.has_shots:
        yield broken("multi_shot", True, f"is not offered with {model}")
    if request.shot_type not in SHOT_TYPES:
        yield broken("shot_type", request.shot_type, f"{one_of(SHOT_TYPES)}, with multi_shot=True")
    if request.shot_type == "customize":
        yield from _customized_rules(shots, request.duration)
    elif shots:
        yield broken("multi_prompt", shots, "needs shot_type='customize'")


def _customized_rules(shots: Any, duration: float | None) -> Iterator[BrokenRule]:
    if not isinstance(shots, tuple) or not all(isinstance(shot, Shot) for shot in shots):
        yield broken("multi_prompt", shots, "must be a list of Shots")
        return
    if not 1 <= len(shots) <= SHOTS_MAX:
        yield broken("multi_prompt", shots, f"must have 1 to {SHOTS_MAX} Shots")
    lengths: list[Any] = []
    for place, shot in enumerate(shots):
        yield from text_rule(f"multi_prompt[{place}].prompt", shot.prompt, SHOT_PROMPT_MAX, is_required=True)
        length: Any = shot.duration
        if isinstance(length, bool) or not isinstance(length, int | float) or not length >= 1:
            yield broken(f"multi_prompt[{place}].duration", length, "must be 1 second or more")
        else:
            lengths.append(length)
    if len(lengths) == len(shots) and shots and duration not in (None, sum(lengths)):
        rule = f"must add up to the duration of {duration} seconds; they add up to {sum(lengths):g}"
        yield BrokenRule("multi_prompt", "the durations of the shots", rule)


def only_retired(request: TaskRequest, fields: Iterable[str], model: str) -> Iterator[BrokenRule]:
    """
    Check that *fields*, which only retired models take, are not given to another one.
    """
    for field in fields:
        if (value := getattr(request, field)) not in (None, ()) and facts_of_model(model) is not None:
            yield broken(field, value, f"is not taken by {model}: only models that the vendor has retired take it")


def camera_rules(camera: Any) -> Iterator[BrokenRule]:
    """
    Check the camera of a retired model; None is allowed.
    """
    if camera is None:
        return
    if not isinstance(camera, Mapping) or camera.get("type") not in _CAMERA:
        yield broken("camera_control", camera, f"must be an object whose type is one of {', '.join(_CAMERA)}")
        return
    config: Any = camera.get("config")
    if camera["type"] != "simple":
        if config is not None:
            yield broken("camera_control.config", config, "needs type 'simple'")
        return
    if not isinstance(config, Mapping) or not config.keys() <= {*_AXES}:
        yield broken("camera_control.config", config, f"must be an object with one of {', '.join(_AXES)}")
        return
    for axis, value in config.items():
        yield from number_rule(f"camera_control.config.{axis}", value, -10, 10)
    if sum(bool(value) for value in config.values()) != 1:
        yield broken("camera_control.config", dict(config), "must have exactly one axis that is not 0")


def model_choice_rules(
    request: _ShotsRequest, dialect: Dialect, offered: tuple[str, ...], mode: str
) -> Iterator[BrokenRule]:
    """
    Check the model, and whether it offers the duration, the mode, the sound and the shots that are asked for.

    Args:
        mode: The mode in which it is made, if the request names none.
    """
    model, facts = facts_for(request, dialect)
    yield from model_rules(request.model_name, dialect, offered)
    yield from duration_rules(request.duration, facts, model)
    yield from mode_rules(request.mode, facts, model, dialect)
    yield from sound_rules(request, facts, model, mode)
    yield from shot_rules(request, facts, model)


def caption_of_shots(request: _ShotsRequest) -> str:
    """
    Return the prompt of a request, or those of its shots.
    """
    return request.prompt or " / ".join(shot.prompt for shot in request.multi_prompt)


def units_per_second(
    facts: ModelFacts | None, mode: str, *, sound: bool, voices: bool = False, has_video: bool = False
) -> Decimal | None:
    """
    Return the units that a second costs; None if that is not known.

    Args:
        has_video: Whether a video is among the inputs.
    """
    if facts is None:
        return None
    if has_video:
        return facts.prices.with_video.get(mode)
    if voices:
        return facts.prices.voice.get(mode)
    return (facts.prices.sound if sound or facts.always_has_sound else facts.prices.silent).get(mode)


def facts_for(request: VideoRequest, dialect: Dialect) -> tuple[str, ModelFacts | None]:
    """
    Return the model that a request runs on, and what is known of it.
    """
    model = model_of(request, dialect)
    return model, facts_of_model(model)
