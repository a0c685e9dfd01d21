"""
How values become JSON and back.
"""

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import pytest
from hypothesis import given, strategies as st

from kling_async.wire import json_text
from kling_async.wire.codec import read_request, read_task, write_request, write_task
from kling_async.wire.endpoints.image_generation import AspectRatio, ImageReference, ImageRequest, Model, Resolution
from kling_async.wire.json_text import dumps, loads, read_patiently
from kling_async.wire.result_lists import FILES_MAX
from kling_async.wire.scalars import read_id, read_nested, read_whole
from kling_async.wire.status import read_word
from kling_async.wire.task_shapes import addresses_in, is_task
from kling_async.wire.tasks import BalanceDeduction, Image, TaskInfo, TaskOutput, TaskSnapshot, TaskStatus

Loads: TypeAlias = Callable[[bytes], Any]

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
FIELDS = (
    st.sampled_from(
        ["task_status", "status", "task_status_msg", "message", "error", "fail_reason", "code", "data", "raw"]
    )
    | st.sampled_from(
        ["task_result", "outputs", "url", "result_url", "metadata", "task_info", "external_id", "billing"]
    )
    | st.sampled_from(["created_at", "create_time", "updated_at", "finish_time", "final_unit_deduction", "request_id"])
)
WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=12)
TIMES = st.integers(10**11, 4 * 10**12).map(lambda ms: dt.datetime.fromtimestamp(ms / 1000, dt.UTC))
URLS = WORDS.map(lambda word: f"https://cdn.example/{word}.png?sig={word}")
IMAGES = st.lists(
    st.builds(Image, st.integers(0, 9), URLS, st.none() | URLS), max_size=9, unique_by=lambda image: image.index
).map(lambda images: tuple(sorted(images, key=lambda image: image.index)))
CASH = st.builds(
    BalanceDeduction,
    st.decimals(0, 10**6, places=4),
    st.none() | st.decimals(0, 10**6, places=4),
    st.sampled_from([None, "USD", "CNY"]),
)
STATUS_WORDS = st.sampled_from(["submitted", "processing", "succeed", "failed"]) | WORDS


@st.composite
def snapshots(draw: st.DrawFn) -> TaskSnapshot:
    """
    Snapshots as the wire can hold them.
    """
    word = draw(STATUS_WORDS)
    return TaskSnapshot(
        task_id=draw(WORDS),
        task_status=read_word(word)[0],
        status_word=word,
        task_status_msg=draw(WORDS | st.just("") | st.just("图片像素不符合要求")),
        task_result=TaskOutput(draw(IMAGES)),
        task_info=TaskInfo(draw(st.none() | WORDS)),
        created_at=draw(st.none() | TIMES),
        updated_at=draw(st.none() | TIMES),
        final_unit_deduction=draw(st.none() | st.decimals(0, 10**6, places=2)),
        final_balance_deduction=draw(st.none() | CASH),
        request_id=draw(st.none() | WORDS),
    )


REQUESTS = st.builds(
    ImageRequest,
    st.text(min_size=1, max_size=50),
    negative_prompt=st.none() | WORDS,
    image=st.none() | URLS,
    image_fidelity=st.none() | st.floats(0, 1),
    n=st.integers(1, 9),
    aspect_ratio=st.none() | st.sampled_from(AspectRatio),
    callback_url=st.none() | URLS,
    model_name=st.none() | st.sampled_from(Model) | WORDS,
    image_reference=st.none() | st.sampled_from(ImageReference),
    human_fidelity=st.none() | st.floats(0, 1),
    resolution=st.none() | st.sampled_from(Resolution),
    external_task_id=st.none() | WORDS,
)


@given(st.dictionaries(FIELDS | st.text(max_size=8), JSON, max_size=8), WORDS | st.integers(1, 2**70))
def test_any_object_with_an_id_is_a_task(fields: dict[str, Any], task_id: str | int) -> None:
    """
    Whatever else it holds, an object with an id is read, and the id is exact.
    """
    seen = read_task({**fields, "task_id": task_id})

    assert str(task_id) == seen.task_id


@given(st.dictionaries(FIELDS | st.sampled_from(["task_id", "id"]), JSON, max_size=8))
def test_any_object_is_a_task_or_a_value_error(fields: dict[str, Any]) -> None:
    """
    An object that looks like a task can be read as one; of any other, reading may only say ValueError.
    """
    try:
        readable = bool(read_task(fields).task_id)
    except ValueError:
        readable = False

    assert readable or not is_task(fields)


@given(snapshots())
def test_snapshot_travels(snapshot: TaskSnapshot) -> None:
    """
    A snapshot is the same after writing and reading; the request id stands in the envelope, not in the task.
    """
    again = loads(dumps(write_task(snapshot)))

    assert snapshot == read_task(again, request_id=snapshot.request_id)


@given(REQUESTS)
def test_request_travels(request: ImageRequest) -> None:
    """
    A request is the same after writing and reading, enums as their text.
    """
    again = loads(dumps(write_request(request)))

    assert request == read_request(again, ImageRequest)


def test_unset_fields_are_not_sent() -> None:
    """
    A body holds what was set, and always `n`.
    """
    body = write_request(ImageRequest("a lighthouse", aspect_ratio=AspectRatio.R16_9))

    assert {"prompt": "a lighthouse", "n": 1, "aspect_ratio": "16:9"} == body


def test_raw_image_is_not_written() -> None:
    """
    Bytes or a path in a request about to be written are a mistake of ours: they should be Base64 by then.
    """
    with pytest.raises(AssertionError, match="Base64"):
        write_request(ImageRequest("a lighthouse", image=Path("cat.png")))


def test_empty_text_is_no_value() -> None:
    """
    The vendor's examples send "" for what they leave out; so may a request that is read. An empty prompt stays one.
    """
    body = {"prompt": "", "negative_prompt": "", "callback_url": "", "image_fidelity": None}

    assert ImageRequest("") == read_request(body, ImageRequest)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"prompt": None},
        {"prompt": 5},
        {"prompt": "a", "n": "2"},
        {"prompt": "a", "n": True},
        {"prompt": "a", "n": 1.5},
        {"prompt": "a", "image": ["x"]},
        {"prompt": "a", "image_fidelity": "0.5"},
        {"prompt": "a", "image_fidelity": True},
    ],
)
def test_request_is_read_strictly(wrong: dict[str, Any]) -> None:
    """
    A field of the wrong type is refused, never bent into shape.
    """
    with pytest.raises(ValueError, match=r"prompt|n|image"):
        read_request(wrong, ImageRequest)


@pytest.mark.parametrize(
    ("wrong", "named"), [({"prompt": 5, "n": "2"}, ("$.prompt", "$.n")), ({"n": 1}, ("$.prompt",))]
)
def test_refusal_names_the_fields(wrong: dict[str, Any], named: tuple[str, ...]) -> None:
    """
    All fields of the wrong type are named at once.
    """
    with pytest.raises(ValueError) as caught:
        read_request(wrong, ImageRequest)

    assert all(name in str(caught.value) for name in named)


@pytest.mark.parametrize("number", [867283741759111202, 829836802793406551, 2**63, 10**40])
def test_id_as_a_number_is_exact(number: int) -> None:
    """
    An id beyond 2^53 that comes as a number loses no digit.
    """
    body = b'{"task_id":%d,"task_status":"submitted"}' % number

    assert str(number) == read_task(loads(body)).task_id


@pytest.mark.parametrize("odd", [None, "", "  ", 0, -1, True, 1.5, [], {}, ["a"], {"a": 1}])
def test_what_cannot_be_an_id(odd: object) -> None:
    """
    Only text and whole numbers are ids.
    """
    assert read_id(odd) is None
    assert not is_task({"task_id": odd, "task_status": "submitted"})


def test_without_an_id_is_no_task() -> None:
    """
    Money hangs on the id: without one there is no snapshot.
    """
    with pytest.raises(ValueError, match="no readable id"):
        read_task({"task_status": "submitted", "task_id": None})


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        ({"task_id": "a"}, True),
        ({"id": "a", "status": ""}, True),
        ({"id": "a", "task_status": ""}, True),
        ({"id": "a", "object": "video"}, True),
        ({"id": "a", "data": {}}, False),
        ({"task_id": ""}, False),
        (["task_id"], False),
        (None, False),
    ],
)
def test_what_looks_like_a_task(value: object, *, is_one: bool) -> None:
    """
    An id alone is no task: an envelope may have one of its own.
    """
    assert is_one == is_task(value)


@pytest.mark.parametrize(
    ("value", "at"),
    [
        (1722769557708, dt.datetime(2024, 8, 4, 11, 5, 57, 708000, tzinfo=dt.UTC)),
        ("1722769557708", dt.datetime(2024, 8, 4, 11, 5, 57, 708000, tzinfo=dt.UTC)),
        (1722769557, dt.datetime(2024, 8, 4, 11, 5, 57, tzinfo=dt.UTC)),
        ("1722769557", dt.datetime(2024, 8, 4, 11, 5, 57, tzinfo=dt.UTC)),
        (0, None),
        ("", None),
        (-1, None),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**30, None),
        (10**400, None),
        ("yesterday", None),
        ({}, None),
    ],
)
def test_times(value: object, at: dt.datetime | None) -> None:
    """
    Milliseconds, seconds, text or nonsense: an aware time in UTC, or none.
    """
    assert at == read_task({"task_id": "a", "task_status": "submitted", "created_at": value}).created_at


@pytest.mark.parametrize(
    ("value", "units"),
    [
        ("8", Decimal(8)),
        (8, Decimal(8)),
        (0.5, Decimal("0.5")),
        ("0", Decimal(0)),
        ("", None),
        ("many", None),
        (True, None),
        ([8], None),
        ("Infinity", None),
        ("1e999999", None),
        ("1e-999999", None),
    ],
)
def test_units(value: object, units: Decimal | None) -> None:
    """
    Units are exact, and absent where they make no sense.
    """
    assert (
        units
        == read_task({"task_id": "a", "task_status": "succeed", "final_unit_deduction": value}).final_unit_deduction
    )


@pytest.mark.parametrize(
    ("item", "images"),
    [
        ("https://x/0.png", (Image(0, "https://x/0.png"),)),
        ({"index": 3, "url": "https://x/0.png"}, (Image(3, "https://x/0.png"),)),
        ({"index": "3", "url": "https://x/0.png"}, (Image(3, "https://x/0.png"),)),
        ({"index": 3.0, "url": "https://x/0.png"}, (Image(3, "https://x/0.png"),)),
        ({"index": -1, "url": "https://x/0.png"}, (Image(0, "https://x/0.png"),)),
        ({"index": "9" * 5000, "url": "https://x/0.png"}, (Image(0, "https://x/0.png"),)),
        ({"index": 0, "url": "https://x/0.png", "watermark_url": 1}, (Image(0, "https://x/0.png"),)),
        ({"index": 0, "url": ""}, ()),
        ({"index": 0, "url": 5}, ()),
        (5, ()),
    ],
)
def test_pictures(item: object, images: tuple[Image, ...]) -> None:
    """
    A picture has a URL; its index is its place where none is told.
    """
    task = {"task_id": "a", "task_status": "succeed", "task_result": {"images": [item]}}

    assert images == read_task(task).task_result.images


@pytest.mark.parametrize(
    ("result", "urls"),
    [
        ({"outputs": [{"type": "image", "url": "https://x/0.png"}, {"type": "video", "url": "https://x/0.mp4"}, 5]}, 1),
        ({"outputs": []}, 0),
        ({"url": "https://x/0.png"}, 1),
        ({"result_url": "https://x/0.png"}, 1),
        ({"metadata": {"url": "https://x/0.png"}}, 1),
        ({"metadata": "https://x/0.png"}, 0),
        ({"task_result": {"images": "https://x/0.png"}}, 0),
        ({"task_result": "https://x/0.png"}, 0),
        ({"data": {"url": "https://x/0.png"}}, 1),
        ({"data": [{"url": "https://x/0.png"}, {"url": "https://x/1.png"}]}, 2),
        ({"data": ["t-1", "t-2"]}, 0),
        ({"data": '{"image_urls": ["https://x/0.png", "https://x/1.png"]}'}, 2),
        ({"output": {"url": "https://x/0.png"}}, 1),
        ({"output": {"image_urls": ["https://x/0.png", "https://x/1.png"]}}, 2),
        ({"output": ["https://x/0.png", "https://x/1.png"]}, 2),
        ({"output": "https://x/0.png"}, 1),
        ({"output": "succeeded"}, 0),
        ({"result": {"url": "https://x/0.png"}}, 1),
        ({"result": {"images": ["https://x/0.png", {"image_url": "https://x/1.png"}]}}, 2),
        ({"result": {"image_url": "https://x/0.png"}}, 1),
        ({"result": [{"url": "https://x/0.png"}, {"type": "video", "url": "https://x/0.mp4"}]}, 1),
        ({"image_urls": ["https://x/0.png", "https://x/1.png"]}, 2),
        ({"image_urls": None, "url": "https://x/0.png"}, 1),
        ({"result_urls": ["https://x/0.png"]}, 1),
        ({"task_result": {"image_urls": ["https://x/0.png"]}}, 1),
        ({"task_result": {"videos": None, "images": [], "url": "https://x/0.png"}}, 1),
        ({"task_result": {}, "data": {"images": [{"url": "data:image/png;base64,AAAA"}]}}, 1),
        ({"image_url": "https://x/reference.png"}, 0),
        ({"images": ["https://x/reference.png"]}, 0),
        ({"input": {"image_urls": ["https://x/reference.png"]}}, 0),
    ],
)
@pytest.mark.parametrize("names", [("id", "status"), ("task_id", "task_status")])
def test_pictures_in_other_shapes(result: dict[str, Any], urls: int, names: tuple[str, str]) -> None:
    """
    The vendor's new standard and the gateways keep pictures elsewhere, beside whichever words for id and status; what
    repeats the request is no picture.
    """
    images = read_task({names[0]: "a", names[1]: "succeeded", **result}).task_result.images

    assert urls == len(images)
    assert list(range(urls)) == [image.index for image in images]


def test_pictures_of_the_vendor_come_first() -> None:
    """
    Where a relay shows one picture beside the vendor's list, the list is read.
    """
    result = {"images": [{"index": 0, "url": "https://x/0.png"}, {"index": 1, "url": "https://x/1.png"}]}
    seen = read_task({"task_id": "a", "task_status": "succeed", "task_result": result, "url": "https://y/one.png"})

    assert ["https://x/0.png", "https://x/1.png"] == [image.url for image in seen.task_result.images]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"task_status_msg": "too dark"}, "too dark"),
        ({"fail_reason": "too dark"}, "too dark"),
        ({"error": {"code": 1301, "message": "too dark"}}, "too dark"),
        ({"error": "too dark"}, "too dark"),
        ({"message": "too dark"}, "too dark"),
        ({"code": 0, "message": "SUCCEED"}, ""),
        ({"error": {"code": 1301}}, ""),
        ({"error": ["too dark"]}, ""),
        ({"data": {"task_status": "failed", "task_status_msg": "too dark"}}, "too dark"),
        ({"data": {"code": 0, "data": {"task_status": "failed", "task_status_msg": "too dark"}}}, "too dark"),
        ({"data": '{"task_status": "failed", "task_status_msg": "too dark"}'}, "too dark"),
        ({"data": {"data": "nothing"}}, ""),
        ({"fail_reason": "see https://x/y?sig=abc"}, "see https://x/y?…"),
    ],
)
def test_reasons(said: dict[str, Any], reason: str) -> None:
    """
    Why a task failed stands in many places, but never in an envelope's message; it is fit to be shown.
    """
    assert reason == read_task({"task_id": "a", "status": "failed", **said}).task_status_msg


def test_odd_fields_cost_no_task() -> None:
    """
    What cannot be read is absent, what is not known is kept in `raw`: the task is paid for all the same.
    """
    task = {"task_id": "a", "task_status": {"word": 1}, "request_id": [], "task_info": 5, "mood": "good"}

    seen = read_task(task)

    assert TaskSnapshot(task_id="a", task_status=TaskStatus.UNKNOWN) == seen
    assert task == seen.raw


def test_envelope_names_the_request() -> None:
    """
    The envelope's request id goes before one inside of the task.
    """
    task = {"task_id": "a", "task_status": "submitted", "request_id": "inner"}

    assert "inner" == read_task(task).request_id
    assert "outer" == read_task(task, request_id="outer").request_id


@pytest.mark.parametrize(
    ("snapshot", "word"),
    [
        (TaskSnapshot(task_id="a", task_status=TaskStatus.SUCCEEDED), "succeed"),
        (TaskSnapshot(task_id="a", task_status=TaskStatus.UNKNOWN), ""),
        (TaskSnapshot(task_id="a", task_status=TaskStatus.UNKNOWN, status_word="paused"), "paused"),
    ],
)
def test_written_word(snapshot: TaskSnapshot, word: str) -> None:
    """
    A task is written with the service's own word, else with the vendor's.
    """
    assert word == write_task(snapshot)["task_status"]


def test_units_are_written_without_exponent() -> None:
    """
    Units are written as the vendor writes them.
    """
    snapshot = TaskSnapshot(task_id="a", task_status=TaskStatus.SUCCEEDED, final_unit_deduction=Decimal("1E+3"))

    assert "1000" == write_task(snapshot)["final_unit_deduction"]


def test_units_of_a_bill_are_summed() -> None:
    """
    The new standard bills in items; only units count as units.
    """
    billing = [
        {"charge_type": "unit", "amount": "8"},
        {"charge_type": "unit", "amount": "0.5"},
        {"charge_type": "cash"},
        5,
    ]
    task = {"id": "a", "status": "succeeded"}

    assert Decimal("8.5") == read_task({**task, "billing": billing}).final_unit_deduction
    assert read_task({**task, "billing": billing[2:]}).final_unit_deduction is None


def test_cash_and_units_are_told_apart() -> None:
    """
    The new standard bills both in items of one list, the legacy one in two fields; one never counts for the other.
    """
    billing = [
        {"charge_type": "unit", "amount": "8"},
        {"charge_type": "cash", "cash_type": "balance", "amount": "0.02", "currency": "USD", "list_price": "0.03"},
        {"charge_type": "cash", "amount": "0.01", "currency": "USD"},
        {"charge_type": "cash", "amount": "much"},
    ]
    new = read_task({"id": "a", "status": "succeeded", "billing": billing})
    legacy = read_task(
        {
            "task_id": "a",
            "task_status": "succeed",
            "final_unit_deduction": "8",
            "final_balance_deduction": {"quota": "0.03", "list_price": "0.03"},
        }
    )

    assert (Decimal(8), Decimal(8)) == (new.final_unit_deduction, legacy.final_unit_deduction)
    assert BalanceDeduction(Decimal("0.03"), Decimal("0.03"), "USD") == new.final_balance_deduction
    assert BalanceDeduction(Decimal("0.03"), Decimal("0.03")) == legacy.final_balance_deduction


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ({"quota": "0.056", "list_price": "0.07"}, BalanceDeduction(Decimal("0.056"), Decimal("0.07"))),
        ({"quota": 0.056}, BalanceDeduction(Decimal("0.056"))),
        ('{"quota": "0.056"}', BalanceDeduction(Decimal("0.056"))),
        ({"quota": "0", "list_price": "", "currency": 5}, BalanceDeduction(Decimal(0))),
        ({"quota": "much"}, None),
        ({"list_price": "0.07"}, None),
        ({}, None),
        ("0.056", None),
        ([], None),
        (None, None),
    ],
)
def test_cash(value: object, taken: BalanceDeduction | None) -> None:
    """
    Money is exact, and absent where it makes no sense.
    """
    task = {"task_id": "a", "task_status": "succeed", "final_balance_deduction": value}

    assert taken == read_task(task).final_balance_deduction


def test_new_apis_own_task_tells_the_vendors_cash() -> None:
    """
    A relay's task keeps the vendor's bill in the vendor's raw answer.
    """
    raw = {"task_id": "v", "task_status": "succeed", "final_balance_deduction": {"quota": "0.056"}}
    seen = read_task({"task_id": "a", "status": "SUCCESS", "data": {"code": 0, "data": raw}})

    assert BalanceDeduction(Decimal("0.056")) == seen.final_balance_deduction


@pytest.mark.parametrize(
    ("external_id", "info"), [(None, {}), ("", {}), ("order-17", {"external_task_id": "order-17"})]
)
def test_info_is_empty_where_nothing_was_given(external_id: str | None, info: dict[str, str]) -> None:
    """
    The vendor sends an empty `task_info` then.
    """
    bare = TaskSnapshot(task_id="a", task_status=TaskStatus.SUBMITTED, task_info=TaskInfo(external_id))

    assert info == write_task(bare)["task_info"]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, 5),
        ("5", 5),
        (5.0, 5),
        ("-1", -1),
        (True, None),
        (5.5, None),
        ("--5", None),
        ("5.0", None),
        (float("inf"), None),
        (10**13, None),
        ("9" * 5000, None),
        (None, None),
    ],
)
def test_whole_numbers(value: object, number: int | None) -> None:
    """
    A whole number may be text or end in .0; one that is out of proportion is none.
    """
    assert number == read_whole(value)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": "\xff"}', {"a": "\ufffd"}),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
        (b'{"a": "\\ud83d"}', {"a": "?"}),
        (b'{"a": NaN, "b": -Infinity}', {"a": None, "b": None}),
        ("图".encode().join([b'"', b'"']), "图"),
    ],
)
@pytest.mark.parametrize("loads", [loads, read_patiently])
def test_json_of_doubtful_quality(body: bytes, value: object, loads: Loads) -> None:
    """
    A damaged character costs that character alone, and no text is left that could not be written again.
    """
    assert value == loads(body)
    assert value == loads(dumps(loads(body)))


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b'{"a": 1', b"[" * 100_000, b'{"a":' * 10_000, b"9" * 5000, "{}".encode("utf-16"), b"\xff\xfe"],
)
@pytest.mark.parametrize("loads", [loads, read_patiently])
def test_not_json(body: bytes, loads: Loads) -> None:
    """
    Whatever is not JSON is a ValueError, and nothing else.
    """
    with pytest.raises(ValueError):
        loads(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_value_error(body: bytes) -> None:
    """
    No bytes make another exception.
    """
    try:
        value = loads(body)
    except ValueError:
        return

    assert value == loads(dumps(value))


def outcome(loads: Loads, body: bytes) -> str:
    """
    Return what is read or refused, exactly: a repr tells 1 from 1.0 and from True, and the order of keys.
    """
    try:
        return repr(loads(body))
    except ValueError as error:
        return repr(error)


PIECES = (
    st.sampled_from(
        [b"{", b"}", b"[", b"]", b",", b":", b'"', b'"a"', b'"a":', b" ", b"\n", b"\x0c", b"\x00", b"/*", b"'"]
    )
    | st.sampled_from(
        [b"\\", b"\\u", b"\\u0000", b"\\ud83d", b"\\ude00", b"\\n", b"\\x", b"\x7f", "图".encode(), "😀".encode()]
    )
    | st.sampled_from(
        [b"\xef\xbb\xbf", b"\xff", b"\xed\xa0\x80", b"NaN", b"-Infinity", b"null", b"true", b"1", b"-0", b".5"]
    )
    | st.sampled_from(
        [b"e4", b"e400", b"1e-400", b"01", b"0.1", b"4.9e-324", b"9" * 18, b"9" * 19, b"9" * 20, b"-" + b"9" * 19]
    )
)


@given(st.binary(max_size=100) | st.lists(PIECES, max_size=20).map(b"".join))
def test_both_decoders_agree_on_any_bytes(body: bytes) -> None:
    """
    The extra "fast" changes neither what is read nor how it is refused.
    """
    assert outcome(read_patiently, body) == outcome(loads, body)


@given(JSON, st.booleans(), st.sampled_from([None, 1]))
def test_both_decoders_agree_on_json(value: object, is_ascii: bool, indent: int | None) -> None:  # noqa: FBT001
    """
    However it is written, numbers of any size and halves of characters included.
    """
    body = json.dumps(value, ensure_ascii=is_ascii, indent=indent).encode(errors="surrogatepass")

    assert outcome(read_patiently, body) == outcome(loads, body)


@pytest.mark.parametrize(
    ("body", "is_fast"),
    [
        (b'{"element_id": 829836802793406551}', True),
        (b'{"code": 0, "data": [{"price": 1.2345678901234567890123, "sign": "1234567890123456789012345"}]}', True),
        (b"1234567890123456789", False),
        (b'{"a":-1234567890123456789}', False),
        (b"[1,\n1234567890123456789]", False),
        (b'{"a": NaN}', False),
    ],
)
def test_what_is_read_fast(monkeypatch: pytest.MonkeyPatch, body: bytes, is_fast: bool) -> None:  # noqa: FBT001
    """
    Whatever is plain, and no number that would be rounded.
    """
    slow: list[bytes] = []
    monkeypatch.setattr(json_text, "read_patiently", slow.append)
    loads(body)

    assert ([] if is_fast else [body]) == slow


def test_the_fast_decoder_may_be_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Then the standard library reads all.
    """
    monkeypatch.setattr(json_text, "orjson", None)

    assert {"a": 1} == loads(b'{"a": 1}')


@pytest.mark.parametrize(
    ("value", "nested"),
    [('{"a": 1}', {"a": 1}), (" [1]", [1]), ("{a", "{a"), ("text", "text"), (5, 5), ("{\ud800", "{\ud800")],
)
def test_nested_json(value: object, nested: object) -> None:
    """
    Text that holds an object or a list stands for it; any other value is itself.
    """
    assert nested == read_nested(value)


def test_codec_keeps_numbers_exact() -> None:
    """
    What is kept in `raw` is what came.
    """
    body = {"task_id": "a", "task_status": "succeed", "element_id": 829836802793406551, "price": 0.056}

    assert body == read_task(loads(json.dumps(body).encode())).raw


def test_snapshot_is_written_without_what_is_unknown() -> None:
    """
    A time that the service did not tell is not made up.
    """
    bare = TaskSnapshot(task_id="a", task_status=TaskStatus.SUBMITTED)
    timed = attrs.evolve(bare, created_at=dt.datetime(2026, 5, 28, tzinfo=dt.UTC))

    assert "created_at" not in write_task(bare)
    assert 1779926400000 == write_task(timed)["created_at"]


@pytest.mark.parametrize(
    "shown",
    [
        {"task_result": {"images": [{"url": f"https://x/{number}.png"} for number in range(1000)]}},
        {"output": {"image_urls": [f"https://x/{number}.png" for number in range(1000)]}},
        {"outputs": [{"url": f"https://x/{number}.png"} for number in range(1000)]},
    ],
)
def test_too_many_pictures(shown: dict[str, Any]) -> None:
    """
    Of more pictures than any task makes, the first hundred are read, with a task and without one.
    """
    expected = [f"https://x/{number}.png" for number in range(FILES_MAX)]
    task = {"task_id": "a", "task_status": "succeed", **shown}

    assert expected == [image.url for image in read_task(task).task_result.images]
    assert expected == list(addresses_in(shown))
