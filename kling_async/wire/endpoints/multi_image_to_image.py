"""
Multi-image to image: a picture in which the subjects of several others appear, in a scene and a style of yet others.

Facts are from the vendor's reference and price page of September 2026.
"""

from collections.abc import Hashable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import OFFICIAL, Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.inputs import FileFacts, FileInput, FileSource, describe_source, take_in, take_in_all
from kling_async.wire.endpoints.rules import (
    address_rules,
    broken,
    choice_rule,
    flag_rule,
    image_rules,
    text_rule,
    unicode_rules,
    whole_rule,
)
from kling_async.wire.field_metadata import ALWAYS_SENT, WATERMARK, in_items
from kling_async.wire.redaction import shown_text, shown_url

__all__ = ["MULTI_IMAGE_TO_IMAGE", "MultiImageToImage"]

_MODEL: Final = "kling-v2-1"
_RETIRED: Final = "kling-v2"
_SUBJECTS_MAX: Final = 4
_PROMPT_MAX: Final = 2500
_UNITS_PER_PICTURE: Final = 16


def _subjects(sources: Any) -> Any:
    return take_in_all(sources, "subject_image_list")


def _scene(source: Any) -> Any:
    return take_in(source, "scene_image")


def _style(source: Any) -> Any:
    return take_in(source, "style_image")


def _describe_all(sources: Any) -> str:
    return f"[{', '.join(map(describe_source, sources))}]" if isinstance(sources, tuple) else describe_source(sources)


@explained
@attrs.frozen
class MultiImageToImage:
    """
    A picture from several pictures. Nothing is checked here: `submit` checks it before anything is sent.

    Pictures are given as in `ImageRequest.image`: jpg or png, at most 10 MiB, each side at least 300 pixels.

    Attributes:
        subject_image_list: 1 to 4 pictures, one subject each. Crop them to the subject: the service does not.
        prompt: What the picture shows; 2500 characters at most.
        scene_image: A picture of the scene.
        style_image: A picture in the style.
        n: Pictures to make, 1 to 9. Each takes one slot and costs one picture.
        aspect_ratio: One of those of images, such as "16:9"; None leaves it to the service (16:9).
        watermark_info: Whether to make second files with the vendor's watermark.
        model_name: None is "kling-v2-1", the only one of the vendor's page. The vendor's other models of images are
            refused where retired models are (`Dialect.refuses_retired`); a name that is not known passes.
        callback_url: Where the service reports changes, sent as it is.
        external_task_id: An id of your own, unique on the account for ever; `submit` makes one if it is None.
    """

    subject_image_list: tuple[FileSource, ...] = attrs.field(
        converter=_subjects, metadata=in_items("subject_image"), repr=_describe_all
    )
    prompt: str | None = attrs.field(default=None, kw_only=True, repr=shown_text)
    scene_image: FileSource | None = attrs.field(default=None, kw_only=True, converter=_scene, repr=describe_source)
    style_image: FileSource | None = attrs.field(default=None, kw_only=True, converter=_style, repr=describe_source)
    n: int = attrs.field(default=1, kw_only=True, metadata=ALWAYS_SENT)
    aspect_ratio: str | None = attrs.field(default=None, kw_only=True)
    watermark_info: bool | None = attrs.field(default=None, kw_only=True, metadata=WATERMARK)
    model_name: str | None = attrs.field(default=None, kw_only=True)
    callback_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


def _rules(request: MultiImageToImage, dialect: Dialect, files: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    subjects: Any = request.subject_image_list
    if not isinstance(subjects, tuple) or not 1 <= len(subjects) <= _SUBJECTS_MAX:
        rule = f"must be a list of 1 to {_SUBJECTS_MAX} pictures"
        yield BrokenRule("subject_image_list", _describe_all(subjects), rule)
    for each in MULTI_IMAGE_TO_IMAGE.inputs:
        for place, source in each.sources(request):
            yield from image_rules(place, source, files.get(place), dialect)
    yield from text_rule("prompt", request.prompt, _PROMPT_MAX)
    yield from unicode_rules(request, ("prompt", "model_name", "callback_url"))
    yield from whole_rule("n", request.n, 1, dialect.n_max)
    yield from choice_rule("aspect_ratio", request.aspect_ratio, OFFICIAL.aspect_ratios, dialect)
    if dialect.refuses_retired and request.model_name != _MODEL and request.model_name in dialect.models:
        reason = "is retired for" if request.model_name == _RETIRED else "is not offered at"
        yield broken("model_name", request.model_name, f"{reason} this endpoint; use {_MODEL}")
    yield from flag_rule("watermark_info", request.watermark_info)
    yield from address_rules(dialect, request)


def _model_of(request: MultiImageToImage, _: Dialect) -> str:
    return request.model_name or _MODEL


def _duration_key(request: MultiImageToImage) -> Hashable:
    return request.model_name, request.n


def _units(request: MultiImageToImage, _: Dialect) -> Decimal:
    return Decimal(request.n * _UNITS_PER_PICTURE)


def _defaults(request: MultiImageToImage, dialect: Dialect) -> Mapping[str, Any]:
    return {"model_name": _model_of(request, dialect)}


def _max_bytes(dialect: Dialect) -> int:
    return dialect.image_max_bytes


MULTI_IMAGE_TO_IMAGE: Final = Endpoint(
    name="multi-image-to-image",
    title="multi-image to image",
    path="/v1/images/multi-image2image",
    request_class=MultiImageToImage,
    results=("images",),
    inputs=(
        FileInput("subject_image_list", _max_bytes, is_list=True),
        FileInput("scene_image", _max_bytes),
        FileInput("style_image", _max_bytes),
    ),
    rules=_rules,
    files=lambda request: request.n,
    slots=lambda request: request.n,
    bucket=_model_of,
    duration_key=_duration_key,
    units=_units,
    unit_price=Decimal("0.0035"),
    defaults=_defaults,
    caption=lambda request: request.prompt or "",
)
