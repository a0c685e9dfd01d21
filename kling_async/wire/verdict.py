"""
What an answer means: status, headers and body in, a value out or an error raised. No answer is left without one.

The vendor's codes are its table "Error codes"; the shapes of errors are the vendor's envelope and those of the gateway
families (an `error` object, a task error with a word for a code, and the vendor's own JSON inside a message).
"""

import datetime as dt
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

import attrs

from kling_async.errors import (
    AccountProblem,
    ContentRefused,
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
from kling_async.wire.codec import is_task, loads, read_task
from kling_async.wire.models import TaskSnapshot
from kling_async.wire.redaction import hide_secrets

__all__ = ["Answer", "is_duplicate_id", "read_created", "read_page", "read_sighting"]

_OF_CODE: Final[dict[int | str, type[KlingError]]] = {
    1000: NotAuthenticated,
    1001: NotAuthenticated,
    1002: NotAuthenticated,
    1003: NotAuthenticated,
    1004: NotAuthenticated,
    1100: AccountProblem,
    1101: AccountProblem,
    1102: AccountProblem,
    1103: NotAllowed,
    1200: InvalidRequest,
    1201: InvalidRequest,
    1202: InvalidRequest,
    1203: InvalidRequest,
    1300: ContentRefused,
    1301: ContentRefused,
    1302: RateLimited,
    1303: NoFreeSlot,
    1304: NotAllowed,
    5000: ServiceFailure,
    5001: ServiceFailure,
    5002: ServiceFailure,
    # words of the new-api family of gateways
    "insufficient_user_quota": AccountProblem,
    "pre_consume_token_quota_failed": AccountProblem,
    "task_not_exist": TaskNotFound,
}

_OF_STATUS: Final[dict[int, type[KlingError]]] = {
    400: InvalidRequest,
    401: NotAuthenticated,
    402: AccountProblem,
    403: NotAllowed,
    408: ServiceFailure,  # somebody on the way gave up waiting: it may have arrived
    413: InvalidRequest,
    422: InvalidRequest,
    429: RateLimited,
}

_FINE: Final = (0, "0", "success", "SUCCESS", None)


@attrs.frozen
class Answer:
    """
    One HTTP answer, read to its end. Names of headers are looked up as they are written in the standards.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)


def read_created(answer: Answer) -> TaskSnapshot:
    """
    Read the answer to a create.

    Raises:
        KlingError: The class that its code, else its status, stands for. A 2xx that cannot be read is UnexpectedAnswer,
            and the task may exist.
    """
    try:
        return _read_task_of(_read_payload(answer), answer)
    except TaskNotFound as error:  # a create asks for no task: what is missing is the path or the model
        facts = (error.message, error.task_id, error.request_id, error.code, error.http_status)
        raise InvalidRequest(*facts) from error


def read_sighting(answer: Answer, task_id: str | None = None) -> TaskSnapshot:
    """
    Read the answer to a question about one task, known by *task_id* where it was asked for by that.

    A relay may answer with the vendor's id for a task that the caller knows by the relay's: the id asked for is kept.

    Raises:
        TaskNotFound: 404 or 1203, 1201 "not found", a gateway's "task_not_exist".
        KlingError: As for a create.
    """
    try:
        seen = _read_task_of(_read_payload(answer), answer, known_id=task_id)
    except InvalidRequest as error:
        if _says_not_found(error):
            raise TaskNotFound(error.message, task_id, error.request_id, error.code, error.http_status) from error
        raise
    return attrs.evolve(seen, task_id=task_id) if task_id else seen


def read_page(answer: Answer) -> list[TaskSnapshot]:
    """
    Read a page of tasks, or of several tasks asked for by their ids; what is no task in it is left out.

    Raises:
        KlingError: As for a create.
    """
    payload = _read_payload(answer)
    data = payload.get("data")
    items = data.get("result", []) if isinstance(data, Mapping) else data
    if not isinstance(items, list):
        raise _unexpected("the answer holds no list of tasks", answer, payload)
    request_id = _request_id(payload)
    return [read_task(item, request_id=request_id) for item in items if is_task(item)]


def is_duplicate_id(error: KlingError) -> bool:
    """
    Tell whether a create was refused because its `external_task_id` exists already (1201, "already exists").
    """
    return isinstance(error, InvalidRequest) and error.code == 1201 and "already exist" in error.message.casefold()


def _says_not_found(error: InvalidRequest) -> bool:
    return error.code == 1203 or (error.code == 1201 and "not found" in error.message.casefold())


def _read_payload(answer: Answer) -> Mapping[str, Any]:
    # The envelope of an answer that says yes; anything else is raised.
    try:
        payload = loads(answer.body)
    except ValueError:
        raise _without_json(answer) from None
    if not isinstance(payload, Mapping):
        raise _unexpected("the answer is JSON, but no object", answer, {})
    is_good = 200 <= answer.status < 300
    if is_good and (is_task(payload) or (payload.get("code") in _FINE and not _refusal(payload))):
        return payload
    raise _refused(payload, answer)


def _refusal(payload: Mapping[str, Any]) -> bool:
    return bool(payload.get("error")) or payload.get("success") is False


def _read_task_of(payload: Mapping[str, Any], answer: Answer, *, known_id: str | None = None) -> TaskSnapshot:
    task = _find_task(payload, known_id)
    if task is None:
        raise _unexpected("the answer holds no task", answer, payload)
    try:
        return read_task(task, request_id=_request_id(payload))
    except ValueError as error:
        raise _unexpected(str(error), answer, payload) from error


def _find_task(payload: Mapping[str, Any], known_id: str | None) -> Mapping[str, Any] | None:
    # The outermost object that has an id; an answer about a known task may leave the id out, but not its status.
    data = payload.get("data")
    if isinstance(data, list) and len(data) == 1:
        data = data[0]
    for candidate in (payload, data):
        if is_task(candidate):
            return candidate
    if known_id and isinstance(data, Mapping) and (data.get("task_status") or data.get("status")):
        return {"task_id": known_id, **data}
    return None


def _request_id(payload: Mapping[str, Any]) -> str | None:
    request_id = payload.get("request_id")
    return str(request_id) if request_id else None


def _refused(payload: Mapping[str, Any], answer: Answer) -> KlingError:
    code, message, request_id = _read_error(payload)
    kind = _OF_CODE.get(code) if code is not None else None
    if kind is None:
        kind = _kind_of_status(answer, message)
    text = hide_secrets(message or f"the service answered {answer.status} and did not say why")
    return _make(kind, text, answer, code, request_id, payload)


def _read_error(payload: Mapping[str, Any]) -> tuple[int | str | None, str, str | None]:
    # Code, message and request id, out of whichever shape; the innermost says most.
    error = payload.get("error")
    source = error if isinstance(error, Mapping) else payload
    message = error if isinstance(error, str) else source.get("message") or source.get("msg") or ""
    code = _number(source.get("code"))
    if code in (None, "") and source is not payload:
        code = _number(payload.get("code"))
    request_id = _request_id(payload)
    inner = _json_within(message) if isinstance(message, str) else message
    if isinstance(inner, Mapping) and ("code" in inner or "error" in inner or "message" in inner):
        inner_code, inner_message, inner_request_id = _read_error(inner)
        return (
            code if inner_code is None else inner_code,
            inner_message or str(message),
            inner_request_id or request_id,
        )
    return code if code != "" else None, str(message), request_id


def _number(code: Any) -> int | str | None:
    if isinstance(code, str):
        return int(code) if code.isdecimal() else code
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def _json_within(message: str) -> Any:
    # A relay puts the vendor's answer into its message, sometimes behind words of its own.
    start = message.find("{")
    if start < 0:
        return None
    try:
        return loads(message[start : message.rfind("}") + 1].encode())
    except ValueError:
        return None


def _kind_of_status(answer: Answer, message: str) -> type[KlingError]:
    if answer.status >= 500:
        return ServiceFailure
    if answer.status == 404 and "invalid url" not in message.casefold():
        return TaskNotFound
    return _OF_STATUS.get(answer.status, UnexpectedAnswer)


def _without_json(answer: Answer) -> KlingError:
    kind = _kind_of_status(answer, "") if answer.status != 404 else UnexpectedAnswer
    if 300 <= answer.status < 400:
        what = "the service redirects elsewhere, which is not followed with a key; check base_url"
    elif not answer.body.strip():
        what = f"the service answered {answer.status} with an empty body"
    else:
        what = f"the service answered {answer.status} with something that is not JSON; check base_url"
    return _make(kind, what, answer, None, None, {})


def _unexpected(what: str, answer: Answer, payload: Mapping[str, Any]) -> KlingError:
    return _make(UnexpectedAnswer, what, answer, _number(payload.get("code")), _request_id(payload), payload)


def _make(
    kind: type[KlingError],
    message: str,
    answer: Answer,
    code: int | str | None,
    request_id: str | None,
    payload: Mapping[str, Any],
) -> KlingError:
    data = payload.get("data")
    named = data.get("task_id") if isinstance(data, Mapping) else None
    facts = (message, str(named) if named else None, request_id, code, answer.status)
    if issubclass(kind, RateLimited | ServiceFailure):
        return kind(*facts, retry_after=retry_after(answer.headers))
    return kind(*facts)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """
    Return the seconds that a `Retry-After` header asks for: a number, or a date counted from the answer's own `Date`.

    None without the header, or where it cannot be read.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        until, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("Date", ""))
    except ValueError:
        return None
    return max(0.0, (_aware(until) - _aware(now)).total_seconds())


def _aware(at: dt.datetime) -> dt.datetime:
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)
