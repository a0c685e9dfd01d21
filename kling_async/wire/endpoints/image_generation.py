"""
Image generation: pictures from text, or from text and a reference image.

Facts are from the vendor's reference and price page of September 2026, and from the gateway's page of the same name.
"""

import enum
import operator
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypedDict

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.inputs import FileFacts, FileInput, FileSource, describe_source, take_in
from kling_async.wire.endpoints.rules import (
    address_rules,
    broken,
    choice_rule,
    element_rules,
    flag_rule,
    image_rules,
    number_rule,
    one_of,
    text_rule,
    unicode_rules,
    whole_rule,
)
from kling_async.wire.field_metadata import ALWAYS_SENT, ELEMENTS, WATERMARK
from kling_async.wire.library import ids_of
from kling_async.wire.redaction import shown_text, shown_url

__all__ = [
    "FROM_IMAGE",
    "FROM_TEXT",
    "IMAGE_GENERATION",
    "AspectRatio",
    "ChangesByName",
    "FieldsByName",
    "ImageReference",
    "ImageRequest",
    "Model",
    "RequestByName",
    "Resolution",
]


class Model(enum.StrEnum):
    """
    The models that generate images; its dialect says which of them a service offers.
    """

    V1 = "kling-v1"
    V1_5 = "kling-v1-5"
    V2 = "kling-v2"
    V2_NEW = "kling-v2-new"
    V2_1 = "kling-v2-1"
    V3 = "kling-v3"


class AspectRatio(enum.StrEnum):
    """
    Width to height.
    """

    R16_9 = "16:9"
    R9_16 = "9:16"
    SQUARE = "1:1"
    R4_3 = "4:3"
    R3_4 = "3:4"
    R3_2 = "3:2"
    R2_3 = "2:3"
    R21_9 = "21:9"


class ImageReference(enum.StrEnum):
    """
    What to take from the reference image; `FACE` wants exactly one face in it.
    """

    SUBJECT = "subject"
    FACE = "face"


class Resolution(enum.StrEnum):
    """
    How large the pictures are.
    """

    R1K = "1k"
    R2K = "2k"


def _take_in(image: Any) -> Any:
    return take_in(image, "image")


@explained
@attrs.frozen
class ImageRequest:
    """
    Pictures from text, and from a reference picture. Nothing is checked here: `submit` checks it against the dialect
    before anything is sent.

    Attributes:
        prompt: What the picture shows; 500 characters at most at GATEWAY, 2500 at OFFICIAL. No control characters but
            tabs and line breaks.
        negative_prompt: What it should not show.
        image:
            A reference image: an http(s) URL (fetched by the service, not by us), a `data:` URL or Base64 as `str`, a
            `Path` (read at submit, off the event loop), bytes, and at construction also a binary file object or a
            Pillow image. jpg or png, at most 10 MiB, each side at least 300 pixels. A Pillow image is sent as a viewer
            displays it: rotated by its EXIF orientation, in sRGB, with 8 bits per channel. One that cannot be decoded
            or displayed, and a file object that cannot be read, raise InvalidRequest at construction.
        image_fidelity: How strongly the reference shapes the picture, 0 to 1; None leaves it to the service.
        n: Pictures to make, 1 to 9. Each takes one slot and costs one picture.
        aspect_ratio: For example "16:9"; None leaves it to the service.
        callback_url: Where the service reports changes, sent as it is.
        model_name: None is the dialect's default.
        image_reference: "subject" or "face", only with `image`.
        human_fidelity: How strongly the subject is kept, 0 to 1.
        resolution: "1k" or "2k", if the service offers it.
        external_task_id: An id of your own, unique on the account for ever; `submit` makes one if it is None.
        element_list: Elements that appear, or their ids, with kling-v3; 10 at most together with `image`. The prompt
            names them as `<<<element_1>>>`.
        watermark_info: Whether to make a second file of each picture, with the vendor's watermark.
    """

    prompt: str = attrs.field(repr=shown_text)
    negative_prompt: str | None = attrs.field(default=None, kw_only=True, repr=shown_text)
    image: FileSource | None = attrs.field(
        default=None, kw_only=True, converter=attrs.converters.optional(_take_in), repr=describe_source
    )
    image_fidelity: float | None = attrs.field(default=None, kw_only=True)
    n: int = attrs.field(default=1, kw_only=True, metadata=ALWAYS_SENT)
    aspect_ratio: str | None = attrs.field(default=None, kw_only=True)
    callback_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    model_name: str | None = attrs.field(default=None, kw_only=True)
    image_reference: str | None = attrs.field(default=None, kw_only=True)
    human_fidelity: float | None = attrs.field(default=None, kw_only=True)
    resolution: str | None = attrs.field(default=None, kw_only=True)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)
    element_list: tuple[int, ...] | None = attrs.field(
        default=None, kw_only=True, converter=attrs.converters.optional(ids_of), metadata=ELEMENTS
    )
    watermark_info: bool | None = attrs.field(default=None, kw_only=True, metadata=WATERMARK)


class FieldsByName(TypedDict, total=False):
    """
    The fields of `ImageRequest` beside its prompt, as keyword arguments; the defaults are there.
    """

    negative_prompt: str | None
    image: Any
    image_fidelity: float | None
    n: int
    aspect_ratio: str | None
    callback_url: str | None
    model_name: str | None
    image_reference: str | None
    human_fidelity: float | None
    resolution: str | None
    external_task_id: str | None
    element_list: Sequence[Any] | None
    watermark_info: bool | None


class RequestByName(FieldsByName):
    """
    All of them, as keyword arguments that make a request.
    """

    prompt: str


class ChangesByName(FieldsByName, total=False):
    """
    Any of them, as keyword arguments that change a request.
    """

    prompt: str


FROM_TEXT: Final[Mapping[str, int]] = {
    Model.V1: 1,
    Model.V1_5: 4,
    Model.V2: 4,
    Model.V2_NEW: 8,
    Model.V2_1: 4,
    Model.V3: 8,
}
FROM_IMAGE: Final[Mapping[str, int]] = {
    Model.V1: 1,
    Model.V1_5: 8,
    Model.V2: 8,
    Model.V2_NEW: 8,
    Model.V2_1: 8,
    Model.V3: 8,
}
"""
Units per picture: from the vendor's price page for image models (2026-09), the older models from its page of June 2025.
"""

_NEWEST: Final = 8  # units per picture of a model that is in neither table

_WITHOUT_ELEMENTS: Final = tuple(model for model in Model if model is not Model.V3)

_REFERENCES_MAX: Final = 10
"""
Images and elements of one request.
"""

_REFERENCES: Final = tuple(kind.value for kind in ImageReference)


def _rules(request: ImageRequest, dialect: Dialect, files: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    yield from text_rule("prompt", request.prompt, dialect.prompt_max, is_required=True)
    yield from text_rule("negative_prompt", request.negative_prompt, dialect.negative_prompt_max)
    yield from unicode_rules(request, ("prompt", "negative_prompt", "model_name", "callback_url"))
    yield from whole_rule("n", request.n, 1, dialect.n_max)
    for field in ("image_fidelity", "human_fidelity"):
        if (fidelity := getattr(request, field)) is not None:
            yield from number_rule(field, fidelity, 0, 1)
    if request.aspect_ratio is not None and request.aspect_ratio not in dialect.aspect_ratios:
        yield broken("aspect_ratio", request.aspect_ratio, one_of(dialect.aspect_ratios))
    if request.resolution is not None:
        yield from choice_rule("resolution", request.resolution, dialect.resolutions, dialect)
    if request.model_name is not None:
        yield from _model_rules(request, dialect)
    if request.image is not None or request.image_reference is not None:
        yield from _reference_rules(request, dialect)
    if "image" in files:
        yield from image_rules("image", request.image, files["image"], dialect)
    if request.element_list is not None or request.watermark_info is not None:
        yield from _extra_rules(request, dialect)
    if request.callback_url is not None or request.external_task_id is not None:
        yield from address_rules(dialect, request)


def _model_rules(request: ImageRequest, dialect: Dialect) -> Iterator[BrokenRule]:
    model: Any = request.model_name
    if not isinstance(model, str) or not model:
        yield broken("model_name", model, "must be a model's name")
    elif model not in dialect.models and dialect.unknown_models == "refuse":
        hint = 'another one passes with attrs.evolve(dialect, unknown_models="pass")'
        yield broken("model_name", model, f"{one_of(dialect.models)}; {hint}")


def _reference_rules(request: ImageRequest, dialect: Dialect) -> Iterator[BrokenRule]:
    if request.image_reference is not None and request.image_reference not in _REFERENCES:
        yield broken("image_reference", request.image_reference, one_of(_REFERENCES))
    if request.image is None:
        if request.image_reference is not None:
            yield broken("image_reference", request.image_reference, "needs an image")
        return
    model = request.model_name or dialect.default_model
    if request.image_reference is None and model in dialect.models_needing_image_reference:
        yield broken("image_reference", None, f"is required where {model} is given an image: {one_of(_REFERENCES)}")
    if request.negative_prompt and not dialect.negative_prompt_with_image:
        yield broken("negative_prompt", request.negative_prompt, "cannot be combined with an image")


def _extra_rules(request: ImageRequest, dialect: Dialect) -> Iterator[BrokenRule]:
    yield from flag_rule("watermark_info", request.watermark_info)
    elements: Any = request.element_list
    if elements is None:
        return
    yield from element_rules(elements)
    model = _model_of(request, dialect)
    if model in _WITHOUT_ELEMENTS:
        yield broken("element_list", elements, f"is not taken by {model}; {Model.V3} takes elements")
    most = _REFERENCES_MAX - (request.image is not None)
    if isinstance(elements, tuple) and len(elements) > most:
        yield broken("element_list", elements, f"must have at most {most} elements here; it has {len(elements)}")


def _model_of(request: ImageRequest, dialect: Dialect) -> str:
    return request.model_name or dialect.default_model


def _units(request: ImageRequest, dialect: Dialect) -> Decimal:
    per_picture = FROM_TEXT if request.image is None else FROM_IMAGE
    return Decimal(request.n * per_picture.get(_model_of(request, dialect), _NEWEST))


def _defaults(request: ImageRequest, dialect: Dialect) -> Mapping[str, Any]:
    # The service's own documents disagree about its default model, and models differ in price.
    if request.model_name is None and dialect.names_default_model:
        return {"model_name": dialect.default_model}
    return {}


IMAGE_GENERATION: Final = Endpoint(
    name="image-generation",
    title="image generation",
    path="/v1/images/generations",
    request_class=ImageRequest,
    results=("images",),
    inputs=(FileInput("image", lambda dialect: dialect.image_max_bytes),),
    rules=_rules,
    files=operator.attrgetter("n"),
    slots=operator.attrgetter("n"),
    bucket=_model_of,
    duration_key=operator.attrgetter("model_name", "n"),
    caption=operator.attrgetter("prompt"),
    units=_units,
    price_key=operator.attrgetter("model_name", "n"),
    unit_price=Decimal("0.0035"),
    defaults=_defaults,
)
"""
A task takes a slot for each picture (the vendor's concurrency rules). A gateway may count units otherwise.
"""
