"""
Lip sync: a face in a video says what a sound says. `client.faces.identify` finds the face first.

Facts are from the vendor's page "Lip sync" and its price page of September 2026. The page lists the task id alone for
looking a task up: that a lookup by our id finds none therefore proves nothing.
"""

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, cast

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.calls.faces import Face, FaceSession
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.inputs import FileFacts, FileInput, FileSource, describe_source, take_in
from kling_async.wire.endpoints.rules import address_rules, broken, flag_rule, number_rule, unicode_rules
from kling_async.wire.endpoints.video_models import UNIT_PRICE
from kling_async.wire.endpoints.video_source import id_of, sound_source_rules
from kling_async.wire.field_metadata import ALWAYS_SENT, WATERMARK
from kling_async.wire.redaction import shown_url

__all__ = ["LIP_SYNC", "LipSync", "units_by_length"]

_SECONDS: Final = (2, 60)  # of the sound, and of the video
_SHORTEST: Final = 2_000  # milliseconds of the sound that are used
_LONGEST: Final = 60_000


def _sound(source: Any) -> Any:
    return take_in(source, "sound_file")


def _session_id(session: FaceSession | str) -> str:
    return session.session_id if isinstance(session, FaceSession) else session


def _face_id(face: Face | str) -> str:
    return face.face_id if isinstance(face, Face) else face


@explained
@attrs.frozen
class LipSync:
    """
    A copy of a video in which a face says what a sound says. Nothing is checked here: `submit` checks it before
    anything is sent.

    The times are milliseconds. They must fit the face: it is seen for 2 seconds or more of the sound, which ends before
    the video.

    Attributes:
        session_id: What `client.faces.identify` returned for the video in the last 24 hours, or the id of it. A relay
            that serves its clients from several accounts may not know it.
        face_id: One of its `faces`, or the id of one.
        audio_id: A sound that this account has made: `speech.audio`, an `Audio` of a result, or the id of one, for 30
            days. Exactly one of it and `sound_file`.
        sound_file: An http(s) URL, or an mp3, wav, m4a or aac of at most 5 MiB in the forms of `ImageRequest.image`.
            It lasts 2 to 60 seconds.
        sound_end_time: Up to where the sound is used; 2000 milliseconds or more after `sound_start_time`.
        sound_start_time: From where it is used.
        sound_insert_time: When it begins in the video.
        sound_volume: 0 to 2; None leaves it to the service (1).
        original_audio_volume: Of the video's own sound, 0 to 2; None leaves it to the service (1).
        watermark_info: Whether to make a second file with the vendor's watermark.
        callback_url: Where the service reports changes, sent as it is.
        external_task_id:
            An id of your own, unique on the account for ever; `submit` makes one if it is None. The service may not
            find the task by it. So a submit whose answer is lost is never sent again: unless it is found, or its
            callback comes, it ends in SubmissionUncertain.
    """

    session_id: str = attrs.field(converter=_session_id)
    face_id: str = attrs.field(kw_only=True, converter=_face_id)
    audio_id: str | None = attrs.field(default=None, kw_only=True, converter=id_of)
    sound_file: FileSource | None = attrs.field(default=None, kw_only=True, converter=_sound, repr=describe_source)
    sound_end_time: int = attrs.field(kw_only=True)
    sound_start_time: int = attrs.field(default=0, kw_only=True, metadata=ALWAYS_SENT)
    sound_insert_time: int = attrs.field(default=0, kw_only=True, metadata=ALWAYS_SENT)
    sound_volume: float | None = attrs.field(default=None, kw_only=True)
    original_audio_volume: float | None = attrs.field(default=None, kw_only=True)
    watermark_info: bool | None = attrs.field(default=None, kw_only=True, metadata=WATERMARK)
    callback_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


_OF_THE_FACE: Final = (
    "face_id",
    "audio_id",
    "sound_file",
    "sound_start_time",
    "sound_end_time",
    "sound_insert_time",
    "sound_volume",
    "original_audio_volume",
)


def _rules(request: LipSync, dialect: Dialect, files: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    yield from _id_rule("session_id", request.session_id, "what `client.faces.identify` returned, or its session_id")
    yield from _id_rule("face_id", request.face_id, "one of the session's faces, or its face_id")
    yield from sound_source_rules(request, files, dialect, seconds=_SECONDS)
    yield from _time_rules(request, files.get("sound_file"))
    yield from number_rule("sound_volume", request.sound_volume, 0, 2)
    yield from number_rule("original_audio_volume", request.original_audio_volume, 0, 2)
    yield from unicode_rules(request, ("session_id", "face_id", "callback_url"))
    yield from flag_rule("watermark_info", request.watermark_info)
    yield from address_rules(dialect, request)


def _id_rule(field: str, value: Any, source: str) -> Iterator[BrokenRule]:
    if not isinstance(value, str) or not value.strip():
        yield broken(field, value, f"must be {source}")


def _time_rules(request: LipSync, sound: FileFacts | None) -> Iterator[BrokenRule]:
    start, end, inserted = request.sound_start_time, request.sound_end_time, request.sound_insert_time
    latest = _LONGEST - _SHORTEST
    wrong = [
        *_time_rule("sound_start_time", start, 0, latest),
        *_time_rule("sound_end_time", end, _SHORTEST, _LONGEST),
        *_time_rule("sound_insert_time", inserted, 0, latest),
    ]
    yield from wrong
    if wrong:
        return
    if end - start < _SHORTEST:
        rule = f"must be {_SHORTEST} milliseconds or more after sound_start_time, which is {start}"
        yield broken("sound_end_time", end, rule)
    if inserted + end - start > _LONGEST:
        yield broken("sound_insert_time", inserted, f"must let the sound end within {_LONGEST} milliseconds")
    if sound is not None and sound.seconds is not None and end > 1000 * sound.seconds:
        rule = f"must not be after the end of the sound, which lasts {1000 * sound.seconds:.0f} milliseconds"
        yield broken("sound_end_time", end, rule)


def _time_rule(field: str, value: Any, least: int, most: int) -> Iterator[BrokenRule]:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        yield broken(field, value, f"must be whole milliseconds from {least} to {most}")


def units_by_length(_request: object, _dialect: Dialect, seconds: float) -> Decimal:
    """
    Return what a lip sync of so many seconds costs: half a unit for each 5, also if the last are fewer.
    """
    return Decimal("0.5") * math.ceil(seconds / 5)


def _to_body(fields: dict[str, Any]) -> dict[str, Any]:
    face = {name: fields[name] for name in _OF_THE_FACE if name in fields}
    others = {name: value for name, value in fields.items() if name not in _OF_THE_FACE}
    return {"session_id": others.pop("session_id"), "face_choose": [face], **others}


def _from_body(body: Mapping[str, Any]) -> Mapping[str, Any]:
    faces = body.get("face_choose")
    if not isinstance(faces, list) or len(faces) != 1 or not isinstance(faces[0], Mapping):
        raise ValueError("face_choose must have one face")
    others = {name: value for name, value in body.items() if name != "face_choose"}
    return {**others, **cast("Mapping[str, Any]", faces[0])}


LIP_SYNC: Final = Endpoint(
    name="lip-sync",
    title="lip sync",
    path="/v1/videos/advanced-lip-sync",
    request_class=LipSync,
    results=("videos",),
    inputs=(FileInput("sound_file", lambda dialect: dialect.sound_max_bytes, media="sound"),),
    rules=_rules,
    bucket=lambda _request, _dialect: "video/lip-sync",
    units_at_most=lambda request, dialect: units_by_length(request, dialect, _SECONDS[1]),
    units_by_length=units_by_length,
    unit_price=UNIT_PRICE,
    to_body=_to_body,
    from_body=_from_body,
    caption=lambda request: f"face {request.face_id} of {request.session_id}",
    lookup_proves_absence=False,
    timeout=1800.0,
)
"""
The number of its slots is not documented; one is counted.
"""
