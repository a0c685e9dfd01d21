"""
Answers of something that is no Kling API, and what a read of a task that cannot exist tells of the address.
"""

import copy
import json
import pickle

import pytest

from kling_async.errors import (
    InvalidRequest,
    KlingError,
    NotAuthenticated,
    RateLimited,
    ServiceFailure,
    TaskNotFound,
    UnexpectedAnswer,
    Unreachable,
)
from kling_async.wire.http_answer import Answer
from kling_async.wire.other_apis import is_page, name_of_no_route, name_of_text
from kling_async.wire.responses import Presence, presence_of, read_created, read_snapshot

URL = "https://cdn.example/0.png?Signature=secret"
MADE_UP = "no-such-task"


def answer(payload: object, status: int = 200, content_type: str = "application/json") -> Answer:
    """
    Make an answer of JSON, or of bytes as they are.
    """
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Answer(status, {"content-type": content_type}, body)


def probe(taken: Answer) -> KlingError | None:
    """
    Read *taken* as the answer about a task that cannot exist.
    """
    try:
        read_snapshot(taken, MADE_UP)
    except KlingError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("taken", "presence"),
    [
        (answer({"code": 1201, "message": f"Task not found by id/external id: {MADE_UP}"}, 400), Presence.HERE),
        (answer({"code": 1203, "message": "The requested resource does not exist"}, 404), Presence.HERE),
        (answer({"code": "task_not_exist", "message": "task_not_exist", "data": None}, 400), Presence.HERE),
        (answer({"code": "task_not_exist", "message": "", "data": None}, 404), Presence.HERE),
        (answer({"code": 1002, "message": "Authorization is invalid"}, 401), Presence.HERE),
        (answer({"code": 5001, "message": "maintenance"}, 503), Presence.HERE),
        (answer({"code": 0, "data": {"task_id": "t-1", "task_status": "submitted"}}), Presence.HERE),
        (answer(b"<!doctype html><html></html>", 200, "text/html"), Presence.ABSENT),
        (answer(b"<html>404 Not Found</html>", 404, "text/html"), Presence.ABSENT),
        (answer(b"404 page not found\n", 404, "text/plain"), Presence.ABSENT),
        (answer(b"", 301), Presence.ABSENT),
        (answer({"detail": "Not Found"}, 404), Presence.ABSENT),
        (answer({"timestamp": 1, "status": 404, "error": "Not Found", "path": "/x"}, 404), Presence.ABSENT),
        (answer({"error": {"message": "Invalid URL (GET /kling/v1/x)", "code": ""}}, 404), Presence.ABSENT),
        (answer({"code": 1202, "message": "The requested method is invalid"}, 404), Presence.ABSENT),
        (answer({"message": "gone"}, 404), Presence.UNCLEAR),
        (answer({"detail": "Not found."}, 404), Presence.UNCLEAR),
        (answer(b"", 404), Presence.UNCLEAR),
        (answer(b"no task of this id", 404, "text/plain"), Presence.UNCLEAR),
        (answer(b"<html>502</html>", 502, "text/html"), Presence.UNCLEAR),
        (answer(b"<html>attention required</html>", 403, "text/html"), Presence.UNCLEAR),
        (answer(b"", 429), Presence.UNCLEAR),
        (answer({"error": {"message": "Invalid token", "code": ""}}, 401), Presence.UNCLEAR),
        (answer(b'{"code":0,"data":{"task_'), Presence.UNCLEAR),
        (answer({"code": 0, "message": "SUCCEED", "data": None}), Presence.UNCLEAR),
    ],
)
def test_read_of_a_made_up_task_tells_of_the_address(taken: Answer, presence: Presence) -> None:
    """
    Words of the vendor or of a relay show that the API is here, those of the web at large that it is not; what may come
    from either, and what broke on the way, shows nothing.
    """
    error = probe(taken)

    assert presence is presence_of(error)


@pytest.mark.parametrize(
    "error", [Unreachable("?"), ServiceFailure("?"), RateLimited("?"), TaskNotFound("?"), NotAuthenticated("?")]
)
def test_error_without_an_answer_tells_nothing(error: KlingError) -> None:
    """
    A broken connection is no word about the address.
    """
    assert Presence.UNCLEAR is presence_of(error)


@pytest.mark.parametrize(
    ("taken", "is_other"),
    [
        (answer(b"<!doctype html><html></html>", 200, "text/html; charset=utf-8"), True),
        (answer(b"\xef\xbb\xbf\n <html></html>", 200, ""), True),
        (answer(b"please sign in", 200, "text/html"), True),
        (answer({"created": 1, "data": [{"url": URL}]}), True),
        (answer({"detail": "Method Not Allowed"}, 405), True),
        (answer(b"Method Not Allowed", 405, "text/plain"), True),
        (answer(b'{"code":0,"data":{"task_', 200, "text/html"), False),
        (answer(b"\x1f\x8b\x08\x00garbled"), False),
        (answer(b""), False),
        (answer(b"", 200, "text/html"), False),
        (answer([]), False),
        (answer({"created": 1, "data": []}), False),
        (answer({"code": 0, "message": "SUCCEED", "data": {}}), False),
        (answer({"message": "odd"}, 409), False),
    ],
)
def test_create_tells_other_apis_from_broken_answers(taken: Answer, is_other: bool) -> None:  # noqa: FBT001
    """
    A page, OpenAI's answer and a framework's 405 are told from the right answer that was cut or garbled.
    """
    with pytest.raises(UnexpectedAnswer) as caught:
        read_created(taken)

    assert is_other is caught.value.is_other_api
    assert not is_other or "check base_url" in caught.value.message


@pytest.mark.parametrize(
    "payload",
    [
        {"created": 1, "data": [{"url": URL}]},
        {"created": 1, "data": [{"url": URL, "revised_prompt": "x"}], "usage": {}},
        {"images": [{"url": URL}]},
        {"images": [URL]},
        {"data": {"images": [{"index": 0, "url": URL}]}, "code": 0},
        {"data": {"image_urls": [URL]}},
        {"output": [URL], "status": "succeeded"},
        {"output": URL},
        {"result": {"url": URL}},
        {"url": URL},
    ],
)
def test_paid_picture_is_not_thrown_away(payload: object) -> None:
    """
    Pictures in an answer without a task are in the error with their whole addresses, through pickle and copy; its text
    shows no address.
    """
    with pytest.raises(UnexpectedAnswer) as caught:
        read_created(answer(payload))
    error = caught.value

    assert [(URL,)] * 3 == [each.urls for each in (error, pickle.loads(pickle.dumps(error)), copy.copy(error))]  # noqa: S301
    assert "1 picture" in error.message
    assert not any("cdn.example" in shown or "secret" in shown for shown in (str(error), repr(error)))


def test_picture_in_base64_is_kept_too() -> None:
    """
    OpenAI also sends the picture itself: it becomes a `data:` address.
    """
    with pytest.raises(UnexpectedAnswer) as caught:
        read_created(answer({"created": 1, "data": [{"b64_json": "iVBORw0KGgo="}, {"b64_json": 5}]}))

    assert ("data:image/png;base64,iVBORw0KGgo=",) == caught.value.urls


def test_code_of_the_vendor_wins_over_a_shape() -> None:
    """
    An envelope with a known code is the vendor's, whatever else it looks like.
    """
    error = probe(answer({"code": 1201, "message": "Task not found by id", "detail": "Not Found"}, 400))

    assert isinstance(error, TaskNotFound)


def test_relay_whose_upstream_lacks_the_path_is_still_a_relay() -> None:
    """
    Another service's "no such route" inside a relay's answer says nothing about the address that was asked.
    """
    inner = json.dumps({"detail": "Not Found"})
    with pytest.raises(InvalidRequest) as caught:
        read_created(answer({"code": "fail_to_fetch_task", "message": inner, "data": None}, 404))

    assert presence_of(caught.value) is not Presence.ABSENT


@pytest.mark.parametrize("status", [200, 400, 403, 500, 503])
def test_shapes_count_under_404_and_405_alone(status: int) -> None:
    """
    Under any other status the same JSON means something else.
    """
    assert name_of_no_route(404, {"detail": "Not Found"}) is not None
    assert name_of_no_route(status, {"detail": "Not Found"}) is None


@pytest.mark.parametrize(
    "payload",
    [
        {"exception": "RoutingError" * 100_000},
        {"message": "Route GET:/" + "x" * 1_000_000},
        {"message": "The route " + "could not be found" * 100_000},
        {"timestamp": 1, "status": 404, "path": "/", "error": "Not Found", "message": "No endpoint" * 100_000},
    ],
)
def test_long_fields_are_not_searched(payload: dict[str, object]) -> None:
    """
    Of a field only its beginning is looked at, so that no answer can keep the event loop busy.
    """
    assert name_of_no_route(404, payload) is None


def test_page_needs_no_type() -> None:
    """
    A page is told by its first character, or by its type where it is no JSON either.
    """
    assert is_page({}, b"  <html>")
    assert is_page({"Content-Type": "text/html"}, b"hello")
    assert not is_page({"Content-Type": "text/html"}, b' {"code": 0')
    assert not is_page({}, b"hello")
    assert name_of_text(200, {}, b"404 page not found") is None
