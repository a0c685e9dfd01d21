"""
Faces in videos: how a video is named, what is refused before it is sent, and what is read.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from kling_async.errors import InvalidRequest, UnexpectedAnswer
from kling_async.wire.calls.faces import FACE_IDENTIFICATION, FACES_MAX, Face, FaceRequest, FaceSession
from kling_async.wire.codec import write_request
from kling_async.wire.dialects import OFFICIAL
from kling_async.wire.endpoints.video_source import video_fields
from kling_async.wire.http_answer import Answer
from kling_async.wire.tasks import Video

URL = "https://files.example/clip.mp4"


def broken_fields(**fields: Any) -> list[str]:
    return [broken.field for broken in FACE_IDENTIFICATION.rules(FaceRequest(**fields), OFFICIAL)]


def read(data: Any, **envelope: Any) -> FaceSession:
    payload = {"code": 0, "message": "SUCCEED", "request_id": "r-1", "data": data, **envelope}
    return FACE_IDENTIFICATION.read(Answer(200, {}, json.dumps(payload).encode()))


@pytest.mark.parametrize(
    ("video", "fields"),
    [
        (Video(0, URL, id="828338674655576157"), {"video_id": "828338674655576157"}),
        (Video(0, URL), {"video_url": URL}),
        ("828338674655576157", {"video_id": "828338674655576157"}),
        (URL, {"video_url": URL}),
    ],
)
def test_video_is_named_by_id_or_url(video: Any, fields: dict[str, str]) -> None:
    """
    A file of a result by its id, which costs the service no download; the field that is not used is not sent.
    """
    assert fields == video_fields(video)
    assert fields == write_request(FaceRequest(**fields))
    assert [] == broken_fields(**fields)


@pytest.mark.parametrize(
    ("video", "field"),
    [
        ("", "video_id"),
        (" ", "video_id"),
        ("clip.mp4", "video_id"),
        ("CLIP.MOV", "video_id"),
        ("videos/clip", "video_id"),
        ("C:\\clip", "video_id"),
        ("x" * 257, "video_id"),
        (Path("clip.mp4"), "video_id"),
        (b"ftyp", "video_id"),
        (7, "video_id"),
        (None, "video_id"),
        ("ftp://files.example/clip.mp4", "video_url"),
        ("https://", "video_url"),
        ("https://files.example/a b.mp4", "video_url"),
    ],
)
def test_what_names_no_video_is_refused(video: Any, field: str) -> None:
    """
    Paths and bytes above all: videos are not uploaded.
    """
    assert [field] == broken_fields(**video_fields(video))


@pytest.mark.parametrize("video", ["clip.mp4", Path("clip.mp4")])
def test_local_file_is_told_where_to_go(video: Any) -> None:
    """
    The rule says what to do with it.
    """
    (broken,) = FACE_IDENTIFICATION.rules(FaceRequest(**video_fields(video)), OFFICIAL)

    assert "put the file on a public web server or storage first" in broken.rule


def test_exactly_one_name_is_needed() -> None:
    """
    Neither none nor both.
    """
    assert ["video_id"] == broken_fields() == broken_fields(video_id="828338674655576157", video_url=URL)


@given(value=st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=3))
def test_no_value_makes_a_rule_raise(value: Any) -> None:
    """
    Whatever stands in a field is a broken rule or none.
    """
    assert set(broken_fields(video_id=value)) <= {"video_id"}
    assert set(broken_fields(video_url=value)) <= {"video_id", "video_url"}


def test_session_is_read() -> None:
    """
    With its faces and what it cost; times are milliseconds.
    """
    face: dict[str, Any] = {
        "face_id": "0",
        "face_image": "https://files.example/f.png?Signature=x",
        "start_time": 0,
        "end_time": 5041,
    }

    session = read({"session_id": "s-1", "final_unit_deduction": "0.05", "face_data": [face]})

    (known,) = session.faces
    assert Face("0", face["face_image"], 0, 5041) == known
    assert ("s-1", Decimal("0.05"), "r-1") == (session.session_id, session.units, session.request_id)
    assert "Signature" not in repr(session)


@pytest.mark.parametrize(
    ("listed", "faces"),
    [
        (None, ()),
        ([], ()),
        ("none", ()),
        ([None, "x", {}, {"face_id": ""}], ()),
        ([{"face_id": 0}, {"face_id": 1, "start_time": "250"}], (Face("0"), Face("1", None, 250))),
        ([{"face_id": "a"}] * (FACES_MAX + 1), (Face("a"),) * FACES_MAX),
    ],
)
def test_odd_lists_of_faces_are_read(listed: Any, faces: tuple[Face, ...]) -> None:
    """
    A session that is paid for is never lost to a face that cannot be read.
    """
    assert faces == read({"session_id": "s-1", "face_data": listed}).faces


@pytest.mark.parametrize("data", [None, {}, {"session_id": ""}, {"face_data": []}])
def test_answer_without_a_session_is_unexpected(data: Any) -> None:
    """
    It may have been made and charged.
    """
    with pytest.raises(UnexpectedAnswer, match="holds no session"):
        read(data)


def test_refusal_is_raised() -> None:
    """
    As for a create.
    """
    with pytest.raises(InvalidRequest, match="Video URL is invalid"):
        read(None, code=1201, message="Video URL is invalid")
