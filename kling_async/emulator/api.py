"""
The service behind the sockets: one call in, one reply out. No waiting, no aiohttp.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from kling_async.emulator import error_messages, response_bodies
from kling_async.emulator.account import SUCCESS, Account, ApiError, TaskOutcome, TaskRecord, picture_name
from kling_async.emulator.authentication import check_key
from kling_async.emulator.fault_rule import Fault
from kling_async.emulator.input_files import facts_of
from kling_async.emulator.ledger import Route
from kling_async.wire.codec import read_request, write_task
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION, ImageRequest
from kling_async.wire.endpoints.registry import broken_rules
from kling_async.wire.json_text import dumps

PAGES: Final = range(1, 1001)
PAGE_SIZES: Final = range(1, 501)
"""
What `pageNum` and `pageSize` may be; the vendor's defaults are 1 and 30.
"""


@attrs.frozen(kw_only=True)
class ApiRequest:
    """
    One request, as far as the service looks at it.

    `any_id` is the part of the path that names a task; `place` is the number of a picture in its task, and
    `has_watermark` whether its marked copy is meant.
    """

    route: Route | None
    method: str
    path: str
    query: Mapping[str, str] = attrs.field(factory=dict)
    authorization: str | None = None
    body: Any = None
    any_id: str = ""
    place: int = 0
    has_watermark: bool = False


@attrs.frozen(kw_only=True)
class ApiResponse:
    """
    One answer. `payload` is what goes out as JSON; where it is None, `body` goes out as it is.
    """

    status: int = 200
    payload: Any = None
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = attrs.field(factory=dict)

    def content(self) -> bytes:
        return self.body if self.payload is None else dumps(self.payload)


@attrs.frozen(kw_only=True)
class PictureOrder:
    """
    A picture that may be seen, and has yet to be drawn.
    """

    record: TaskRecord
    index: int
    has_watermark: bool = False


def read_body(body: bytes) -> Any:
    """
    Read the body of a create; None where it is no JSON, which is refused like any other that is no object.

    Stricter than a client reads answers: what a service might not understand should fail here first.
    """
    try:
        value = json.loads(body.decode(), parse_constant=_no_number)
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair could not be answered
    except (ValueError, RecursionError):
        return None
    return value


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def prompt_of(body: Any) -> str:
    """
    Return the prompt of a create, as far as there is one.
    """
    prompt = body.get("prompt") if isinstance(body, dict) else None
    return prompt if isinstance(prompt, str) else ""


def outcome_of(faults: Sequence[Fault]) -> TaskOutcome:
    """
    Return what *faults* have in store for a task.
    """
    outcome = SUCCESS
    for fault in faults:
        match fault.kind:
            case "failing_task":
                outcome = attrs.evolve(outcome, failure=fault.message)
            case "stuck_task":
                outcome = attrs.evolve(outcome, is_stuck=True)
            case "unknown_status":
                outcome = attrs.evolve(outcome, word=fault.message)
            case "late_files":
                outcome = attrs.evolve(outcome, pictures_after=fault.seconds)
            case "fewer_files":
                outcome = attrs.evolve(outcome, missing=fault.count)
            case _:
                pass
    return outcome


class EmulatedApi:
    """
    Everything an account's HTTP API says, in the dialect of its settings.
    """

    def __init__(self, account: Account) -> None:
        self.account = account
        self._settings = account.settings
        self._dialect = account.settings.dialect

    def answer(self, call: ApiRequest, now: float, outcome: TaskOutcome = SUCCESS) -> ApiResponse | PictureOrder:
        """
        Do what *call* asks for. *outcome* befalls the task that it makes.
        """
        try:
            return self._answer(call, now, outcome)
        except ApiError as refusal:
            return self.refuse(refusal)

    def refuse(self, refusal: ApiError) -> ApiResponse:
        request_id = self.account.next_request_id()
        if self._settings.is_gateway and refusal.http_status == 401:
            return ApiResponse(status=401, payload=response_bodies.gateway_bad_key(request_id))
        return ApiResponse(status=refusal.http_status, payload=response_bodies.refused(refusal, request_id))

    def _answer(self, call: ApiRequest, now: float, outcome: TaskOutcome) -> ApiResponse | PictureOrder:
        if call.route == "download":
            return self._picture(call, now)
        is_new_standard = call.route == "tasks"
        if not self._offers(call.route):
            return self._no_such_path(call, now)
        check_key(self._settings, call.authorization, now, signed_tokens=not is_new_standard)
        match call.route:
            case "create":
                return self._create(call.body, now, outcome)
            case "query":
                return self._query(call.any_id, now)
            case "list":
                return self._page(call.query, now)
            case _:
                return self._tasks(call.query, now)

    def _offers(self, route: Route | None) -> bool:
        if route == "list":
            return self._dialect.lists
        if route == "tasks":
            return self._dialect.ids_per_read > 1
        return route is not None

    def _no_such_path(self, call: ApiRequest, now: float) -> ApiResponse:
        if self._settings.is_gateway:
            message = f"Invalid URL ({call.method} {call.path})"
            return ApiResponse(status=404, payload=response_bodies.gateway_error(message, "invalid_request_error"))
        if call.path == IMAGE_GENERATION.path or call.path.startswith(f"{IMAGE_GENERATION.path}/"):
            return self.refuse(ApiError(404, 1202, error_messages.MESSAGES[1202]))
        return ApiResponse(status=404, payload=response_bodies.no_such_path(call.path, now))

    def _create(self, body: Any, now: float, outcome: TaskOutcome) -> ApiResponse:
        record = self.account.create(self._read(body), now, outcome, watermark=self._wants_watermark(body))
        data = response_bodies.created(
            self.account.snapshot_of(record, now), names_external_id=self._dialect.external_ids
        )
        # The seed's page shows one value for both ids.
        request_id = record.task_id if self._settings.is_gateway else self.account.next_request_id()
        return ApiResponse(payload=response_bodies.granted(data, request_id))

    def _read(self, body: Any) -> ImageRequest:
        if not isinstance(body, dict):
            raise ApiError(400, 1200, error_messages.MESSAGES[1200])
        if not self._dialect.external_ids:  # an unknown field there, so nobody looks at it
            body = {name: value for name, value in body.items() if name != "external_task_id"}
        try:
            request = read_request(body, ImageRequest)
        except ValueError as error:
            raise ApiError(400, 1201, error_messages.of_wrong_type(error, body)) from error
        facts = facts_of(request.image) if isinstance(request.image, str) else None
        if broken := broken_rules(self._dialect, request, {} if facts is None else {"image": facts}):
            raise ApiError(400, 1201, error_messages.of_broken_rule(broken[0], body, self._dialect, facts))
        return request

    def _wants_watermark(self, body: Mapping[str, Any]) -> bool | None:
        info = body.get("watermark_info")
        if info is None or self._settings.is_gateway:  # the seed's page does not know the field
            return None
        is_wanted = info.get("enabled", False) if isinstance(info, Mapping) else None
        if not isinstance(is_wanted, bool):
            raise ApiError(400, 1201, error_messages.invalid("watermark_info", info))
        return is_wanted

    def _query(self, any_id: str, now: float) -> ApiResponse:
        record = self.account.find(any_id)
        if record is not None:
            return self._grant(self._task(record, now))
        if self._settings.is_gateway:
            return ApiResponse(
                status=400, payload=response_bodies.gateway_task_error("task_not_exist", "task_not_exist")
            )
        raise ApiError(400, 1201, f"Task not found by id/external id: {any_id}")

    def _page(self, query: Mapping[str, str], now: float) -> ApiResponse:
        number = _number(query, "pageNum", 1, PAGES)
        size = _number(query, "pageSize", 30, PAGE_SIZES)
        return self._grant([self._task(record, now) for record in self.account.page(number, size)])

    def _task(self, record: TaskRecord, now: float) -> response_bodies.Payload:
        task = write_task(self.account.snapshot_of(record, now))
        return task if record.watermark is None else {**task, "watermark_info": {"enabled": record.watermark}}

    def _tasks(self, query: Mapping[str, str], now: float) -> ApiResponse:
        names = [name for name in ("task_ids", "external_task_ids") if query.get(name)]
        if len(names) != 1:
            raise ApiError(
                400,
                1201,
                error_messages.empty("task_ids") if not names else error_messages.invalid(names[1], query[names[1]]),
            )
        ids = [any_id for any_id in query[names[0]].split(",") if any_id]
        if len(ids) > self._dialect.ids_per_read:
            raise ApiError(400, 1201, f"{names[0]} cannot exceed {self._dialect.ids_per_read} in total")
        find = self.account.find_task if names == ["task_ids"] else self.account.find_external
        records = [record for any_id in ids if (record := find(any_id)) is not None]
        return self._grant([response_bodies.new_standard(self.account.snapshot_of(record, now)) for record in records])

    def _picture(self, call: ApiRequest, now: float) -> ApiResponse | PictureOrder:
        if call.authorization is not None:
            self.account.ledger.downloads_with_key += 1
        record = self.account.find_task(call.any_id)
        is_there = record is not None and call.place < record.pictures_at(now)
        if record is None or not is_there or (call.has_watermark and not record.watermark):
            return _storage_error(404, "NoSuchKey", "The specified key does not exist.")
        name = picture_name(call.place, has_watermark=call.has_watermark)
        signature = call.query.get("Signature", "")
        if not self.account.may_fetch(record, name, call.query.get("Expires", ""), signature, now):
            return _storage_error(403, "AccessDenied", "Access Denied")
        return PictureOrder(record=record, index=call.place, has_watermark=call.has_watermark)

    def _grant(self, data: object) -> ApiResponse:
        return ApiResponse(payload=response_bodies.granted(data, self.account.next_request_id()))


def _storage_error(status: int, code: str, message: str) -> ApiResponse:
    # Pictures lie at a storage of their own, which knows nothing of envelopes.
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return ApiResponse(status=status, body=body, content_type="application/xml")


def _number(query: Mapping[str, str], name: str, default: int, allowed: range) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal() or len(text) > 9 or int(text) not in allowed:
        raise ApiError(400, 1201, error_messages.invalid(name, text))
    return int(text)
