"""
Video effects: scenes that the service plays with the persons or animals of one or two pictures.

Facts are from the vendor's page of September 2026. It has no model, mode or length any more; what older pages and
gateways take is described as such. The vendor's list of scenes changes often, and each has a price of its own.
"""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Final

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.inputs import (
    FileFacts,
    FileInput,
    FileSource,
    describe_source,
    describe_sources,
    take_in,
    take_in_all,
)
from kling_async.wire.endpoints.rules import address_rules, broken, image_rules, one_of, unicode_rules
from kling_async.wire.endpoints.video_models import UNIT_PRICE
from kling_async.wire.field_metadata import SECONDS
from kling_async.wire.redaction import shown_url

__all__ = ["VIDEO_EFFECT", "VideoEffect"]

_OLD: Final = ("model_name", "mode", "duration")
_IN_INPUT: Final = ("image", "images", *_OLD)
_MODES: Final = ("std", "pro")
_DURATIONS: Final = (5, 10)


def _image(source: Any) -> Any:
    return take_in(source, "image")


def _images(sources: Any) -> Any:
    return take_in_all(sources, "images")


@explained
@attrs.frozen
class VideoEffect:
    """
    A video in which the persons of one or two pictures do what a scene says. Nothing is checked here: `submit` checks
    it before anything is sent.

    Pictures are given as in `ImageRequest.image`: jpg or png, at most 10 MiB, each side at least 300 pixels, their
    sides at most 2.5:1 at OFFICIAL.

    Attributes:
        effect_scene: The name of a scene, as the vendor's page lists them, such as "hug".
        image: The picture, for a scene with one person. Exactly one of it and `images`.
        images: Two pictures, for a scene with two persons.
        model_name: A model of older pages, which gateways may still run; None leaves it out.
        mode: "std" or "pro", for such a model.
        duration: 5 or 10 seconds, for such a model.
        callback_url: Where the service reports changes, sent as it is.
        external_task_id: An id of your own, unique on the account for ever; `submit` makes one if it is None.
    """

    effect_scene: str
    image: FileSource | None = attrs.field(default=None, kw_only=True, converter=_image, repr=describe_source)
    images: tuple[FileSource, ...] = attrs.field(default=(), kw_only=True, converter=_images, repr=describe_sources)
    model_name: str | None = attrs.field(default=None, kw_only=True)
    mode: str | None = attrs.field(default=None, kw_only=True)
    duration: float | None = attrs.field(default=None, kw_only=True, metadata=SECONDS)
    callback_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


def _rules(request: VideoEffect, dialect: Dialect, files: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    scene: Any = request.effect_scene
    if not isinstance(scene, str) or not scene.strip():
        yield broken("effect_scene", scene, 'must be the name of a scene, such as "hug"')
    yield from _picture_rules(request)
    for each in VIDEO_EFFECT.inputs:
        for place, source in each.sources(request):
            yield from image_rules(place, source, files.get(place), dialect)
    yield from _old_rules(request, dialect)
    yield from unicode_rules(request, ("effect_scene", "model_name", "callback_url"))
    yield from address_rules(dialect, request)


def _picture_rules(request: VideoEffect) -> Iterator[BrokenRule]:
    images: Any = request.images
    if images == () and request.image is None:
        yield broken("image", None, "is required, or images")
    elif images != () and request.image is not None:
        yield BrokenRule("image", describe_source(request.image), "cannot be combined with images")
    if images != () and (not isinstance(images, tuple) or len(images) != 2):
        yield BrokenRule("images", describe_sources(images), "must be a list of two pictures")


def _old_rules(request: VideoEffect, dialect: Dialect) -> Iterator[BrokenRule]:
    for field in _OLD:
        if dialect.refuses_retired and (value := getattr(request, field)) is not None:
            yield broken(field, value, "is retired at the vendor: effects have no model, mode or duration any more")
    if request.mode is not None and request.mode not in _MODES:
        yield broken("mode", request.mode, one_of(_MODES))
    if request.duration is not None and (request.duration not in _DURATIONS or isinstance(request.duration, bool)):
        yield broken("duration", request.duration, "must be 5 or 10 seconds")


def _duration_key(request: VideoEffect) -> Hashable:
    return request.effect_scene, request.duration


def _to_body(fields: dict[str, Any]) -> dict[str, Any]:
    given = {name: fields[name] for name in _IN_INPUT if name in fields}
    others = {name: value for name, value in fields.items() if name not in _IN_INPUT}
    return {"effect_scene": others.pop("effect_scene"), "input": given, **others}


def _from_body(body: Mapping[str, Any]) -> Mapping[str, Any]:
    given = body.get("input")
    if not isinstance(given, Mapping):
        raise ValueError("input cannot be empty")  # noqa: TRY004 (the contract of readers)
    others = {name: value for name, value in body.items() if name != "input"}
    return {**others, **{name: given[name] for name in _IN_INPUT if name in given}}


VIDEO_EFFECT: Final = Endpoint(
    name="video-effect",
    title="video effect",
    path="/v1/videos/effects",
    request_class=VideoEffect,
    results=("videos",),
    inputs=(
        FileInput("image", lambda dialect: dialect.image_max_bytes),
        FileInput("images", lambda dialect: dialect.image_max_bytes, is_list=True),
    ),
    rules=_rules,
    bucket=lambda request, _: f"video/{request.model_name or 'video-effect'}",
    duration_key=_duration_key,
    unit_price=UNIT_PRICE,
    to_body=_to_body,
    from_body=_from_body,
    caption=lambda request: str(request.effect_scene),
    timeout=1800.0,
)
"""
What a scene costs is not known here: `units` is None.
"""
