"""
What an answer means: status, headers and body in, a value out or an error raised. No answer is left without one.

The vendor's codes are its table "Error codes"; the shapes of errors are the vendor's envelope and those of the gateway
families (an `error` object, a task error with a word for a code, and the vendor's own JSON inside a message).
"""

import enum
import re
from collections.abc import Mapping
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
from kling_async.wire.codec import (
    addresses_in,
    is_task,
    loads,
    read_id,
    read_nested,
    read_request_id,
    read_task,
    read_whole,
)
from kling_async.wire.endpoints.base import ID_LENGTH, stands_in_path
from kling_async.wire.headers import retry_after
from kling_async.wire.other_apis import name_of_no_route, name_of_text
from kling_async.wire.redaction import hide_secrets, one_line
from kling_async.wire.relays import refusal_of
from kling_async.wire.status import is_final
from kling_async.wire.tasks import TaskSnapshot

__all__ = [
    "Answer",
    "Presence",
    "is_duplicate_id",
    "is_whole",
    "presence_of",
    "read_created",
    "read_news",
    "read_page",
    "read_sighting",
    "torn_id",
]

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
    "invalid_request": InvalidRequest,  # at one gateway under HTTP 500
    # These may come under HTTP 400 too, and yet the vendor may have heard the relay.
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
    408: ServiceFailure,  # somebody on the way gave up waiting: it may have arrived
    413: InvalidRequest,
    422: InvalidRequest,
    429: RateLimited,
}

_FINE: Final = (0, "", "success", "succeed", "ok", None)

_LAYERS: Final = 5
"""
How many envelopes around one error are opened: a relay of a relay puts the vendor's answer into a message of a message.
"""

_MARKS: Final = ("task_status", "status", "task_status_msg", "updated_at", "update_time")
"""
The fields of either of the vendor's standards of which one changes whenever a task does.
"""

PAGE_MAX: Final = 2000
"""
Tasks of a page that are read: four times the most that is ever asked for. 4 MiB of tasks that have nothing but an id
would take ten seconds.
"""

_TASK_ID: Final = re.compile(rb'"task_id"\s*:\s*(?:"([^"\\]{1,%d})"|(\d{1,%d})\s*[,}])' % (ID_LENGTH, ID_LENGTH))


@attrs.frozen
class Answer:
    """
    One HTTP answer, read to its end.

    Attributes:
        status: The HTTP status.
        headers: Their names may have any case.
        body: All of it, decompressed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)


class Presence(enum.Enum):
    """
    What an answer tells of the address that was asked.
    """

    HERE = enum.auto()  # a Kling API, or a relay of one
    ABSENT = enum.auto()  # something else
    UNCLEAR = enum.auto()  # nothing


def read_created(answer: Answer) -> TaskSnapshot:
    """
    Read the answer to a create.

    Raises:
        UnexpectedAnswer: A 2xx that cannot be read: the task may exist. With `is_other_api` it comes from something
            else than a Kling API, mostly; ask for a task that cannot exist, and `presence_of` tells.
        KlingError: The class that its code, else its status, stands for. A relay's own refusal, which it makes before
            it sends anything, is none that leaves it open whether a task was made, whatever its status.
    """
    try:
        return _read_task_of(_read_payload(answer, is_create=True), answer)
    except TaskNotFound as error:  # a create asks for no task: what is missing is the path or the model
        facts = (error.message, error.task_id, error.request_id, error.code, error.http_status)
        raise InvalidRequest(*facts) from error


def read_sighting(answer: Answer, task_id: str | None = None) -> TaskSnapshot:
    """
    Read the answer to a question about one task, known by *task_id* where it was asked for by that.

    A relay may answer with the vendor's id for a task that the caller knows by the relay's: the id asked for is kept.

    Raises:
        TaskNotFound: 404 or 1203, 1201 "not found", a gateway's "task_not_exist".
        UnexpectedAnswer: Also for a 404 that says, as web frameworks do, that there is no such path.
        KlingError: As for a create.
    """
    try:
        seen = _read_task_of(_read_payload(answer), answer, known_id=task_id)
    except KlingError as error:
        error.task_id = task_id or error.task_id
        if isinstance(error, InvalidRequest) and _says_not_found(error):
            facts = (error.message, error.task_id, error.request_id, error.code, error.http_status)
            raise TaskNotFound(*facts) from error
        raise
    return seen if task_id in (None, seen.task_id) else attrs.evolve(seen, task_id=task_id)


def read_page(answer: Answer) -> list[TaskSnapshot]:
    """
    Read a page of tasks, or of several tasks asked for by their ids; what is no task in it is left out.

    Raises:
        UnexpectedAnswer: Also for a page of more tasks than any that is asked for.
        KlingError: As for a create.
    """
    tasks, request_id = _read_tasks(answer)
    if len(tasks) > PAGE_MAX:
        what = f"the answer holds {len(tasks)} tasks, and no page has more than {PAGE_MAX}"
        raise _make(UnexpectedAnswer, what, answer, None, None, request_id)
    return [read_task(task, request_id=request_id) for task in tasks]


def read_news(answer: Answer, held: Mapping[str, TaskSnapshot | None]) -> tuple[dict[str, TaskSnapshot], int]:
    """
    Read of a page only what is news of the tasks in *held*; also tell how many tasks it has.

    A task that looks as it did is given as it is held: the service's lists are long, and most of it does not change
    from look to look.

    Raises:
        KlingError: As for a create.
    """
    tasks, request_id = _read_tasks(answer)
    shown = {
        task_id: task for task in tasks if (task_id := _id_of(task)) in held
    }  # each once, however often it is there
    seen: dict[str, TaskSnapshot] = {}
    for task_id, task in shown.items():
        snapshot = held[task_id]
        is_news = snapshot is None or not _shows_the_same(task, snapshot)
        seen[task_id] = read_task(task, request_id=request_id) if snapshot is None or is_news else snapshot
    return seen, len(tasks)


def is_duplicate_id(error: KlingError) -> bool:
    """
    Tell whether a create was refused because its `external_task_id` exists already (1201, "already exists").
    """
    return isinstance(error, InvalidRequest) and error.code == 1201 and "already exist" in error.message.casefold()


def presence_of(error: KlingError | None) -> Presence:
    """
    Tell what the answer to a read says of the address: *error* is what `read_sighting` raised, None where it did not.

    Ask for a task that cannot exist: a Kling API says in its own words that there is none, and anything else does not
    know the path.
    """
    match error:
        case None:
            return Presence.HERE
        case UnexpectedAnswer(is_other_api=True) | InvalidRequest(code=1202):  # the vendor's "method invalid"
            return Presence.ABSENT
        case _ if error.code in _OF_CODE:
            return Presence.HERE
        case _:
            return Presence.UNCLEAR


def is_whole(body: bytes) -> bool:
    """
    Tell whether *body*, which came before its connection broke, is all of an answer: JSON shows by itself where it
    ends.
    """
    try:
        return isinstance(loads(body), dict)
    except ValueError:
        return False


def torn_id(body: bytes) -> str | None:
    """
    Return the task id in an answer that was cut short behind it; None where there is none.
    """
    found = _TASK_ID.search(body)
    return one_line((found[1] or found[2]).decode(errors="replace")) if found else None


def _read_tasks(answer: Answer) -> tuple[list[Mapping[str, Any]], str | None]:
    payload = _read_payload(answer)
    items = _items(payload)
    if items is None:
        raise _unexpected("the answer holds no list of tasks", answer, payload)
    return [item for item in items if is_task(item)], read_request_id(payload.get("request_id"))


def _id_of(task: Mapping[str, Any]) -> str:
    return read_id(task.get("task_id")) or read_id(task.get("id")) or ""


def _shows_the_same(task: Mapping[str, Any], held: TaskSnapshot) -> bool:
    # A final sighting may still gain its pictures, with no word about it. Lists show what is empty, and others do not.
    marks = ((task.get(mark) or None, held.raw.get(mark) or None) for mark in _MARKS)
    return not is_final(held.task_status) and all(shown == known for shown, known in marks)


def _says_not_found(error: InvalidRequest) -> bool:
    return error.code == 1203 or (error.code == 1201 and "not found" in error.message.casefold())


def _read_payload(answer: Answer, *, is_create: bool = False) -> Mapping[str, Any]:
    # The envelope of an answer that says yes; anything else is raised.
    is_good = 200 <= answer.status < 300
    try:
        payload = loads(answer.body)
    except ValueError:
        raise _without_json(answer) from None
    if not isinstance(payload, dict):
        raise _unexpected("the answer is JSON, but no object", answer, {}) if is_good else _refused({}, answer)
    if is_good and not _is_refusal(payload):
        return payload
    raise _refused(payload, answer, is_create=is_create)


def _is_refusal(payload: Mapping[str, Any]) -> bool:
    # A code that is known wins over everything, a task over a code that is not: gateways have words of their own.
    code = _read_code(payload.get("code"))
    if code in _OF_CODE:
        return True
    if payload.get("error") or payload.get("success") is False:
        return not is_task(payload)  # else the `error` is the reason why it failed
    if (code.casefold() if isinstance(code, str) else code) in _FINE:
        return False
    return not any(is_task(item) for item in (payload, _data(payload), *(_items(payload) or ())))


def _data(payload: Mapping[str, Any]) -> Any:
    data = read_nested(payload.get("data"))
    return data[0] if isinstance(data, list) and len(data) == 1 else data


def _items(payload: Mapping[str, Any]) -> list[Any] | None:
    data = read_nested(payload.get("data"))
    items = data.get("result", []) if isinstance(data, dict) else data
    return items if isinstance(items, list) else None


def _read_task_of(payload: Mapping[str, Any], answer: Answer, *, known_id: str | None = None) -> TaskSnapshot:
    task = _find_task(payload, known_id)
    if task is None:
        raise _unexpected("the answer holds no task", answer, payload)
    seen = read_task(task, request_id=read_request_id(payload.get("request_id")))
    if known_id is None and not stands_in_path(seen.task_id):
        raise _unexpected("the answer names its task by what nobody could ask for", answer, payload)
    return seen


def _find_task(payload: Mapping[str, Any], known_id: str | None) -> Mapping[str, Any] | None:
    # The outermost object that has an id; an answer about a known task may leave the id out, but not its status.
    if is_task(payload):
        return payload
    data = _data(payload)
    if not isinstance(data, dict):
        return None
    if is_task(data):
        return data
    inner = _data(data)
    if is_task(inner):
        return inner
    if read_id(data.get("id")):
        return data
    if read_id(known_id) and (data.get("task_status") or data.get("status")):
        return {**data, "task_id": known_id}
    return None


def _refused(payload: Mapping[str, Any], answer: Answer, *, is_create: bool = False) -> KlingError:
    code, message, request_id = _read_error(payload)
    status = answer.status
    if status < 300 and isinstance(code, int) and 400 <= code < 600:
        status = code  # some gateways say 200 to everything, and put the status that they mean into the code
    refusal = refusal_of(answer.status, payload) if is_create else None
    kind = (_OF_CODE.get(code) if code else None) or (refusal.kind if refusal else None)
    framework = None if kind else name_of_no_route(answer.status, payload)
    said = message or _did_not_say(answer)
    if framework is not None:
        said = f"there is no such API at this address, says {framework}: {said}; check base_url"
        return _make(UnexpectedAnswer, said, answer, _named(payload), code, request_id, is_other_api=True)
    return _make(kind or _kind_of_status(status, message), said, answer, _named(payload), code, request_id)


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
        said = error if isinstance(error, str) and error else source.get("message") or source.get("msg")
        if code not in _OF_CODE:
            code = _read_code(source.get("code")) or _read_code(layer.get("code")) or code
        message = said if isinstance(said, str) else message
        request_id = read_request_id(source.get("request_id")) or read_request_id(layer.get("request_id")) or request_id
        if isinstance(said, str):
            said = None if code in _OF_CODE else _json_within(said)
        if not isinstance(said, dict):
            break
        layer = said
    return code, message, request_id


def _read_code(code: object) -> int | str | None:
    number = read_whole(code)
    return code if number is None and isinstance(code, str) else number


def _json_within(message: str) -> Any:
    # A relay puts the vendor's answer into its message, sometimes behind words of its own.
    return read_nested(message[message.find("{") : message.rfind("}") + 1])


def _kind_of_status(status: int, message: str) -> type[KlingError]:
    if status >= 500:
        return ServiceFailure
    if status == 404 and "invalid url" not in message.casefold():
        return TaskNotFound
    return _OF_STATUS.get(status, UnexpectedAnswer)


def _without_json(answer: Answer) -> KlingError:
    kind = UnexpectedAnswer if answer.status == 404 else _kind_of_status(answer.status, "")
    is_redirect = 300 <= answer.status < 400
    found = name_of_text(answer.status, answer.headers, answer.body)
    if is_redirect:
        what = "the service redirects elsewhere, which is not followed with a key; check base_url"
    elif not answer.body.strip():
        what = f"the service answered {answer.status} with an empty body"
    else:
        body = f"{found}, which is not JSON" if found else "something that is not JSON"
        what = f"the service answered {answer.status} with {body}; check base_url"
    is_other_api = kind is UnexpectedAnswer and (is_redirect or found is not None)
    return _make(kind, what, answer, torn_id(answer.body), None, None, is_other_api=is_other_api)


def _unexpected(what: str, answer: Answer, payload: Mapping[str, Any]) -> KlingError:
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
    return _make(UnexpectedAnswer, says, *facts, is_other_api=is_openai, urls=urls)


def _named(payload: Mapping[str, Any]) -> str | None:
    data = _data(payload)
    return read_id(payload.get("task_id")) or (read_id(data.get("task_id")) if isinstance(data, dict) else None)


def _make(
    kind: type[KlingError],
    message: str,
    answer: Answer,
    task_id: str | None,
    code: int | str | None,
    request_id: str | None,
    **of_kind: Any,
) -> KlingError:
    shown_code = hide_secrets(code, limit=60) if isinstance(code, str) else code
    shown_id = one_line(task_id) if task_id is not None else None
    facts = (hide_secrets(message), shown_id, request_id, shown_code, answer.status)
    if issubclass(kind, RateLimited | ServiceFailure):
        return kind(*facts, retry_after=retry_after(answer.headers))
    return kind(*facts, **of_kind) if kind is UnexpectedAnswer else kind(*facts)
