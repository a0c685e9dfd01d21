"""
Expand image: a picture that goes on beyond the edges of another one.

Facts are from the vendor's reference and price page of September 2026. A relay reports that the path is missing there.
"""

import math
from collections.abc import Hashable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, Self

import attrs

from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.inputs import FileFacts, FileInput, FileSource, describe_source, take_in
from kling_async.wire.endpoints.rules import (
    address_rules,
    broken,
    flag_rule,
    image_rules,
    number_rule,
    text_rule,
    unicode_rules,
    whole_rule,
)
from kling_async.wire.field_metadata import ALWAYS_SENT, WATERMARK
from kling_async.wire.redaction import shown_text, shown_url

__all__ = ["EXPAND_IMAGE", "ExpandImage"]

_RATIOS: Final = ("up_expansion_ratio", "down_expansion_ratio", "left_expansion_ratio", "right_expansion_ratio")
_RATIO_MAX: Final = 2
_AREA_MAX: Final = 3
_PROMPT_MAX: Final = 2500
_UNITS_PER_PICTURE: Final = 8
_DECIMALS: Final = 10_000  # the vendor's sample has four


def _image(source: Any) -> Any:
    return take_in(source, "image")


@explained
@attrs.frozen
class ExpandImage:
    """
    A larger picture around a picture. Nothing is checked here: `submit` checks it before anything is sent.

    Attributes:
        image: As in `ImageRequest.image`.
        up_expansion_ratio: What is added above, as a part of the height, 0 to 2. The new area is at most three times
            the old one. `to_size` computes all four.
        down_expansion_ratio: What is added below, as a part of the height.
        left_expansion_ratio: What is added at the left, as a part of the width.
        right_expansion_ratio: What is added at the right, as a part of the width.
        prompt: What the added parts show; 2500 characters at most.
        n: Pictures to make, 1 to 9. Each takes one slot and costs one picture.
        watermark_info: Whether to make second files with the vendor's watermark.
        callback_url: Where the service reports changes, sent as it is.
        external_task_id: An id of your own, unique on the account for ever; `submit` makes one if it is None.
    """

    image: FileSource | None = attrs.field(converter=_image, repr=describe_source)
    up_expansion_ratio: float = attrs.field(default=0.0, kw_only=True, metadata=ALWAYS_SENT)
    down_expansion_ratio: float = attrs.field(default=0.0, kw_only=True, metadata=ALWAYS_SENT)
    left_expansion_ratio: float = attrs.field(default=0.0, kw_only=True, metadata=ALWAYS_SENT)
    right_expansion_ratio: float = attrs.field(default=0.0, kw_only=True, metadata=ALWAYS_SENT)
    prompt: str | None = attrs.field(default=None, kw_only=True, repr=shown_text)
    n: int = attrs.field(default=1, kw_only=True, metadata=ALWAYS_SENT)
    watermark_info: bool | None = attrs.field(default=None, kw_only=True, metadata=WATERMARK)
    callback_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)

    @classmethod
    def to_size(
        cls,
        image: Any,
        size: tuple[int, int],
        wanted: tuple[int, int],
        *,
        anchor: tuple[float, float] = (0.5, 0.5),
        **fields: Any,
    ) -> Self:
        """
        Return a request that makes *wanted* pixels of a picture of *size* pixels, both (width, height).

        Args:
            anchor: Where the old picture is in the new one: (0, 0) is the top left, (0.5, 0.5) the middle.
            fields: Other fields of the request.

        Raises:
            InvalidRequest: The picture would get smaller, or larger than the service allows.
        """
        (width, height), (x, y) = size, anchor
        if min(size) < 1 or not (0 <= x <= 1 and 0 <= y <= 1):
            raise _refused("size", f"{size} at {anchor}", "must be sides of at least 1 pixel, at an anchor from 0 to 1")
        across, down = (wanted[0] - width) / width, (wanted[1] - height) / height
        if min(across, down) < 0:
            raise _refused("wanted", f"{wanted}", f"must be no smaller than the picture, which has {size}")
        parts = (down * y, down * (1 - y), across * x, across * (1 - x))
        ratios = {name: math.floor(part * _DECIMALS) / _DECIMALS for name, part in zip(_RATIOS, parts, strict=True)}
        if broken_ratios := tuple(_ratio_rules(ratios)):
            raise InvalidRequest("; ".join(map(str, broken_ratios)), broken=broken_ratios)
        return cls(image, **{**ratios, **fields})


def _refused(field: str, value: str, rule: str) -> InvalidRequest:
    broken_rule = BrokenRule(field, value, rule)
    return InvalidRequest(str(broken_rule), broken=(broken_rule,))


def _rules(request: ExpandImage, dialect: Dialect, files: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    if request.image is None:
        yield broken("image", None, "is required")
    yield from image_rules("image", request.image, files.get("image"), dialect)
    yield from _ratio_rules({name: getattr(request, name) for name in _RATIOS})
    yield from text_rule("prompt", request.prompt, _PROMPT_MAX)
    yield from unicode_rules(request, ("prompt", "callback_url"))
    yield from whole_rule("n", request.n, 1, dialect.n_max)
    yield from flag_rule("watermark_info", request.watermark_info)
    yield from address_rules(dialect, request)


def _ratio_rules(ratios: Mapping[str, Any]) -> Iterator[BrokenRule]:
    wrong: list[BrokenRule] = []
    for name, ratio in ratios.items():
        wrong += [broken(name, None, "is required")] if ratio is None else number_rule(name, ratio, 0, _RATIO_MAX)
    yield from wrong
    if wrong:
        return
    up, down, left, right = ratios.values()
    area = (1 + up + down) * (1 + left + right)
    if area > _AREA_MAX:
        rule = f"must leave the new area at most {_AREA_MAX} times the old one; it would be {area:.4g} times"
        yield BrokenRule("up_expansion_ratio", "the four ratios", rule)
    elif area == 1:
        yield BrokenRule("up_expansion_ratio", "the four ratios", "must not all be 0: nothing would be added")


def _bucket(_: ExpandImage, __: Dialect) -> str:
    return "expand-image"


def _duration_key(request: ExpandImage) -> Hashable:
    return request.n


def _units(request: ExpandImage, _: Dialect) -> Decimal:
    return Decimal(request.n * _UNITS_PER_PICTURE)


EXPAND_IMAGE: Final = Endpoint(
    name="expand-image",
    title="expand image",
    path="/v1/images/editing/expand",
    request_class=ExpandImage,
    results=("images",),
    inputs=(FileInput("image", lambda dialect: dialect.image_max_bytes),),
    rules=_rules,
    files=lambda request: request.n,
    slots=lambda request: request.n,
    bucket=_bucket,
    duration_key=_duration_key,
    units=_units,
    unit_price=Decimal("0.0035"),
    caption=lambda request: request.prompt or "",
)
