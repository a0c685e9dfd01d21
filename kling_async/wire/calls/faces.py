"""
Faces in a video, which a lip sync needs first.

Facts are from the vendor's page "Lip sync" of September 2026. What the service answers for a video without a face is
not documented; an empty list is read as such.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.calls.call import Call, read_data
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.rules import unicode_rules
from kling_async.wire.endpoints.video_source import video_source_rules
from kling_async.wire.error_answers import unexpected
from kling_async.wire.http_answer import Answer
from kling_async.wire.redaction import shown_url
from kling_async.wire.result_lists import text_of
from kling_async.wire.scalars import read_decimal, read_id, read_whole

__all__ = ["FACES_MAX", "FACE_IDENTIFICATION", "Face", "FaceRequest", "FaceSession"]

FACES_MAX: Final = 100
"""
Faces of an answer that are read.
"""


@attrs.frozen
class Face:
    """
    A face in a video.

    Attributes:
        face_id: What a lip sync calls it by.
        face_image: URL of a picture of it, signed; None if the service gives none. A repr hides its query.
        start_time: From when it can be lip-synced, in milliseconds of the video; None if the service does not say.
        end_time: Until when, in milliseconds; None if the service does not say.
    """

    face_id: str
    face_image: str | None = attrs.field(default=None, repr=shown_url)
    start_time: int | None = None
    end_time: int | None = None


@attrs.frozen
class FaceSession:
    """
    The faces that the service has found in a video.

    Attributes:
        session_id: Goes into a lip sync of this video; the service keeps it for 24 hours.
        faces: Empty if it found none.
        units: What was charged, in the vendor's units; None if the service does not say.
        request_id: Of the answer, for the vendor's support.
    """

    session_id: str
    faces: tuple[Face, ...] = ()
    units: Decimal | None = None
    request_id: str | None = None


@attrs.frozen(kw_only=True)
class FaceRequest:
    """
    The video to look at: exactly one of the two.
    """

    video_id: str | None = None
    video_url: str | None = attrs.field(default=None, repr=shown_url)


def _rules(request: FaceRequest, _: Dialect) -> Iterator[BrokenRule]:
    yield from video_source_rules(request)
    yield from unicode_rules(request, ("video_url",))


def _read(answer: Answer) -> FaceSession:
    data, request_id = read_data(answer)
    session_id = read_id(data.get("session_id"))
    if session_id is None:
        raise unexpected("the answer holds no session", answer, data)
    items = data.get("face_data")
    faces = (_read_face(item) for item in (items[:FACES_MAX] if isinstance(items, list) else ()))
    units = read_decimal(data.get("final_unit_deduction"), Decimal)
    return FaceSession(session_id, tuple(face for face in faces if face is not None), units, request_id)


def _read_face(item: Any) -> Face | None:
    if not isinstance(item, dict):
        return None
    face_id = "0" if item.get("face_id") == 0 else read_id(item.get("face_id"))
    if face_id is None:
        return None
    start, end = read_whole(item.get("start_time")), read_whole(item.get("end_time"))
    return Face(face_id, text_of(item, ["face_image"]), start, end)


FACE_IDENTIFICATION: Final = Call(
    name="identify-face",
    title="face identification",
    path="/v1/videos/identify-face",
    request_class=FaceRequest,
    rules=_rules,
    read=_read,
    units=Decimal("0.05"),
)
