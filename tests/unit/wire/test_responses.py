"""
What an answer means; the shapes that services are known to send stand in `tests/samples`.
"""

import json
from collections.abc import Callable
from typing import Any, Final
from unittest import mock

import pytest
from hypothesis import example, given, strategies as st

from kling_async.errors import (
    InvalidRequest,
    KlingError,
    NoFreeSlot,
    NotAllowed,
    NotAuthenticated,
    RateLimited,
    ServiceFailure,
    TaskNotFound,
    UnexpectedAnswer,
)
from kling_async.wire import responses
from kling_async.wire.codec import read_task
from kling_async.wire.http_answer import Answer
from kling_async.wire.responses import (
    PAGE_MAX,
    Presence,
    is_duplicate_id,
    presence_of,
    read_created,
    read_news,
    read_page,
    read_snapshot,
)
from kling_async.wire.tasks import TaskSnapshot, TaskStatus

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
KEYS = st.sampled_from(
    [
        "code",
        "message",
        "msg",
        "request_id",
        "error",
        "success",
        "data",
        "result",
        "object",
        "detail",
        "path",
        "created",
    ]
) | st.sampled_from(["task_id", "id", "status", "task_status", "task_result", "images", "url", "index", "outputs"])
CODES = st.sampled_from([0, "0", "", "success", 1000, 1201, "1303", 1303.0, 5000, 200, 429, "task_not_exist", -1, True])
TREES = st.recursive(
    LEAVES | CODES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=20
)
BODIES = (
    st.binary(max_size=60)
    | TREES.map(lambda tree: json.dumps(tree).encode())
    | TREES.map(lambda tree: json.dumps({"code": "x", "message": json.dumps(tree)}).encode())
)
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "retry-after", "Date", "Content-Type"]),
    st.text(max_size=10) | st.sampled_from(["Wed, 21 Oct 2015 07:28:00 GMT", "99999999999 Oct 2015", "7", "9" * 400]),
)
DEEP = b'{"message":' * 900 + b"1" + b"}" * 900


def answer(payload: object, status: int = 200, **headers: str) -> Answer:
    """
    Make an answer of JSON.
    """
    return Answer(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(payload).encode()
    )


def error_of(read: Callable[[], object]) -> KlingError | None:
    """
    Return the KlingError that *read* raises, None where it returns a value.
    """
    try:
        read()
    except KlingError as error:
        return error
    return None


@given(st.integers(-1, 999), HEADERS, BODIES)
@example(200, {}, b"[" * 100_000)
@example(500, {}, DEEP)
@example(200, {}, DEEP)
@example(200, {}, b'{"code":' + b"9" * 5000 + b"}")
@example(200, {}, b'{"code":"' + b"9" * 5000 + b'"}')
@example(200, {}, b'{"code":0,"data":{"task_id":{"a":1}}}')
@example(200, {}, b'{"code":0,"data":[{"task_id":{"a":1}},{"task_id":"\\ud800"}]}')
@example(429, {"retry-after": "1 Jan 99999999999999999999 00:00:00"}, b"")
def test_every_answer_has_a_meaning(status: int, headers: dict[str, str], body: bytes) -> None:
    """
    Any status, headers and bytes give a value or a KlingError: no other exception ever.
    """
    taken = Answer(status, headers, body)

    assert all(
        error is None or (str(error) and error.http_status == status)
        for error in (
            error_of(lambda: read_created(taken)),
            error_of(lambda: read_page(taken)),
            error_of(lambda: read_snapshot(taken)),
            error_of(lambda: read_snapshot(taken, "task-1")),
        )
    )
    assert presence_of(error_of(lambda: read_snapshot(taken, "task-1"))) in Presence


@given(st.sampled_from([1000, 1102, 1201, 1303, 5000, "1303", 1303.0]), TREES, st.text("abc", min_size=1))
def test_known_code_wins(code: str | float, rest: Any, task_id: str) -> None:
    """
    A code of the vendor's table is an error, whatever stands beside it; the task in it is named.
    """
    payload = {"code": code, "data": {"task_id": task_id, "task_status": "submitted", "task_result": rest}}

    with pytest.raises(KlingError) as caught:
        read_created(answer(payload))

    assert int(code) == caught.value.code
    assert task_id == caught.value.task_id


@pytest.mark.parametrize(
    "payload",
    [
        {"code": 0, "data": {"task_id": "t-1"}},
        {"code": "0", "data": {"task_id": "t-1"}},
        {"code": 0.0, "data": {"task_id": "t-1"}},
        {"code": None, "data": {"task_id": "t-1"}},
        {"code": False, "data": {"task_id": "t-1"}},
        {"code": "OK", "data": {"task_id": "t-1"}},
        {"code": 200, "data": {"task_id": "t-1"}},
        {"code": {"value": 0}, "data": {"task_id": "t-1"}},
        {"data": {"task_id": "t-1", "id": 5}},
        {"data": {"id": "t-1"}},
        {"data": [{"task_id": "t-1"}]},
        {"data": {"data": {"task_id": "t-1"}}},
        {"data": {"data": '{"task_id": "t-1"}'}},
        {"data": '[{"task_id": "t-1"}]'},
        {"task_id": "t-1"},
        {"task_id": "", "id": "t-1", "status": "queued"},
        {"id": "t-1", "object": "video"},
        {"id": "t-1", "status": "failed", "error": {"code": 1301, "message": "no"}},
        {"task_id": {"odd": 1}, "data": {"task_id": "t-1"}},
        {"code": 0, "data": {"task_id": 1.5, "id": "t-1"}},
    ],
)
def test_no_task_id_is_lost(payload: object) -> None:
    """
    Where a good answer to a create holds a task's id, it is found, however deep it lies.
    """
    assert "t-1" == read_created(answer(payload)).task_id


@pytest.mark.parametrize(
    ("body", "task_id"),
    [
        (b'{"code":0,"data":{"task_id":"t-1","task_', "t-1"),
        (b'{"code":0,"data":{"task_id": 8672837417,"task_', "8672837417"),
        (b'{"code":0,"data":{"task_id": 86728374', None),
        (b'{"code":0,"data":{"task_id":"t-', None),
        (b'{"code":0,"data":{"task_id"', None),
    ],
)
def test_torn_answer_names_the_task(body: bytes, task_id: str | None) -> None:
    """
    Of an answer cut short behind the id, the error names the task; half an id is none.
    """
    with pytest.raises(UnexpectedAnswer) as caught:
        read_created(Answer(200, {}, body))

    assert task_id == caught.value.task_id


@pytest.mark.parametrize("task_id", ["x" * 257, "x" * 10**6])
def test_overlong_id_is_rejected(task_id: str) -> None:
    """
    A text longer than any known id is not an id: the answer is unexpected, and no error or page shows it.
    """
    data = {"task_id": task_id, "task_status": "submitted"}
    for body in (json.dumps({"code": 0, "data": data}).encode(), b'{"task_id":"' + task_id.encode()):
        with pytest.raises(UnexpectedAnswer) as caught:
            read_created(Answer(200, {}, body))
        assert caught.value.task_id is None
        assert len(str(caught.value)) < 300
    assert read_page(answer({"code": 0, "data": [data, {**data, "task_id": "t-2"}]}))[0].task_id == "t-2"


FORGED: Final = "x\nERROR all is lost\r\x1b[2J\u202e\u2028\0"


def test_external_text_never_starts_a_log_line() -> None:
    """
    Message, code, ids and reasons of a service stay on one line and within a length limit.
    """
    texts = []
    for status in (200, 400, 404, 429, 500):
        for body in (
            {"code": 1201, "message": FORGED, "request_id": FORGED * 1000, "data": {"task_id": FORGED}},
            {"code": FORGED, "message": FORGED * 1000, "request_id": FORGED},
            {"error": {"message": FORGED, "code": FORGED, "request_id": FORGED}, "task_id": FORGED},
            {"message": json.dumps({"code": 5000, "message": FORGED, "request_id": FORGED})},
            {"data": {"task_id": FORGED, "task_status": "failed"}, "request_id": FORGED, "message": FORGED},
        ):
            with pytest.raises(KlingError) as caught:
                read_created(answer(body, status))
            texts.append(str(caught.value))
    with pytest.raises(KlingError) as caught:
        read_created(Answer(502, {}, FORGED.encode() * 1000))
    texts.append(str(caught.value))
    failed = {
        "task_id": "t",
        "task_status": FORGED * 1000,
        "task_status_msg": FORGED * 1000,
        "request_id": FORGED * 1000,
    }
    seen = read_snapshot(answer({"code": 0, "data": failed, "request_id": FORGED}))
    texts += [seen.task_status_msg, str(seen.request_id), seen.status_word]

    assert all(text.isprintable() for text in texts), texts
    assert all(len(text) < 1200 for text in texts)
    assert any("x ERROR all is lost" in text for text in texts)


@pytest.mark.parametrize("task_id", [".", "..", "t\n1"])
def test_id_that_nobody_could_ask_for_is_none(task_id: str) -> None:
    """
    A task whose id stands in no path could never be read: the answer is unexpected, and the task may exist.
    """
    taken = answer({"code": 0, "data": {"task_id": task_id, "task_status": "submitted"}})
    for read in (read_created, read_snapshot):
        with pytest.raises(UnexpectedAnswer, match="an id that cannot stand in a path"):
            read(taken)

    assert "t-1" == read_snapshot(taken, "t-1").task_id


@pytest.mark.parametrize(
    "payload",
    [
        {"success": False, "data": {"task_id": "t-1"}},
        {"error": "no", "data": {"task_id": "t-1"}},
        {"error": {"message": "no"}, "data": {"task_id": "t-1"}},
    ],
)
def test_refusal_in_words_wins_over_data(payload: object) -> None:
    """
    An envelope that says no is believed, and the task beside it is named.
    """
    with pytest.raises(UnexpectedAnswer) as caught:
        read_created(answer(payload))

    assert "t-1" == caught.value.task_id


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (100, UnexpectedAnswer),
        (200, UnexpectedAnswer),
        (302, UnexpectedAnswer),
        (400, InvalidRequest),
        (401, NotAuthenticated),
        (403, NotAllowed),
        (405, UnexpectedAnswer),
        (408, ServiceFailure),
        (409, UnexpectedAnswer),
        (429, RateLimited),
        (500, ServiceFailure),
        (501, ServiceFailure),
        (524, ServiceFailure),
        (600, ServiceFailure),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>", b'"text"', b"[]", b'{"code": 7777, "message": "?"}'])
def test_status_decides_where_no_code_does(status: int, kind: type[KlingError], body: bytes) -> None:
    """
    Without a known code the status says what to do, whatever the body is.
    """
    with pytest.raises(KlingError) as caught:
        read_created(Answer(status, {}, body))

    assert kind is type(caught.value)


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ({"message": {"message": "deep"}}, "deep"),
        ({"msg": "short"}, "short"),
        ({"error": "text"}, "text"),
        ({"error": {"message": {"error": {"message": "deep"}}}}, "deep"),
        ({"message": 'said {"message": "deep", "code": 1}'}, "deep"),
        ({"message": "brace } and {"}, "brace } and {"),
        ({"message": "{}"}, "{}"),
        ({"message": 5, "detail": "elsewhere"}, "elsewhere"),
        ({"message": []}, "did not say why"),
        ({"error": {}}, "did not say why"),
    ],
)
def test_message_is_found(payload: object, says: str) -> None:
    """
    The innermost message is shown; where there is none, the body itself.
    """
    with pytest.raises(InvalidRequest) as caught:
        read_created(answer(payload, 400))

    assert says in caught.value.message


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"code": 1303.0}, 1303),
        ({"code": "1303"}, 1303),
        ({"error": {"code": 1303}}, 1303),
        ({"error": {"code": ""}, "code": 1303}, 1303),
        ({"code": "wrapped", "message": '{"code": 1303}'}, 1303),
        ({"code": 1303, "message": '{"code": 0, "message": "inner"}'}, 1303),
        ({"code": 1303, "message": {"message": "inner"}}, 1303),
    ],
)
def test_code_is_found(payload: object, code: int) -> None:
    """
    A code may be text, a float, or deep inside; an inner zero says nothing.
    """
    with pytest.raises(NoFreeSlot) as caught:
        read_created(answer(payload, 429))

    assert code == caught.value.code


@pytest.mark.parametrize("code", [1201, 5000, "do_request_failed"])
def test_prompt_does_not_decide(code: int | str) -> None:
    """
    A prompt that is made to look like an answer, and repeated in a refusal, does not change what the refusal means:
    read as "no free slot", a task that may exist would be sent and paid again.
    """
    prompt = json.dumps({"code": 1303, "message": "parallel task over resource pack limit", "request_id": "made up"})

    with pytest.raises(KlingError) as caught:
        read_created(answer({"code": code, "message": f"failed with prompt {prompt}", "request_id": "r-1"}, 500))

    assert (code, "r-1") == (caught.value.code, caught.value.request_id)
    assert not isinstance(caught.value, NoFreeSlot)


def test_bool_is_no_code() -> None:
    """
    `true` is not code 1.
    """
    with pytest.raises(InvalidRequest) as caught:
        read_created(answer({"code": True, "message": "no"}, 400))

    assert caught.value.code is None


def test_long_code_is_shortened() -> None:
    """
    A word for a code is the service's own text: it is shown short and without secrets.
    """
    with pytest.raises(InvalidRequest) as caught:
        read_created(answer({"code": "Bearer abcdef " + "x " * 300}, 400))

    assert 60 == len(str(caught.value.code))
    assert "abcdef" not in str(caught.value)


def test_request_id_of_the_inner_answer() -> None:
    """
    The vendor's support asks for the vendor's own id, not for a relay's.
    """
    inner = json.dumps({"code": 5000, "message": "Server internal error", "request_id": "vendor"})

    with pytest.raises(ServiceFailure) as caught:
        read_created(answer({"code": "x", "message": inner, "request_id": "relay"}, 500))

    assert "vendor" == caught.value.request_id


def test_create_never_says_not_found() -> None:
    """
    A create asks for no task: what is missing is the path or the model.
    """
    with pytest.raises(InvalidRequest) as caught:
        read_created(answer({"message": "no such model"}, 404))

    assert (404, "no such model") == (caught.value.http_status, caught.value.message)


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (404, {"message": "gone"}),
        (404, {"code": 1203, "message": "gone"}),
        (400, {"code": 1203, "message": "gone"}),
        (400, {"code": 1201, "message": "Task Not Found by id"}),
        (400, {"code": "task_not_exist"}),
        (200, {"code": 404, "message": "gone"}),
    ],
)
def test_task_not_found(status: int, payload: object) -> None:
    """
    The ways to say that there is no such task; the error names the task that was asked for.
    """
    with pytest.raises(TaskNotFound) as caught:
        read_snapshot(answer(payload, status), "t-1")

    assert "t-1" == caught.value.task_id


@pytest.mark.parametrize(
    ("status", "payload"), [(400, {"code": 1201, "message": "bad id"}), (401, {}), (429, {}), (500, {}), (200, {})]
)
def test_every_error_of_a_read_names_the_task(status: int, payload: object) -> None:
    """
    Whatever goes wrong, the error says which task was asked for.
    """
    with pytest.raises(KlingError) as caught:
        read_snapshot(answer(payload, status), "t-1")

    assert not isinstance(caught.value, TaskNotFound)
    assert "t-1" == caught.value.task_id


def test_id_asked_for_is_kept() -> None:
    """
    A relay may answer with the vendor's id; asked by an id of ours, the answer's own id counts.
    """
    taken = answer({"code": 0, "data": {"task_id": "vendors", "task_status": "submitted"}})

    assert "relays" == read_snapshot(taken, "relays").task_id
    assert "vendors" == read_snapshot(taken).task_id


@pytest.mark.parametrize("data", [{}, {"mood": "good"}, "text", 5, None, [], [{"task_id": "a"}, {"task_id": "b"}]])
def test_answer_without_the_task(data: object) -> None:
    """
    A good envelope that holds no task is refused, even for a known task: an empty one tells nothing of it.
    """
    with pytest.raises(UnexpectedAnswer, match="holds no task"):
        read_snapshot(answer({"code": 0, "message": "SUCCEED", "data": data}), "t-1")


def test_known_task_may_leave_out_its_id() -> None:
    """
    An answer about a known task needs no id, only a status.
    """
    taken = answer({"code": 0, "data": {"task_id": None, "status": "succeeded"}})

    assert TaskSnapshot(task_id="t-1", task_status=TaskStatus.SUCCEEDED, status_word="succeeded") == read_snapshot(
        taken, "t-1"
    )


@pytest.mark.parametrize(
    "payload",
    [
        {"code": 0, "data": [{"task_id": "a"}, {"task_id": {}}, {"id": "b", "status": "failed"}, 5]},
        {"code": "fine", "data": [{"task_id": "a"}, {"task_id": "b"}]},
        {"data": {"result": [{"task_id": "a"}, {"task_id": "b"}]}},
        {"data": '[{"task_id": "a"}, {"task_id": "b"}]'},
    ],
)
def test_page(payload: object) -> None:
    """
    A page is a list, at once or in `result`; what is no task in it is left out.
    """
    assert ["a", "b"] == [seen.task_id for seen in read_page(answer(payload))]


@pytest.mark.parametrize(
    ("shown", "is_news"),
    [
        ({"task_status_msg": "", "task_result": {}}, False),
        ({"task_status_msg": None}, False),
        ({"task_status_msg": "queued"}, True),
        ({"task_status": "processing"}, True),
    ],
)
def test_what_a_list_shows_empty_is_no_news(shown: dict[str, object], *, is_news: bool) -> None:
    """
    The answer to a create leaves it out; what is held stays as it is.
    """
    task = {"task_id": "t-1", "task_status": "submitted", "created_at": 1722769557708, "updated_at": 1722769557708}
    held = read_created(answer({"code": 0, "data": task}))
    seen, count = read_news(answer({"code": 0, "data": [{**task, **shown}]}), {"t-1": held})

    assert (is_news, 1) == (seen["t-1"] is not held, count)


def test_endless_page() -> None:
    """
    A page of more tasks than were ever asked for is refused before its tasks are read, which would take seconds.
    """
    tasks = [{"task_id": f"t-{number}"} for number in range(PAGE_MAX + 1)]

    assert PAGE_MAX == len(read_page(answer({"code": 0, "data": tasks[:-1]})))
    with pytest.raises(UnexpectedAnswer, match="holds 2001 tasks"):
        read_page(answer({"code": 0, "data": tasks}))


def test_repeated_task_is_read_once() -> None:
    """
    Of a task that stands in a list many times, the last snapshot alone is read.
    """
    shown = [{"task_id": "t-1", "task_status": word} for word in ("submitted", "processing", "failed")]

    with mock.patch.object(responses, "read_task", wraps=read_task) as read:
        seen, count = read_news(answer({"code": 0, "data": shown}), {"t-1": None})

    assert (3, 1, TaskStatus.FAILED) == (count, read.call_count, seen["t-1"].task_status)


@pytest.mark.parametrize("data", [None, 5, "text", {"result": None}, {"result": {}}])
def test_no_page(data: object) -> None:
    """
    What is no list is refused, never taken for an empty one: "no tasks" must not be read into nonsense.
    """
    with pytest.raises(UnexpectedAnswer, match="no list"):
        read_page(answer({"code": 0, "data": data}))


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (503, ServiceFailure)])
def test_retry_after_is_carried(status: int, kind: type[KlingError]) -> None:
    """
    Both classes that pass with time carry the service's hint, however long it is.
    """
    with pytest.raises(kind) as caught:
        read_created(answer({}, status, Retry_After="31536000"))

    assert {"retry_after": 31_536_000.0}.items() <= vars(caught.value).items()


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (InvalidRequest("External_task_id order-17 already exists", code=1201), True),
        (InvalidRequest("External_task_id already exist", code=1201), True),
        (InvalidRequest("already exists", code=1200), False),
        (InvalidRequest("model is not supported", code=1201), False),
        (TaskNotFound("already exists", code=1201), False),
    ],
)
def test_duplicate_id(error: KlingError, *, is_one: bool) -> None:
    """
    A reused external id is told by its code and its words together.
    """
    assert is_one == is_duplicate_id(error)


def test_body_is_not_in_the_repr() -> None:
    """
    An answer's body may hold signed addresses.
    """
    assert "sig" not in repr(Answer(200, {}, b"https://x/y?sig=1"))
