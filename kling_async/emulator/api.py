"""
The HTTP API of the emulated account without HTTP: one request in, one response out. No waiting, no aiohttp.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from kling_async.emulator import api_errors, response_bodies
from kling_async.emulator.account import Account
from kling_async.emulator.api_errors import ApiError
from kling_async.emulator.authentication import check_key
from kling_async.emulator.call_answers import answer_call, fields_of_query
from kling_async.emulator.fault_rule import Fault
from kling_async.emulator.file_rendering import missing_library
from kling_async.emulator.input_files import facts_of
from kling_async.emulator.ledger import Route
from kling_async.emulator.result_files import ResultFile
from kling_async.emulator.routing import Target, is_path_of_an_endpoint
from kling_async.emulator.task_record import SUCCESS, TaskOutcome, TaskRecord
from kling_async.wire.codec import read_request, write_task
from kling_async.wire.endpoints.base import Endpoint, TaskRequest, sources_of
from kling_async.wire.endpoints.registry import broken_rules, endpoint_of
from kling_async.wire.json_text import dumps

PAGES: Final = range(1, 1001)
PAGE_SIZES: Final = range(1, 501)
"""
Allowed values of `pageNum` and `pageSize`; the vendor's defaults are 1 and 30.
"""


@attrs.frozen(kw_only=True)
class ApiRequest:
    """
    The parts of a request that the service reads.
    """

    target: Target
    method: str
    path: str
    query: Mapping[str, str] = attrs.field(factory=dict)
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: Any = None

    @property
    def authorization(self) -> str | None:
        """
        The header of that name.
        """
        return self.headers.get("Authorization")

    @property
    def route(self) -> Route | None:
        """
        The operation; None if there is none.
        """
        return self.target.route


@attrs.frozen(kw_only=True)
class ApiResponse:
    """
    One answer. `payload` is sent as JSON; if it is None, `body` is sent.
    """

    status: int = 200
    payload: Any = None
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = attrs.field(factory=dict)

    def content(self) -> bytes:
        """
        Return the bytes to send.
        """
        return self.body if self.payload is None else dumps(self.payload)


@attrs.frozen
class FileToRender:
    """
    A file that the request may download, and that still has to be rendered.
    """

    record: TaskRecord
    file: ResultFile


def read_body(body: bytes) -> Any:
    """
    Read the body of a create or a call. A body that is not JSON becomes None, and is refused like anything that is not
    an object.

    This is stricter than a client is with answers: what a real service might not accept should fail here first.
    """
    try:
        value = json.loads(body.decode(), parse_constant=_no_number)
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair cannot be sent back
    except (ValueError, RecursionError):
        return None
    return value


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def prompt_of(body: Any) -> str:
    """
    Return the prompt in the body of a create; empty text if it has none.
    """
    prompt = body.get("prompt") if isinstance(body, dict) else None
    return prompt if isinstance(prompt, str) else ""


def outcome_of(faults: Sequence[Fault]) -> TaskOutcome:
    """
    Return how a task with *faults* will go.
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
            case "success_word":
                outcome = attrs.evolve(outcome, success_word=fault.message)
            case "late_files":
                outcome = attrs.evolve(outcome, files_after=fault.seconds)
            case "fewer_files":
                outcome = attrs.evolve(outcome, missing=fault.count)
            case _:
                pass
    return outcome


class EmulatedApi:
    """
    Answers requests to an account as its dialect does.
    """

    def __init__(self, account: Account) -> None:
        self.account = account
        self._settings = account.settings
        self._dialect = account.settings.dialect

    def answer(self, request: ApiRequest, now: float, outcome: TaskOutcome = SUCCESS) -> ApiResponse | FileToRender:
        """
        Execute *request*. A task that it creates will have this *outcome*.
        """
        try:
            return self._answer(request, now, outcome)
        except ApiError as error:
            return self.refuse(error)

    def refuse(self, error: ApiError) -> ApiResponse:
        """
        Return the answer that reports *error*.
        """
        request_id = self.account.next_request_id()
        if self._settings.is_gateway and error.http_status == 401:
            return ApiResponse(status=401, payload=response_bodies.gateway_bad_key(request_id))
        return ApiResponse(status=error.http_status, payload=response_bodies.error_body(error, request_id))

    def _answer(self, request: ApiRequest, now: float, outcome: TaskOutcome) -> ApiResponse | FileToRender:
        target = request.target
        if target.route == "download":
            return self._download(request, now)
        if not self._offers(target):
            return self._no_such_path(request, now)
        is_legacy = target.route != "tasks" and target.model is None
        check_key(self._settings, request.authorization, now, signed_tokens=is_legacy)
        if target.call is not None:
            body = request.body if target.call.method == "POST" else fields_of_query(request.query)
            data = answer_call(target.call, body, self.account, now)
            answer = self._respond(data)
            if data is None:
                del answer.payload["data"]
            return answer
        if target.endpoint is None:
            return self._tasks(request.query, now)
        match target.route:
            case "create":
                return self._create(target, request.body, now, outcome)
            case "query":
                return self._query(target.endpoint, target.any_id, now)
            case _:
                return self._page(target.endpoint, request.query, now)

    def _offers(self, target: Target) -> bool:
        if target.route == "list":
            return self._dialect.lists and target.endpoint is not None and target.endpoint.lists
        if target.route == "tasks":
            return self._dialect.ids_per_read > 1
        if target.call is not None:
            return target.call.is_offered(self._dialect)
        return target.route is not None and (target.model is None or self._dialect.standard != "legacy only")

    def _no_such_path(self, request: ApiRequest, now: float) -> ApiResponse:
        if self._settings.is_gateway:
            message = f"Invalid URL ({request.method} {request.path})"
            return ApiResponse(status=404, payload=response_bodies.gateway_error(message, "invalid_request_error"))
        if is_path_of_an_endpoint(request.path):
            return self.refuse(ApiError(404, 1202, api_errors.MESSAGES[1202]))
        return ApiResponse(status=404, payload=response_bodies.no_such_path(request.path, now))

    def _create(self, target: Target, body: Any, now: float, outcome: TaskOutcome) -> ApiResponse:
        request = self._read(target, body)
        if missing := missing_library(endpoint_of(type(request)).results):
            raise ApiError(400, 1201, missing)
        record = self.account.create(request, now, outcome, is_new=target.model is not None)
        snapshot = self.account.snapshot_of(record, now)
        data = response_bodies.created(snapshot, names_external_id=self._dialect.external_ids)
        if record.is_new:
            data = response_bodies.created_in_new_standard(snapshot)
        # The gateway's page shows one value for both ids.
        request_id = record.task_id if self._settings.is_gateway else self.account.next_request_id()
        return ApiResponse(payload=response_bodies.success_body(data, request_id))

    def _read(self, target: Target, body: Any) -> TaskRequest:
        endpoint = target.endpoint
        if endpoint is None:
            raise AssertionError("only an endpoint creates tasks")
        if not isinstance(body, dict):
            raise ApiError(400, 1200, api_errors.MESSAGES[1200])
        unknown = {"watermark_info"} if self._settings.is_gateway else set()
        if not self._dialect.external_ids:
            unknown.add("external_task_id")
        body = {name: value for name, value in body.items() if name not in unknown}  # a service ignores what it lacks
        try:
            fields: Mapping[str, Any] = body
            if target.model is not None and endpoint.new_standard is not None:
                fields = endpoint.new_standard.from_body(body, target.model)
            elif endpoint.from_body is not None:
                fields = endpoint.from_body(body)
            request: TaskRequest = read_request(fields, endpoint.request_class)
        except ValueError as error:
            raise ApiError(400, 1201, api_errors.of_wrong_type(error, body)) from error
        texts = sources_of(endpoint, request)
        file_facts = {place: facts_of(text) for place, text in texts.items() if isinstance(text, str)}
        files = {field: facts for field, facts in file_facts.items() if facts is not None}
        dialect = self._dialect if target.model is None else attrs.evolve(self._dialect, standard="new")
        if broken := broken_rules(dialect, request, files):
            raise ApiError(400, 1201, api_errors.of_broken_rule(broken[0], fields, files))
        return request

    def _query(self, endpoint: Endpoint[Any], any_id: str, now: float) -> ApiResponse:
        find = self.account.find if endpoint.lookup_proves_absence else self.account.find_task
        record = find(any_id)
        if record is not None and record.endpoint is endpoint and not record.is_new:
            return self._respond(self._task(record, now))
        if self._settings.is_gateway:
            return ApiResponse(
                status=400, payload=response_bodies.gateway_task_error("task_not_exist", "task_not_exist")
            )
        raise ApiError(400, 1201, f"Task not found by id/external id: {any_id}")

    def _page(self, endpoint: Endpoint[Any], query: Mapping[str, str], now: float) -> ApiResponse:
        number = _number(query, "pageNum", 1, PAGES)
        size = _number(query, "pageSize", 30, PAGE_SIZES)
        return self._respond([self._task(record, now) for record in self.account.page(number, size, endpoint)])

    def _task(self, record: TaskRecord, now: float) -> response_bodies.Payload:
        task = write_task(self.account.snapshot_of(record, now))
        if not record.endpoint.lookup_proves_absence:  # the vendor's samples of such tasks do not repeat our id
            task["task_info"].pop("external_task_id", None)
        if (parent := self.account.parent_of(record)) is not None:
            videos = write_task(self.account.snapshot_of(parent, now))["task_result"]["videos"]
            task["task_info"]["parent_video"] = {name: videos[0][name] for name in ("id", "url", "duration")}
        return task if record.watermark is None else {**task, "watermark_info": {"enabled": record.watermark}}

    def _tasks(self, query: Mapping[str, str], now: float) -> ApiResponse:
        names = [name for name in ("task_ids", "external_task_ids") if query.get(name)]
        if len(names) != 1:
            message = api_errors.empty("task_ids") if not names else api_errors.invalid(names[1], query[names[1]])
            raise ApiError(400, 1201, message)
        ids = [any_id for any_id in query[names[0]].split(",") if any_id]
        if len(ids) > self._dialect.ids_per_read:
            raise ApiError(400, 1201, f"{names[0]} cannot exceed {self._dialect.ids_per_read} in total")
        find = self.account.find_task if names == ["task_ids"] else self._find_external
        records = [record for any_id in ids if (record := find(any_id)) is not None and record.endpoint.several_ids]
        return self._respond(
            [response_bodies.new_standard(self.account.snapshot_of(record, now)) for record in records]
        )

    def _find_external(self, external_id: str) -> TaskRecord | None:
        record = self.account.find_external(external_id)
        return record if record is not None and record.endpoint.lookup_proves_absence else None

    def _download(self, request: ApiRequest, now: float) -> ApiResponse | FileToRender:
        if request.authorization is not None:
            self.account.ledger.downloads_with_key += 1
        record = self.account.find_task(request.target.any_id)
        file = ResultFile.named(request.target.file_name)
        if record is None or file is None or not _has_file(record, file, now):
            return _storage_error(404, "NoSuchKey", "The specified key does not exist.")
        expires, signature = (request.query.get(name, "") for name in ("Expires", "Signature"))
        if not self.account.urls.accepts(record, file, expires, signature, now):
            return _storage_error(403, "AccessDenied", "Access Denied")
        return FileToRender(record, file)

    def _respond(self, data: object) -> ApiResponse:
        return ApiResponse(payload=response_bodies.success_body(data, self.account.next_request_id()))


_SHOWN_BY: Final[Mapping[str, tuple[str, ...]]] = {"voices": ("audios",), "elements": ("images",)}
"""
The kinds of files in which voices and elements can be heard and seen.
"""


def _has_file(record: TaskRecord, file: ResultFile, now: float) -> bool:
    kinds = _SHOWN_BY.get(record.endpoint.results[0], record.endpoint.results)
    is_there = file.kind in kinds and file.index < record.files_at(now)
    return is_there and (not file.has_watermark or bool(record.watermark))


def _storage_error(status: int, code: str, message: str) -> ApiResponse:
    # Files are on a storage service, which has other errors.
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return ApiResponse(status=status, body=body, content_type="application/xml")


def _number(query: Mapping[str, str], name: str, default: int, allowed: range) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal() or len(text) > 9 or int(text) not in allowed:
        raise ApiError(400, 1201, api_errors.invalid(name, text))
    return int(text)
