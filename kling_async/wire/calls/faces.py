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
from kling_async.wire.endpoints.base import stands_in_path
from kling_async.wire.endpoints.inputs import describe_source
from kling_async.wire.endpoints.rules import broken, is_absolute, unicode_rules
from kling_async.wire.error_answers import unexpected
from kling_async.wire.http_answer import Answer
from kling_async.wire.redaction import shown_url
from kling_async.wire.result_lists import text_of
from kling_async.wire.scalars import read_decimal, read_id, read_whole
from kling_async.wire.tasks import Video

__all__ = ["FACES_MAX", "FACE_IDENTIFICATION", "Face", "FaceRequest", "FaceSession", "video_fields", "video_rules"]

FACES_MAX: Final = 100
"""
Faces of an answer that are read.
"""

_LOCAL: Final = (
    "must be the id of a video or an http(s) URL that the service can fetch: videos are not uploaded, so put the file "
    "on a public web server or storage first, and pass its URL"
)


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


def video_fields(video: Any) -> dict[str, Any]:
    """
    Return the fields of a request that name *video*: a `Video` of a result by its id, or else its URL; text by what it
    looks like. What is neither becomes an id, which no rule accepts.
    """
    if isinstance(video, Video):
        return {"video_id": video.id} if video.id is not None else {"video_url": video.url}
    return {"video_url": video} if isinstance(video, str) and "://" in video else {"video_id": video}


def video_rules(request: Any) -> Iterator[BrokenRule]:
    """
    Check `video_id` and `video_url`, of which exactly one is needed.
    """
    video_id, video_url = request.video_id, request.video_url
    if (video_id is None) == (video_url is None):
        rule = "needs a video_url" if video_id is None else "cannot be combined with a video_url"
        yield broken("video_id", video_id, rule)
    if video_url is not None and not is_absolute(video_url):
        yield broken("video_url", video_url, "must be an absolute http(s) URL that the service can fetch")
    if video_id is not None and not _is_id(video_id):
        yield BrokenRule("video_id", describe_source(video_id), _LOCAL)


def _is_id(video_id: Any) -> bool:
    # The vendor's ids are numbers and UUIDs; what has a folder or the suffix of a video is the path of a file.
    if not isinstance(video_id, str) or not stands_in_path(video_id):
        return False
    return not {"/", "\\"} & set(video_id) and not video_id.casefold().endswith((".mp4", ".mov"))


def _rules(request: FaceRequest, _: Dialect) -> Iterator[BrokenRule]:
    yield from video_rules(request)
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
