"""
Image recognition: what of an object, heads, faces and clothes is in a picture, and where.

Facts are from the vendor's page "Image recognition" of September 2026 and its price page.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.calls.call import Call, read_data
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.inputs import describe_source
from kling_async.wire.error_answers import unexpected
from kling_async.wire.http_answer import Answer
from kling_async.wire.redaction import shown_url
from kling_async.wire.scalars import read_decimal, read_text

__all__ = ["IMAGE_RECOGNITION", "SEGMENTS_MAX", "Recognition", "RecognitionRequest", "Segment"]

SEGMENTS_MAX: Final = 100
"""
Segments of an answer that are read; the page lists four kinds.
"""


@attrs.frozen
class Segment:
    """
    One kind of thing that was looked for in a picture.

    Attributes:
        type: The service's word: "object_seg", "head_seg", "face_seg" or "cloth_seg".
        is_contain: Whether the picture contains it.
        url: Of a picture of the segment, signed; None if there is none. A repr hides its query.
    """

    type: str
    is_contain: bool
    url: str | None = attrs.field(default=None, repr=shown_url)


@attrs.frozen
class Recognition:
    """
    What the service has found in a picture.

    Attributes:
        segments: In the service's order.
        units: What was charged, in the vendor's units; None if the service does not say.
        request_id: Of the answer, for the vendor's support.
    """

    segments: tuple[Segment, ...]
    units: Decimal | None = None
    request_id: str | None = None


@attrs.frozen
class RecognitionRequest:
    """
    The picture: a URL, or Base64.
    """

    image: str = attrs.field(repr=describe_source)


def _rules(request: RecognitionRequest, _: Dialect) -> Iterator[BrokenRule]:
    if not isinstance(request.image, str) or not request.image.strip():
        yield BrokenRule("image", describe_source(request.image), "is required")


def _read(answer: Answer) -> Recognition:
    data, request_id = read_data(answer)
    result = data.get("task_result")
    items = result.get("images") if isinstance(result, dict) else None
    if not isinstance(items, list):
        raise unexpected("the answer holds no segments", answer, data)
    segments = tuple(_read_segment(item) for item in items[:SEGMENTS_MAX] if isinstance(item, dict))
    return Recognition(segments, read_decimal(data.get("final_unit_deduction"), None), request_id)


def _read_segment(item: dict[str, Any]) -> Segment:
    url = read_text(item.get("url"), None) or None
    return Segment(read_text(item.get("type"), None), item.get("is_contain") is True, url)


IMAGE_RECOGNITION: Final = Call(
    name="image-recognize",
    title="image recognition",
    path="/v1/videos/image-recognize",
    request_class=RecognitionRequest,
    rules=_rules,
    read=_read,
    units=Decimal("0.1"),
)
