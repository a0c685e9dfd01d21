"""
Omni video: a video from text, frames, references and elements, or a given video that is edited.

Facts are from the vendor's reference, capability map, price page and change log of 2026. Where they contradict each
other: frames together with several shots are allowed since its change of May 2026; kling-video-o1 takes 3 to 10 seconds
by its page, and for text only 5 or 10 by the map, so 3 to 10 are passed on, except in the new standard, where the
service was seen to refuse them.
"""

from collections.abc import Hashable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint, as_tuple, with_fields
from kling_async.wire.endpoints.inputs import FileFacts, FileInput
from kling_async.wire.endpoints.new_standard import new_standard
from kling_async.wire.endpoints.omni_inputs import (
    BASE,
    FEATURE,
    FIRST_FRAME,
    FRAMES,
    LAST_FRAME,
    VIDEOS,
    Frame,
    InputVideo,
    as_frames,
    as_videos,
    fields_from,
    new_body,
)
from kling_async.wire.endpoints.rules import (
    address_rules,
    broken,
    choice_rule,
    element_rules,
    flag_rule,
    image_rules,
    one_of,
    unicode_rules,
)
from kling_async.wire.endpoints.video_models import UNIT_PRICE, ModelFacts, VideoModel, facts_of_model, model_rules
from kling_async.wire.endpoints.video_rules import (
    RATIOS,
    SHOTS,
    Shot,
    caption_of_shots,
    duration_rules,
    mode_rules,
    prompt_rules,
    shot_rules,
    sound_rules,
    units_per_second,
)
from kling_async.wire.endpoints.video_source import url_rule
from kling_async.wire.field_metadata import ELEMENTS, ON_OR_OFF, SECONDS, WATERMARK
from kling_async.wire.library import ids_of
from kling_async.wire.redaction import shown_text, shown_url

__all__ = ["NEEDS_RATIO", "OMNI_VIDEO", "OmniVideo"]


@explained
@attrs.frozen
class OmniVideo:
    """
    A video from text and references, or an edited video. Nothing is checked here: `submit` checks it against the
    dialect before anything is sent.

    Attributes:
        prompt: What the video shows, or what to change; 2500 characters at most. It names the inputs as
            `<<<image_1>>>`, `<<<element_1>>>` and `<<<video_1>>>`, which count from 1. None only with
            `shot_type="customize"`.
        image_list: Images: `Frame`s, or plain sources as in `ImageRequest.image`, which are references. Seven at most
            together with the elements, four if there is a video.
        element_list:
            Elements that appear, or their ids; three at most with frames, and none with the first and the last frame of
            kling-video-o1. Of elements made from a video, which only the service can tell, three at most, and none
            beside a video.
        video_list: One video at most: an `InputVideo`, or only its URL, or a `Video` of a result; the latter two are
            edited. Videos are not uploaded.
        duration: Whole seconds: 3 to 15 with kling-v3-omni, 3 to 10 with kling-video-o1; None is 5. A video that is
            edited keeps its length, whatever this says: give that length here, rounded, and the price is known.
        aspect_ratio: "16:9", "9:16" or "1:1"; required unless there is a first frame or a video that is edited.
        mode: "std" (720p), "pro" (1080p) or, with kling-v3-omni, "4k"; None is pro, the service's default here.
        sound: Whether the model makes sound (kling-v3-omni, without a video); None leaves it to the service (off).
        multi_shot: Whether the video has several shots (kling-v3-omni).
        shot_type: "customize" (you give the shots) or "intelligence" (the model divides the prompt).
        multi_prompt: 1 to 6 shots, for "customize". Their durations add up to `duration`.
        watermark_info: Whether to make a second file with the vendor's watermark.
        model_name: None is kling-v3-omni; the other one is kling-video-o1. It is always sent.
        callback_url: Where the service reports changes, sent as it is.
        external_task_id: An id of your own, unique on the account for ever; `submit` makes one if it is None.
    """

    prompt: str | None = attrs.field(default=None, repr=shown_text)
    image_list: tuple[Frame, ...] = attrs.field(default=(), kw_only=True, converter=as_frames, metadata=FRAMES)
    element_list: tuple[int, ...] = attrs.field(default=(), kw_only=True, converter=ids_of, metadata=ELEMENTS)
    video_list: tuple[InputVideo, ...] = attrs.field(default=(), kw_only=True, converter=as_videos, metadata=VIDEOS)
    duration: float | None = attrs.field(default=None, kw_only=True, metadata=SECONDS)
    aspect_ratio: str | None = attrs.field(default=None, kw_only=True)
    mode: str | None = attrs.field(default=None, kw_only=True)
    sound: bool | None = attrs.field(default=None, kw_only=True, metadata=ON_OR_OFF)
    multi_shot: bool | None = attrs.field(default=None, kw_only=True)
    shot_type: str | None = attrs.field(default=None, kw_only=True)
    multi_prompt: tuple[Shot, ...] = attrs.field(default=(), kw_only=True, converter=as_tuple, metadata=SHOTS)
    watermark_info: bool | None = attrs.field(default=None, kw_only=True, metadata=WATERMARK)
    model_name: str | None = attrs.field(default=None, kw_only=True)
    callback_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


NEEDS_RATIO: Final = "is required unless there is a first frame or a video that is edited"

_OFFERED: Final = (VideoModel.V3_OMNI, VideoModel.O1)
_MODE: Final = "pro"
_SECONDS: Final = 5

_PLAIN_SECONDS_OF_O1: Final = (5, 10)

_INPUTS_MAX: Final = 7
_INPUTS_MAX_WITH_VIDEO: Final = 4
_ELEMENTS_MAX_WITH_FRAMES: Final = 3
_IMAGES_MAX_OF_O1_WITH_FRAMES: Final = 2


def _rules(request: OmniVideo, dialect: Dialect, files: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    model = _model_of(request)
    facts = facts_of_model(model)
    is_customized = request.multi_shot is True and request.shot_type == "customize"
    yield from prompt_rules(request, is_required=not is_customized)
    yield from unicode_rules(request, ("prompt", "model_name", "callback_url"))
    yield from model_rules(request.model_name, dialect, _OFFERED)
    yield from _image_rules(request, dialect, files)
    yield from _video_rules(request, dialect)
    yield from element_rules(request.element_list)
    if facts is not None:
        yield from _limit_rules(request, model)
    yield from _duration_rules(request, dialect, facts, model)
    yield from choice_rule("aspect_ratio", request.aspect_ratio, RATIOS, dialect)
    if request.aspect_ratio is None and FIRST_FRAME not in _types_of(request) and not _is_edit(request):
        yield broken("aspect_ratio", None, f"{NEEDS_RATIO}: {one_of(RATIOS)}")
    yield from mode_rules(request.mode, facts, model, dialect)
    yield from sound_rules(request, facts, model, request.mode or _MODE)
    yield from shot_rules(with_fields(request, **_defaults(request, dialect)), facts, model)
    yield from flag_rule("watermark_info", request.watermark_info)
    yield from address_rules(dialect, request)


def _image_rules(request: OmniVideo, dialect: Dialect, files: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    images: Any = request.image_list
    if not isinstance(images, tuple):
        yield broken("image_list", images, "must be a list of images or Frames")
        return
    for number, frame in enumerate(images):
        place = f"image_list[{number}]"
        if frame.image in (None, ""):
            yield broken(f"{place}.image", frame.image, "is required")
        yield from image_rules(f"{place}.image", frame.image, files.get(f"{place}.image"), dialect)
        yield from choice_rule(f"{place}.type", frame.type, (FIRST_FRAME, LAST_FRAME), dialect)
    types = _types_of(request)
    for kind in (FIRST_FRAME, LAST_FRAME):
        if types.count(kind) > 1:
            yield broken("image_list", kind, "must be the type of one image at most")
    if LAST_FRAME in types and FIRST_FRAME not in types:
        yield broken("image_list", LAST_FRAME, f"needs an image of type {FIRST_FRAME}")


def _video_rules(request: OmniVideo, dialect: Dialect) -> Iterator[BrokenRule]:
    videos: Any = request.video_list
    if not isinstance(videos, tuple):
        yield broken("video_list", videos, "must be a list of InputVideos or URLs")
        return
    if len(videos) > 1:
        yield BrokenRule("video_list", f"{len(videos)} videos", "must have one video at most")
    for number, video in enumerate(videos):
        place = f"video_list[{number}]"
        yield from url_rule(f"{place}.video_url", video.video_url)
        if video.refer_type not in (BASE, FEATURE):
            yield broken(f"{place}.refer_type", video.refer_type, one_of((BASE, FEATURE)))
        yield from flag_rule(f"{place}.keep_original_sound", video.keep_original_sound)
    if videos and request.sound is True:
        yield broken("sound", True, "cannot be combined with a video; its own is kept by keep_original_sound=True")
    if _is_edit(request) and _has_frames(request):
        yield BrokenRule("image_list", "a frame", "cannot be combined with a video that is edited")
    if request.multi_shot is True and (_is_edit(request) or (videos and dialect.standard == "new")):
        yield broken("multi_shot", True, "cannot be combined with a video")


def _limit_rules(request: OmniVideo, model: str) -> Iterator[BrokenRule]:
    images, elements = _count(request.image_list), _count(request.element_list)
    most = _INPUTS_MAX_WITH_VIDEO if request.video_list else _INPUTS_MAX
    if images + elements > most:
        given = f"{images} images and {elements} elements"
        yield BrokenRule(
            "image_list", given, f"must be at most {most} together" + (" with a video" if most == 4 else "")
        )
    if not _has_frames(request):
        return
    if model == VideoModel.O1:
        if images > _IMAGES_MAX_OF_O1_WITH_FRAMES:
            yield BrokenRule("image_list", f"{images} images", f"must be at most 2 with a frame with {model}")
        if LAST_FRAME in _types_of(request) and elements:
            yield BrokenRule("element_list", f"{elements} elements", f"cannot be combined with two frames with {model}")
    elif elements > _ELEMENTS_MAX_WITH_FRAMES:
        rule = f"must be at most {_ELEMENTS_MAX_WITH_FRAMES} with a frame"
        yield BrokenRule("element_list", f"{elements} elements", rule)


def _duration_rules(request: OmniVideo, dialect: Dialect, facts: ModelFacts | None, model: str) -> Iterator[BrokenRule]:
    if request.duration is None:
        return
    yield from duration_rules(request.duration, facts, model)
    is_plain = None not in _types_of(request) and not request.video_list
    if (
        dialect.standard == "new"
        and model == VideoModel.O1
        and is_plain
        and request.duration not in _PLAIN_SECONDS_OF_O1
    ):
        yield broken("duration", request.duration, f"must be 5 or 10 seconds without a reference image with {model}")


def _count(items: object) -> int:
    return len(items) if isinstance(items, tuple) else 0


def _types_of(request: OmniVideo) -> list[object]:
    images: Any = request.image_list
    return [frame.type for frame in images] if isinstance(images, tuple) else []


def _has_frames(request: OmniVideo) -> bool:
    types = _types_of(request)
    return FIRST_FRAME in types or LAST_FRAME in types


def _is_edit(request: OmniVideo) -> bool:
    videos: Any = request.video_list
    return isinstance(videos, tuple) and any(video.refer_type == BASE for video in videos)


def _model_of(request: OmniVideo) -> str:
    return request.model_name or VideoModel.V3_OMNI.value


def _price_of(request: OmniVideo) -> tuple[Decimal | None, ModelFacts | None]:
    # Units per second, and the facts of the model.
    facts = facts_of_model(_model_of(request))
    has_video = bool(request.video_list)
    price = units_per_second(facts, request.mode or _MODE, sound=bool(request.sound), has_video=has_video)
    return price, facts


def _units(request: OmniVideo, _: Dialect) -> Decimal | None:
    price, _facts = _price_of(request)
    seconds = _seconds_of(request)
    return None if price is None or seconds is None else price * Decimal(str(seconds))


def _units_at_most(request: OmniVideo, _: Dialect) -> Decimal | None:
    price, facts = _price_of(request)
    return None if price is None or facts is None else price * max(facts.durations)


def _seconds_of(request: OmniVideo) -> float | None:
    if request.duration is not None:
        return request.duration
    return None if _is_edit(request) else _SECONDS


def _duration_key(request: OmniVideo) -> Hashable:
    return request.model_name, request.mode, request.duration, bool(request.video_list)


def _defaults(request: OmniVideo, _: Dialect) -> Mapping[str, Any]:
    return {"model_name": _model_of(request), "mode": request.mode or _MODE, "duration": _seconds_of(request)}


OMNI_VIDEO: Final = Endpoint(
    name="omni-video",
    title="omni video",
    path="/v1/videos/omni-video",
    request_class=OmniVideo,
    results=("videos",),
    inputs=(FileInput("image_list", lambda dialect: dialect.image_max_bytes, is_list=True, part="image"),),
    rules=_rules,
    bucket=lambda request, _: f"video/{_model_of(request)}",
    duration_key=_duration_key,
    units=_units,
    units_at_most=_units_at_most,
    unit_price=UNIT_PRICE,
    new_standard=new_standard("/omni-video", new_body, fields_from),
    defaults=_defaults,
    caption=caption_of_shots,
    timeout=1800.0,
)
"""
A video that is edited costs by its length, which only the service sees.
"""
