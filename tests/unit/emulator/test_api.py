"""
What the service answers, without a socket.
"""

import base64
import io
import json
from decimal import Decimal
from typing import Any

import attrs
import pytest
from PIL import Image

from kling_async.emulator import Account, Settings, TaskOutcome, api_errors, faults
from kling_async.emulator.api import (
    ApiRequest,
    ApiResponse,
    EmulatedApi,
    FileToRender,
    outcome_of,
    prompt_of,
    read_body,
)
from kling_async.emulator.ledger import Route
from kling_async.emulator.result_files import ResultFile
from kling_async.emulator.routing import Target
from kling_async.wire.dialects import GATEWAY, OFFICIAL, Dialect
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION, ImageRequest

NOON = 1_780_000_000.0


def target(route: Route, any_id: str = "", file_name: str = "") -> Target:
    return Target(route, None if route in ("tasks", "download") else IMAGE_GENERATION, any_id, file_name)


def service(dialect: Dialect = OFFICIAL, **fields: Any) -> EmulatedApi:
    return EmulatedApi(Account(attrs.evolve(Settings(dialect=dialect, latency=(10, 10), slots=None), **fields)))


def ask(service: EmulatedApi, now: float = NOON, **call: Any) -> tuple[int, Any]:
    key = f"Bearer {service.account.settings.api_key}"
    defaults = {"method": "GET", "path": "/somewhere", "headers": {"Authorization": key}}
    reply = service.answer(ApiRequest(**{**defaults, **call}), now)
    assert isinstance(reply, ApiResponse)
    return reply.status, json.loads(reply.content()) if reply.content_type == "application/json" else reply.content()


def create(service: EmulatedApi, now: float = NOON, **body: Any) -> tuple[int, Any]:
    return ask(service, now, target=target("create"), body=body)


def base64_picture(width: int, height: int, kind: str = "PNG") -> str:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, format=kind)
    return base64.b64encode(file.getvalue()).decode()


def test_bodies_are_read_strictly() -> None:
    """
    What is no JSON by the letter is no body.
    """
    assert {"prompt": "海边的灯塔"} == read_body('{"prompt": "海边的灯塔"}'.encode())
    assert [None] * 5 == [read_body(body) for body in (b"", b"{", b"\xff", b'{"image_fidelity": NaN}', b"[" * 100_000)]
    halves = (b'{"prompt": "\\ud83d"}', b'{"\\uDE00": 1}', b'["\\ud83d\\u0020\\ude00"]')
    assert [None] * 3 == [read_body(body) for body in halves]
    assert {"prompt": "\N{GRINNING FACE}"} == read_body(b'{"prompt": "\\ud83d\\ude00"}')


def test_prompt_is_found_where_there_is_one() -> None:
    """
    Whatever the body is, looking for its prompt does not fail.
    """
    assert ["a", "", "", ""] == [prompt_of(body) for body in ({"prompt": "a"}, {"prompt": 1}, {}, None)]


def test_faults_become_a_fate() -> None:
    """
    All rules that strike a create together make one outcome.
    """
    rules = [
        faults.failing_task("no"),
        faults.stuck_task(),
        faults.unknown_status("painting"),
        faults.success_word("finished"),
        faults.late_files(3),
        faults.fewer_files(2),
        faults.reset_after(),
    ]

    outcome = TaskOutcome(
        failure="no", is_stuck=True, word="painting", success_word="finished", files_after=3, missing=2
    )
    assert outcome == outcome_of(rules)


def test_create_on_the_gateway_is_the_answer_of_its_page() -> None:
    """
    Code 0, SUCCEED, one value for both ids, submitted, and two times in ms.
    """
    status, answer = create(service(GATEWAY), prompt="a", external_task_id="ignored")

    assert 200 == status
    assert ["code", "message", "request_id", "data"] == list(answer)
    assert (0, "SUCCEED", answer["data"]["task_id"]) == (answer["code"], answer["message"], answer["request_id"])
    assert ["task_id", "task_status", "created_at", "updated_at"] == list(answer["data"])
    assert ("submitted", int(NOON * 1000)) == (answer["data"]["task_status"], answer["data"]["created_at"])


def test_create_always_says_submitted() -> None:
    """
    A task that takes no time is final for its first reader, not for the create.
    """
    instant = service(latency=(0, 0))
    created = create(instant, prompt="x")[1]["data"]
    seen = ask(instant, target=target("query", created["task_id"]))[1]["data"]

    assert ("submitted", "succeed") == (created["task_status"], seen["task_status"])


def test_create_at_the_vendor_repeats_the_external_id() -> None:
    """
    The vendor's answer has the external id, and a request id of its own.
    """
    _, answer = create(service(), prompt="a", external_task_id="order-17")

    assert {"external_task_id": "order-17"} == answer["data"]["task_info"]
    assert answer["request_id"] != answer["data"]["task_id"]


@pytest.mark.parametrize("body", [None, [], "text", 3])
def test_body_must_be_an_object(body: Any) -> None:
    """
    Anything but a JSON object gets 1200.
    """
    status, answer = ask(service(), target=target("create"), body=body)

    assert (400, 1200) == (status, answer["code"])
    assert {"code", "message", "request_id"} == set(answer)


@pytest.mark.parametrize(
    ("dialect", "body", "message"),
    [
        (GATEWAY, {}, "prompt cannot be empty"),
        (GATEWAY, {"prompt": " "}, "prompt cannot be empty"),
        (GATEWAY, {"prompt": 5}, "prompt value '5' is invalid"),
        (GATEWAY, {"prompt": "x" * 501}, "prompt cannot be longer than 500 characters"),
        (OFFICIAL, {"prompt": "x" * 2501}, "prompt cannot be longer than 2500 characters"),
        (
            GATEWAY,
            {"prompt": "x", "negative_prompt": "y" * 201},
            "negative_prompt cannot be longer than 200 characters",
        ),
        (GATEWAY, {"prompt": "x", "n": 10}, "n value '10' is invalid"),
        (GATEWAY, {"prompt": "x", "n": "2"}, "n value '2' is invalid"),
        (GATEWAY, {"prompt": "x", "n": True}, "n value 'true' is invalid"),
        (GATEWAY, {"prompt": "x", "image_fidelity": [0.5]}, "image_fidelity value '[0.5]' is invalid"),
        (GATEWAY, {"prompt": "x", "aspect_ratio": "21:9"}, "aspect_ratio value '21:9' is invalid"),
        (GATEWAY, {"prompt": "x", "model_name": "kling-v3"}, "model is not supported"),
        (OFFICIAL, {"prompt": "x", "model_name": "kling-v9"}, "model is not supported"),
        (OFFICIAL, {"prompt": "x", "resolution": "8k"}, "resolution value '8k' is invalid"),
        (OFFICIAL, {"prompt": "x", "image_reference": "face"}, "image cannot be empty"),
        (GATEWAY, {"prompt": "x", "callback_url": "nowhere"}, "callback_url value 'nowhere' is invalid"),
        (OFFICIAL, {"prompt": "x", "watermark_info": True}, "watermark_info value 'true' is invalid"),
        (OFFICIAL, {"prompt": "x", "watermark_info": "yes"}, "watermark_info value 'yes' is invalid"),
        (
            OFFICIAL,
            {"prompt": "x", "watermark_info": {"enabled": 1}},
            "watermark_info value '{\"enabled\": 1}' is invalid",
        ),
        (OFFICIAL, {"prompt": "x", "image": "data:image/png;base64,AAAA"}, "File is not in a valid base64 format"),
        (OFFICIAL, {"prompt": "x", "image": "AAAA"}, "Image pixel is invalid"),
        (OFFICIAL, {"prompt": "x", "image": base64_picture(400, 400, "GIF")}, "Image pixel is invalid"),
        (OFFICIAL, {"prompt": "x", "image": base64_picture(200, 400)}, api_errors.BAD_SIDES),
        (OFFICIAL, {"prompt": "x", "image": base64_picture(300, 900)}, api_errors.BAD_SIDES),
        (
            OFFICIAL,
            {"prompt": "x", "negative_prompt": "y", "image": base64_picture(300, 300)},
            "negative_prompt is not supported with image",
        ),
    ],
)
def test_broken_rules_are_refused_in_the_vendors_words(dialect: Dialect, body: dict[str, Any], message: str) -> None:
    """
    A field that breaks a rule gets 1201 and a sentence as the vendor words it, to the letter.
    """
    account = service(dialect)
    status, answer = create(account, **body)

    assert (400, 1201, message) == (status, answer["code"], answer["message"])
    assert [] == account.account.ledger.tasks


def test_file_that_is_too_large_is_told_so() -> None:
    """
    The limit in bytes has words of its own.
    """
    small = attrs.evolve(OFFICIAL, image_max_bytes=10)
    _, answer = create(service(small), prompt="x", image=base64_picture(300, 300))

    assert api_errors.LARGE_PICTURE == answer["message"]


def test_unknown_and_empty_fields_do_not_matter() -> None:
    """
    The vendor ignores fields it does not know, and takes empty text for none, as its own examples send it.
    """
    status, answer = create(
        service(), prompt="x", model="kling-v1", negative_prompt="", external_task_id="", element=[1]
    )

    assert 200 == status
    assert {} == answer["data"]["task_info"]


def test_refusals_of_the_account_have_their_codes() -> None:
    """
    1303, 1102, 1301 and the duplicate id come with their statuses.
    """
    answers = [
        create(service(slots=1), prompt="x", n=2),
        create(service(units=1), prompt="x"),
        create(service(refused_words=("x",)), prompt="x"),
    ]
    twice = service()
    create(twice, prompt="x", external_task_id="order-17")
    answers.append(create(twice, prompt="x", external_task_id="order-17"))

    assert [(429, 1303), (429, 1102), (400, 1301), (400, 1201)] == [
        (status, answer["code"]) for status, answer in answers
    ]


def test_task_is_read_by_either_id() -> None:
    """
    The vendor finds a task by its own id and by the caller's.
    """
    vendor = service()
    task_id = create(vendor, prompt="x", external_task_id="order-17")[1]["data"]["task_id"]
    one = ask(vendor, NOON + 10, target=target("query", task_id))[1]["data"]
    other = ask(vendor, NOON + 10, target=target("query", "order-17"))[1]["data"]

    assert one == other
    assert ("succeed", "8", "") == (one["task_status"], one["final_unit_deduction"], one["task_status_msg"])
    assert [0] == [image["index"] for image in one["task_result"]["images"]]


def test_running_task_has_an_empty_result() -> None:
    """
    While a task runs its `task_result` is an empty object, and nothing is deducted.
    """
    vendor = service()
    task_id = create(vendor, prompt="x")[1]["data"]["task_id"]
    task = ask(vendor, NOON + 5, target=target("query", task_id))[1]["data"]

    assert ("processing", {}) == (task["task_status"], task["task_result"])
    assert "final_unit_deduction" not in task


def test_failed_task_is_a_good_answer() -> None:
    """
    A failed task still says code 0 and SUCCEED; the reason stands in its message.
    """
    vendor = service(refused_words=("x",), refused_as="failed task")
    task_id = create(vendor, prompt="x")[1]["data"]["task_id"]
    status, answer = ask(vendor, NOON + 10, target=target("query", task_id))

    assert (200, 0, "SUCCEED") == (status, answer["code"], answer["message"])
    assert "Failure to pass the risk control system" == answer["data"]["task_status_msg"]


def test_unknown_task() -> None:
    """
    The vendor says 1201, a gateway task_not_exist, both with HTTP 400.
    """
    status, answer = ask(service(), target=target("query", "nope"))

    assert (400, 1201) == (status, answer["code"])
    assert "Task not found by id/external id: nope" == answer["message"]
    assert (400, {"code": "task_not_exist", "message": "task_not_exist", "data": None}) == ask(
        service(GATEWAY), target=target("query", "nope")
    )


def test_gateway_knows_no_external_ids() -> None:
    """
    An external id in the body is ignored: it finds nothing, and may be repeated.
    """
    gateway = service(GATEWAY)
    create(gateway, prompt="x", external_task_id="order-17")

    assert 200 == create(gateway, prompt="x", external_task_id="order-17")[0]
    assert 400 == ask(gateway, target=target("query", "order-17"))[0]
    assert [None, None] == [task.external_task_id for task in gateway.account.ledger.tasks]


def test_pages() -> None:
    """
    Pages are newest first, 30 tasks without a size, all in the shape of a single query.
    """
    vendor = service()
    ids = [create(vendor, prompt="x")[1]["data"]["task_id"] for _ in range(32)]
    first = ask(vendor, target=target("list"))[1]["data"]
    second = ask(vendor, target=target("list"), query={"pageNum": "2"})[1]["data"]

    assert ids[::-1] == [task["task_id"] for task in first + second]
    assert (30, 2) == (len(first), len(second))
    assert ask(vendor, target=target("query", ids[0]))[1]["data"] == second[-1]


@pytest.mark.parametrize(
    "query",
    [
        {"pageNum": "0"},
        {"pageNum": "1001"},
        {"pageSize": "501"},
        {"pageSize": "x"},
        {"pageNum": "-1"},
        {"pageSize": "9" * 5000},
    ],
)
def test_pages_have_limits(query: dict[str, str]) -> None:
    """
    A page's number and size outside the vendor's limits get 1201.
    """
    status, answer = ask(service(), target=target("list"), query=query)

    assert (400, 1201) == (status, answer["code"])
    assert next(iter(query)) in answer["message"]


def test_several_tasks_by_their_ids() -> None:
    """
    The new standard finds up to 20 tasks by either kind of ids, and leaves out unknown ones.
    """
    vendor = service()
    a, b = (create(vendor, prompt="x", external_task_id=text)[1]["data"]["task_id"] for text in ("a", "b"))
    by_id = ask(vendor, NOON + 10, target=target("tasks"), query={"task_ids": f"{a},nope,{b}"})[1]["data"]
    by_external = ask(vendor, NOON + 10, target=target("tasks"), query={"external_task_ids": "a,nope,b"})[1]["data"]

    assert [a, b] == [task["id"] for task in by_id]
    assert by_id == by_external
    assert [] == ask(vendor, target=target("tasks"), query={"task_ids": "a"})[1]["data"]
    assert (200, 400) == tuple(
        ask(vendor, target=target("tasks"), query={"task_ids": ",".join(["x"] * count)})[0] for count in (20, 21)
    )


@pytest.mark.parametrize("query", [{}, {"task_ids": ""}, {"task_ids": "a", "external_task_ids": "b"}])
def test_one_kind_of_ids_at_a_time(query: dict[str, str]) -> None:
    """
    Both kinds of ids exclude each other, and one is needed.
    """
    assert 1201 == ask(service(), target=target("tasks"), query=query)[1]["code"]


@pytest.mark.parametrize("route", ["list", "tasks", None])
def test_gateway_has_no_lists(route: Any) -> None:
    """
    What a gateway does not offer is an invalid URL, whoever asks.
    """
    status, answer = ask(
        service(GATEWAY),
        target=target(route) if route else Target(None),
        path="/kling/tasks",
        headers={"Authorization": None},
    )

    assert (404, "Invalid URL (GET /kling/tasks)") == (status, answer["error"]["message"])
    assert "invalid_request_error" == answer["error"]["type"]


def test_gateway_that_lists() -> None:
    """
    A dialect made to list does so, under the gateway's prefix.
    """
    status, answer = ask(service(attrs.evolve(GATEWAY, lists=True)), target=target("list"))

    assert (200, []) == (status, answer["data"])


@pytest.mark.parametrize("path", ["/v1/images/generations", "/v1/images/generations/1"])
def test_unknown_method_at_the_vendor(path: str) -> None:
    """
    A method that a path does not have is 404 with 1202.
    """
    status, answer = ask(service(), target=Target(None), method="DELETE", path=path)

    assert (404, 1202, "The requested method is invalid") == (status, answer["code"], answer["message"])


@pytest.mark.parametrize(
    "path", ["/kling/v1/images/generations", "/v1/images/generation", "/v1/images/generationsx", "/"]
)
def test_unknown_path_at_the_vendor(path: str) -> None:
    """
    A path that does not exist is answered by the vendor's web framework, without a code, as was recorded.
    """
    status, answer = ask(service(), target=Target(None), method="POST", path=path)

    assert 404 == status
    assert ["timestamp", "status", "error", "message", "path"] == list(answer)
    assert ("2026-05-28T20:26:40.000+00:00", 404, "Not Found", path) == (
        answer["timestamp"],
        answer["status"],
        answer["error"],
        answer["path"],
    )


def test_watermark_is_made_where_it_is_wanted() -> None:
    """
    With `watermark_info` each picture has a marked copy with a signed address of its own, in both standards; without it
    there is no such field.
    """
    vendor = service()
    bodies: list[dict[str, Any]] = [{"watermark_info": {"enabled": True}}, {"watermark_info": {"enabled": False}}, {}]
    wanted, unwanted, silent = (create(vendor, prompt="x", n=2, **body)[1]["data"]["task_id"] for body in bodies)
    seen = {
        task_id: ask(vendor, NOON + 10, target=target("query", task_id))[1]["data"]
        for task_id in (wanted, unwanted, silent)
    }
    (new,) = ask(vendor, NOON + 10, target=target("tasks"), query={"task_ids": wanted})[1]["data"]
    plain = [image["url"] for image in seen[wanted]["task_result"]["images"]]
    marked = [image["watermark_url"] for image in seen[wanted]["task_result"]["images"]]

    assert [{"enabled": True}, {"enabled": False}, None] == [task.get("watermark_info") for task in seen.values()]
    assert 4 == len({*plain, *marked})
    assert marked == [output["watermark_url"] for output in new["outputs"]]
    for task_id in (unwanted, silent):
        assert {"index", "url"} == {*seen[task_id]["task_result"]["images"][0]}


def test_watermark_is_unknown_to_the_gateway() -> None:
    """
    The gateway's page does not have the field, so nobody looks at it.
    """
    gateway = service(GATEWAY)
    status, answer = create(gateway, prompt="x", watermark_info="whatever")
    task = ask(gateway, NOON + 10, target=target("query", answer["data"]["task_id"]))[1]["data"]

    assert (200, None) == (status, task.get("watermark_info"))
    assert "watermark_url" not in task["task_result"]["images"][0]


def test_marked_copy_needs_a_signature_of_its_own() -> None:
    """
    The signature of a picture does not open its marked copy, and there is none that nobody asked for.
    """
    vendor = service()
    task_id = create(vendor, prompt="x", watermark_info={"enabled": True})[1]["data"]["task_id"]
    other_id = create(vendor, prompt="x")[1]["data"]["task_id"]
    (image,) = ask(vendor, NOON + 10, target=target("query", task_id))[1]["data"]["task_result"]["images"]
    plain, marked = (
        dict(part.split("=") for part in image[name].partition("?")[2].split("&")) for name in ("url", "watermark_url")
    )

    def answers(query: dict[str, str], any_id: str = task_id, *, has_watermark: bool) -> int:
        name = "0-watermark.png" if has_watermark else "0.png"
        call = ApiRequest(target=target("download", any_id, name), method="GET", path="/", query=query)
        answer = vendor.answer(call, NOON + 10)
        return 200 if isinstance(answer, FileToRender) else answer.status

    assert [200, 200] == [answers(plain, has_watermark=False), answers(marked, has_watermark=True)]
    assert [403, 403] == [answers(plain, has_watermark=True), answers(marked, has_watermark=False)]
    assert 404 == answers(marked, other_id, has_watermark=True)


def test_cash_is_taken_in_place_of_units() -> None:
    """
    An account that pays in cash is told its money, and never units; the new standard bills it as cash.
    """
    vendor = service(paid_in="cash", units=16)
    task_id = create(vendor, prompt="x")[1]["data"]["task_id"]
    task = ask(vendor, NOON + 10, target=target("query", task_id))[1]["data"]
    (new,) = ask(vendor, NOON + 10, target=target("tasks"), query={"task_ids": task_id})[1]["data"]

    vendor.account.settle(NOON + 10)

    assert {"quota": "0.028", "list_price": "0.028"} == task["final_balance_deduction"]
    assert "final_unit_deduction" not in task
    assert ["cash"] == [item["charge_type"] for item in new["billing"]]
    assert ("0.028", "USD") == (new["billing"][0]["amount"], new["billing"][0]["currency"])
    assert (Decimal("0.028"), 0) == (vendor.account.ledger.cash_billed, vendor.account.ledger.units_billed)
    assert [200, 429] == [create(vendor, NOON + 10, prompt="y")[0] for _ in range(2)]


def test_failed_task_takes_no_cash() -> None:
    """
    As with units, a failed task is told to cost nothing.
    """
    vendor = service(paid_in="cash", refused_words=("x",), refused_as="failed task")
    task_id = create(vendor, prompt="x")[1]["data"]["task_id"]
    task = ask(vendor, NOON + 10, target=target("query", task_id))[1]["data"]

    assert not Decimal(task["final_balance_deduction"]["quota"])


def test_nothing_given_is_an_empty_info() -> None:
    """
    A task without an external id has an empty `task_info`, from its create on.
    """
    vendor = service()
    created = create(vendor, prompt="x")[1]["data"]
    seen = ask(vendor, NOON + 10, target=target("query", created["task_id"]))[1]["data"]

    assert [{}, {}] == [created["task_info"], seen["task_info"]]


def test_bad_keys() -> None:
    """
    The vendor answers 401 in its envelope, a gateway in an error object.
    """
    vendor = ask(service(), target=target("query"), headers={"Authorization": "Bearer wrong"})
    gateway = ask(service(GATEWAY), target=target("query"), headers={"Authorization": "Bearer wrong"})

    assert (401, 1002) == (vendor[0], vendor[1]["code"])
    assert 401 == gateway[0]
    assert {"message", "type", "code"} == set(gateway[1]["error"])
    assert "new_api_error" == gateway[1]["error"]["type"]


def test_picture_needs_its_signature() -> None:
    """
    A picture is ordered with a good signature, refused with a bad one, and unknown where there is none.
    """
    vendor = service()
    record = vendor.account.create(ImageRequest("a cat"), NOON)
    url = vendor.account.snapshot_of(record, NOON + 10).task_result.images[0].url
    query = dict(part.split("=") for part in url.partition("?")[2].split("&"))
    call = ApiRequest(target=target("download", record.task_id, "0.png"), method="GET", path="/", query=query)

    assert FileToRender(record, ResultFile("images", 0)) == vendor.answer(call, NOON + 11)
    assert 403 == ask(vendor, NOON + 11, target=target("download", record.task_id, "0.png"))[0]
    assert 404 == ask(vendor, NOON + 11, target=target("download", record.task_id, "1.png"), query=query)[0]
    assert 404 == ask(vendor, NOON + 5, target=target("download", record.task_id, "0.png"), query=query)[0]
    assert 404 == ask(vendor, NOON + 5, target=target("download", "nope", "0.png"))[0]
    assert 4 == vendor.account.ledger.downloads_with_key
