"""
Omni image: pictures from text, images and elements, or a series of pictures that belong together.

Facts are from the vendor's reference, capability map and price page of 2026.
"""

from collections.abc import Hashable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.image_generation import AspectRatio, Model
from kling_async.wire.endpoints.inputs import FileFacts, FileInput, FileSource, describe_sources, take_in_all
from kling_async.wire.endpoints.rules import (
    address_rules,
    broken,
    choice_rule,
    element_rules,
    flag_rule,
    image_rules,
    one_of,
    text_rule,
    unicode_rules,
    whole_rule,
)
from kling_async.wire.endpoints.video_models import facts_of_model
from kling_async.wire.field_metadata import ALWAYS_SENT, ELEMENTS, WATERMARK, WireForm, in_items
from kling_async.wire.library import ids_of
from kling_async.wire.redaction import shown_text, shown_url

__all__ = ["OMNI_IMAGE", "OmniImage"]

_V3_OMNI: Final = "kling-v3-omni"
_O1: Final = "kling-image-o1"
_OFFERED: Final = (_V3_OMNI, _O1)

_PROMPT_MAX: Final = 2500
_REFERENCES_MAX: Final = 10
_RATIOS: Final = (*(ratio.value for ratio in AspectRatio), "auto")
_RESOLUTIONS: Final = ("1k", "2k", "4k")

_SERIES_LEAST: Final = 2
_SERIES_MOST: Final = 9
_SERIES_DEFAULT: Final = 4


def _images(sources: Any) -> Any:
    return take_in_all(sources, "image_list")


def _read_amount(amount: Any) -> int | str:
    if amount == "auto":
        return "auto"
    if type(amount) is not int:
        raise TypeError("must be a whole number or 'auto'")
    return amount


_AMOUNT: Final = WireForm(lambda amount: amount, _read_amount).metadata


@explained
@attrs.frozen
class OmniImage:
    """
    Pictures from text and references. Nothing is checked here: `submit` checks it against the dialect before anything
    is sent.

    Attributes:
        prompt: What to draw, and what not; 2500 characters at most. It names the references as `<<<image_1>>>` and
            `<<<element_1>>>`, which count from 1.
        image_list: Reference images, each given as in `ImageRequest.image`; 10 at most together with the elements.
        element_list: Elements that appear, or their ids.
        resolution: "1k", "2k" or, with kling-v3-omni, "4k", at the double price; None leaves it to the service (1k).
        aspect_ratio: Such as "16:9", or "auto", which kling-v3-omni takes only with references; None leaves it to the
            service.
        n: Pictures to make, 1 to 9. Each takes one slot and costs one picture.
        result_type: "single" (independent pictures), or, with kling-v3-omni, "series" (pictures that belong together,
            in their order in `TaskResult.images`); None leaves it to the service (single).
        series_amount: Pictures of a series, 2 to 9, or "auto", for which the model decides: it then takes nine slots
            until its end, and at most nine pictures are billed. None leaves it to the service (4).
        watermark_info: Whether to make a second file of each picture, with the vendor's watermark.
        model_name: None is kling-v3-omni, which is then sent; the other one is kling-image-o1.
        callback_url: Where the service reports changes, sent as it is.
        external_task_id: An id of your own, unique on the account for ever; `submit` makes one if it is None.
    """

    prompt: str = attrs.field(repr=shown_text)
    image_list: tuple[FileSource, ...] = attrs.field(
        default=(),
        kw_only=True,
        converter=_images,
        repr=describe_sources,
        metadata=in_items("image"),
    )
    element_list: tuple[int, ...] = attrs.field(default=(), kw_only=True, converter=ids_of, metadata=ELEMENTS)
    resolution: str | None = attrs.field(default=None, kw_only=True)
    aspect_ratio: str | None = attrs.field(default=None, kw_only=True)
    n: int = attrs.field(default=1, kw_only=True, metadata=ALWAYS_SENT)
    result_type: str | None = attrs.field(default=None, kw_only=True)
    series_amount: int | str | None = attrs.field(default=None, kw_only=True, metadata=_AMOUNT)
    watermark_info: bool | None = attrs.field(default=None, kw_only=True, metadata=WATERMARK)
    model_name: str | None = attrs.field(default=None, kw_only=True)
    callback_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


def _rules(request: OmniImage, dialect: Dialect, files: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    yield from text_rule("prompt", request.prompt, _PROMPT_MAX, is_required=True)
    yield from unicode_rules(request, ("prompt", "model_name", "callback_url"))
    yield from _model_rules(request)
    yield from _reference_rules(request, dialect, files)
    yield from _size_rules(request, dialect)
    yield from _amount_rules(request, dialect)
    yield from flag_rule("watermark_info", request.watermark_info)
    yield from address_rules(dialect, request)


def _model_rules(request: OmniImage) -> Iterator[BrokenRule]:
    model: Any = request.model_name
    if model is None:
        return
    if not isinstance(model, str) or not model.strip():
        yield broken("model_name", model, "must be a model's name")
    elif model not in _OFFERED and (model in tuple(Model) or facts_of_model(model) is not None):
        yield broken("model_name", model, f"is not offered here; {one_of(_OFFERED)}")


def _reference_rules(request: OmniImage, dialect: Dialect, files: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    images: Any = request.image_list
    if not isinstance(images, tuple):
        yield broken("image_list", images, "must be a list of images")
        images = ()
    for number, image in enumerate(images):
        place = f"image_list[{number}]"
        if image in (None, ""):
            yield broken(place, image, "must be an image")
        yield from image_rules(place, image, files.get(place), dialect)
    yield from element_rules(request.element_list)
    if isinstance(request.element_list, tuple) and len(images) + len(request.element_list) > _REFERENCES_MAX:
        given = f"{len(images)} images and {len(request.element_list)} elements"
        yield BrokenRule("image_list", given, f"must be at most {_REFERENCES_MAX} together")


def _size_rules(request: OmniImage, dialect: Dialect) -> Iterator[BrokenRule]:
    model = _model_of(request)
    yield from choice_rule("resolution", request.resolution, _RESOLUTIONS, dialect)
    if request.resolution == "4k" and model == _O1:
        yield broken("resolution", "4k", f"needs {_V3_OMNI}")
    yield from choice_rule("aspect_ratio", request.aspect_ratio, _RATIOS, dialect)
    if request.aspect_ratio == "auto" and model == _V3_OMNI and not request.image_list and not request.element_list:
        yield broken("aspect_ratio", "auto", f"needs an image or an element with {model}")


def _amount_rules(request: OmniImage, dialect: Dialect) -> Iterator[BrokenRule]:
    yield from whole_rule("n", request.n, 1, dialect.n_max)
    yield from choice_rule("result_type", request.result_type, ("single", "series"), dialect)
    amount: Any = request.series_amount
    if not _is_series(request):
        if amount is not None:
            yield broken("series_amount", amount, "needs result_type='series'")
        return
    if _model_of(request) == _O1:
        yield broken("result_type", "series", f"is not offered with {_O1}; {_V3_OMNI} makes series")
    if request.n != 1:
        yield broken("n", request.n, "does not count for a series; use series_amount")
    if amount not in (None, "auto") and (type(amount) is not int or not _SERIES_LEAST <= amount <= _SERIES_MOST):
        rule = f"must be a whole number from {_SERIES_LEAST} to {_SERIES_MOST}, or 'auto'"
        yield broken("series_amount", amount, rule)


def _is_series(request: OmniImage) -> bool:
    return request.result_type == "series"


def _model_of(request: OmniImage) -> str:
    return request.model_name or _V3_OMNI


def _files(request: OmniImage) -> int:
    if not _is_series(request):
        return request.n
    amount = request.series_amount
    return amount if isinstance(amount, int) else _SERIES_MOST if amount == "auto" else _SERIES_DEFAULT


def _fewest_files(request: OmniImage) -> int:
    return _SERIES_LEAST if _is_series(request) and request.series_amount == "auto" else _files(request)


def _units(request: OmniImage, dialect: Dialect) -> Decimal | None:
    return _units_at_most(request, dialect) if _fewest_files(request) == _files(request) else None


def _units_at_most(request: OmniImage, _: Dialect) -> Decimal:
    return Decimal(_files(request) * (16 if request.resolution == "4k" else 8))


def _duration_key(request: OmniImage) -> Hashable:
    return request.model_name, request.resolution, _files(request)


def _defaults(request: OmniImage, _: Dialect) -> Mapping[str, Any]:
    return {"model_name": _model_of(request)}


OMNI_IMAGE: Final = Endpoint(
    name="omni-image",
    title="omni image",
    path="/v1/images/omni-image",
    request_class=OmniImage,
    results=("images",),
    inputs=(FileInput("image_list", lambda dialect: dialect.image_max_bytes, is_list=True),),
    rules=_rules,
    files=_files,
    fewest_files=_fewest_files,
    slots=_files,
    bucket=lambda request, _: _model_of(request),
    duration_key=_duration_key,
    units=_units,
    units_at_most=_units_at_most,
    unit_price=Decimal("0.0035"),
    defaults=_defaults,
)
"""
A task takes a slot for each picture. For a series of "auto" the number is unknown until its end, so it takes the most.
"""
