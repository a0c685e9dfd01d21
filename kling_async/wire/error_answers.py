"""
Maps an answer to an error: a refusal, a failing service, or an answer that is not from this API.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

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
from kling_async.wire.endpoints.base import ID_LENGTH
from kling_async.wire.headers import retry_after
from kling_async.wire.http_answer import Answer
from kling_async.wire.other_apis import name_of_no_route, name_of_text
from kling_async.wire.redaction import hide_secrets, one_line
from kling_async.wire.relay_refusals import refusal_of
from kling_async.wire.scalars import read_id, read_nested, read_request_id, read_whole
from kling_async.wire.task_shapes import addresses_in, is_task

__all__ = [
    "ERROR_OF_CODE",
    "data_of",
    "is_refusal",
    "items_of",
    "make_error",
    "refusal",
    "torn_id",
    "unexpected",
    "without_json",
]

ERROR_OF_CODE: Final[dict[int | str, type[KlingError]]] = {
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
    "invalid_request": InvalidRequest,  # at one gateway under HTTP 500
    # These may come under HTTP 400 too, and yet the vendor may have received the request.
    "bad_response_body": ServiceFailure,
    "channel:response_time_exceeded": ServiceFailure,
    "do_request_failed": ServiceFailure,
    "empty_response": ServiceFailure,
    "get_channel_failed": ServiceFailure,  # asked for between two attempts
    "read_response_body_failed": ServiceFailure,
    "unmarshal_response_failed": ServiceFailure,
}

_OF_STATUS: Final[dict[int, type[KlingError]]] = {
    400: InvalidRequest,
    401: NotAuthenticated,
    402: AccountProblem,
    403: NotAllowed,
    408: ServiceFailure,  # a proxy timed out: the request may have arrived
    413: InvalidRequest,
    422: InvalidRequest,
    429: RateLimited,
}

_FINE: Final = (0, "", "success", "succeed", "ok", None)

_LAYERS: Final = 5
"""
How many envelopes around one error are opened: a relay of a relay puts the vendor's answer into a message of a message.
"""

_TASK_ID: Final = re.compile(rb'"task_id"\s*:\s*(?:"([^"\\]{1,%d})"|(\d{1,%d})\s*[,}])' % (ID_LENGTH, ID_LENGTH))


def torn_id(body: bytes) -> str | None:
    """
    Return the task id in an answer that was cut off after it; None if there is none.
    """
    match = _TASK_ID.search(body)
    return one_line((match[1] or match[2]).decode(errors="replace")) if match else None


def is_refusal(payload: Mapping[str, Any]) -> bool:
    """
    Return whether an answer with a 2xx status is a refusal. A known code wins over everything, and a
    task over an unknown code: gateways have their own words.
    """
    if payload.get("code") == 0 and "error" not in payload and "success" not in payload:
        return False  # the vendor's own answer
    code = _read_code(payload.get("code"))
    if code in ERROR_OF_CODE:
        return True
    if payload.get("error") or payload.get("success") is False:
        return not is_task(payload)  # else the `error` is the reason why it failed
    if (code.casefold() if isinstance(code, str) else code) in _FINE:
        return False
    return not any(is_task(item) for item in (payload, data_of(payload), *(items_of(payload) or ())))


def data_of(payload: Mapping[str, Any]) -> Any:
    """
    Return what the envelope of an answer holds.
    """
    data = read_nested(payload.get("data"))
    return data[0] if isinstance(data, list) and len(data) == 1 else data


def items_of(payload: Mapping[str, Any]) -> list[Any] | None:
    """
    Return the list that the envelope of an answer holds, None if it holds none.
    """
    data = read_nested(payload.get("data"))
    items = data.get("result", []) if isinstance(data, dict) else data
    return items if isinstance(items, list) else None


def refusal(payload: Mapping[str, Any], answer: Answer, *, is_create: bool = False) -> KlingError:
    """
    Return the error for a refusal.
    """
    code, message, request_id = _read_error(payload)
    status = answer.status
    if status < 300 and isinstance(code, int) and 400 <= code < 600:
        status = code  # some gateways always send 200, and put the real status into the code
    refusal = refusal_of(answer.status, payload) if is_create else None
    kind = (ERROR_OF_CODE.get(code) if code else None) or (refusal.kind if refusal else None)
    framework = None if kind else name_of_no_route(answer.status, payload)
    reason = message or _did_not_say(answer)
    if framework is not None:
        reason = f"this API does not exist at this address, according to {framework}: {reason}; check base_url"
        return make_error(UnexpectedAnswer, reason, answer, _named(payload), code, request_id, is_other_api=True)
    return make_error(kind or _kind_of_status(status, message), reason, answer, _named(payload), code, request_id)


def _did_not_say(answer: Answer) -> str:
    what = f"the service answered {answer.status} and did not say why"
    excerpt = answer.body[:200].decode(errors="replace").strip()
    return f"{what}: {excerpt}" if excerpt else what


def _read_error(payload: Mapping[str, Any]) -> tuple[int | str | None, str, str | None]:
    # Code, message and request id, out of whichever shape; the innermost says most. But for a message under a code that
    # is known: what looks like an answer in there may be the caller's own prompt, repeated.
    code: int | str | None = None
    message, request_id = "", None
    layer: Any = payload
    for _ in range(_LAYERS):
        error = layer.get("error")
        source = error if isinstance(error, dict) else layer
        text = error if isinstance(error, str) and error else source.get("message") or source.get("msg")
        if code not in ERROR_OF_CODE:
            code = _read_code(source.get("code")) or _read_code(layer.get("code")) or code
        message = text if isinstance(text, str) else message
        request_id = read_request_id(source.get("request_id")) or read_request_id(layer.get("request_id")) or request_id
        if isinstance(text, str):
            text = None if code in ERROR_OF_CODE else _json_within(text)
        if not isinstance(text, dict):
            break
        layer = text
    return code, message, request_id


def _read_code(code: object) -> int | str | None:
    number = read_whole(code)
    return code if number is None and isinstance(code, str) else number


def _json_within(message: str) -> Any:
    # A relay puts the vendor's answer into its message, sometimes after its own words.
    return read_nested(message[message.find("{") : message.rfind("}") + 1])


def _kind_of_status(status: int, message: str) -> type[KlingError]:
    if status >= 500:
        return ServiceFailure
    if status == 404 and "invalid url" not in message.casefold():
        return TaskNotFound
    return _OF_STATUS.get(status, UnexpectedAnswer)


def without_json(answer: Answer) -> KlingError:
    """
    Return the error for an answer without JSON.
    """
    kind = UnexpectedAnswer if answer.status == 404 else _kind_of_status(answer.status, "")
    is_redirect = 300 <= answer.status < 400
    description = name_of_text(answer.status, answer.headers, answer.body)
    if is_redirect:
        what = "the service redirects elsewhere, which is not followed with a key; check base_url"
    elif not answer.body.strip():
        what = f"the service answered {answer.status} with an empty body"
    else:
        body = f"{description}, which is not JSON" if description else "something that is not JSON"
        what = f"the service answered {answer.status} with {body}; check base_url"
    is_other_api = kind is UnexpectedAnswer and (is_redirect or description is not None)
    return make_error(kind, what, answer, torn_id(answer.body), None, None, is_other_api=is_other_api)


def unexpected(what: str, answer: Answer, payload: Mapping[str, Any]) -> KlingError:
    """
    Return the error for an answer whose shape is unknown.
    """
    code, message, request_id = _read_error(payload)
    urls = addresses_in(payload)
    is_openai = bool(urls) and "created" in payload and isinstance(payload.get("data"), list)
    says = f"{what}; it says {message!r}" if message and message.casefold() not in _FINE else what
    if urls:
        pictures = f"{len(urls)} picture{'' if len(urls) == 1 else 's'}"
        says = f"{says}, but {pictures}, which may be paid for: save them from the `urls` of this error"
    if is_openai:
        says = f"{says}. OpenAI's image API answers so; check base_url: many gateways want /kling at its end"
    facts = (answer, _named(payload), code, request_id)
    return make_error(UnexpectedAnswer, says, *facts, is_other_api=is_openai, urls=urls)


def _named(payload: Mapping[str, Any]) -> str | None:
    data = data_of(payload)
    return read_id(payload.get("task_id")) or (read_id(data.get("task_id")) if isinstance(data, dict) else None)


def make_error(
    kind: type[KlingError],
    message: str,
    answer: Answer,
    task_id: str | None,
    code: int | str | None,
    request_id: str | None,
    **of_kind: Any,
) -> KlingError:
    """
    Return an error with the facts of its answer, without secrets.
    """
    shown_code = hide_secrets(code, limit=60) if isinstance(code, str) else code
    shown_id = one_line(task_id) if task_id is not None else None
    facts = (hide_secrets(message), shown_id, request_id, shown_code, answer.status)
    if issubclass(kind, RateLimited | ServiceFailure):
        return kind(*facts, retry_after=retry_after(answer.headers))
    return kind(*facts, **of_kind) if kind is UnexpectedAnswer else kind(*facts)
