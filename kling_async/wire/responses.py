"""
Interprets answers: from status, headers and body to a value or an error. Every answer gives one of the two.

The vendor's codes are its table "Error codes"; the shapes of errors are the vendor's envelope and those of the gateway
families (an `error` object, a task error with a word for a code, and the vendor's own JSON inside a message).
"""

import enum
from collections.abc import Mapping
from typing import Any, Final

import attrs

from kling_async.errors import (
    InvalidRequest,
    KlingError,
    TaskNotFound,
    UnexpectedAnswer,
)
from kling_async.wire.codec import read_task
from kling_async.wire.endpoints.base import stands_in_path
from kling_async.wire.error_answers import (
    ERROR_OF_CODE,
    data_of,
    is_refusal,
    items_of,
    make_error,
    refusal,
    unexpected,
    without_json,
)
from kling_async.wire.http_answer import Answer
from kling_async.wire.json_text import loads
from kling_async.wire.scalars import read_id, read_request_id, read_time
from kling_async.wire.status import is_final
from kling_async.wire.task_shapes import id_of_task, is_task
from kling_async.wire.tasks import TaskSnapshot

__all__ = [
    "PAGE_MAX",
    "Presence",
    "is_duplicate_id",
    "is_whole",
    "presence_of",
    "read_created",
    "read_news",
    "read_page",
    "read_payload",
    "read_snapshot",
]

PAGE_MAX: Final = 2000
"""
Maximum number of tasks of a page that are read: four times the largest page that is ever requested. Reading 4 MiB of
tasks that have only an id would take ten seconds.
"""


class Presence(enum.Enum):
    """
    What an answer shows about the address of the request.
    """

    HERE = enum.auto()  # a Kling API, or a relay of one
    ABSENT = enum.auto()  # something else
    UNCLEAR = enum.auto()  # nothing


def read_created(answer: Answer) -> TaskSnapshot:
    """
    Read the answer to a create.

    Raises:
        UnexpectedAnswer: A 2xx that cannot be read: the task may exist. With `is_other_api` it usually comes
            from another API; read a task that cannot exist, and `presence_of` the answer shows it.
        KlingError: Its class follows from the code, or without a known code from the status. A relay's own refusal,
            before it sends anything, never raises an error after which a task may exist, with any status.
    """
    try:
        return _read_task_of(read_payload(answer, is_create=True), answer)
    except TaskNotFound as error:  # a create names no task: the path or the model is missing
        facts = (error.message, error.task_id, error.request_id, error.code, error.http_status)
        raise InvalidRequest(*facts) from error


def read_snapshot(answer: Answer, task_id: str | None = None) -> TaskSnapshot:
    """
    Read the answer to a query of one task; *task_id* is its id if that was queried.

    A relay may answer with the vendor's id for a task that the caller knows by the relay's: the queried id is kept.

    Raises:
        TaskNotFound: 404 or 1203, 1201 "not found", a gateway's "task_not_exist".
        UnexpectedAnswer: Also for a 404 that says, as web frameworks do, that there is no such path.
        KlingError: As for a create.
    """
    try:
        snapshot = _read_task_of(read_payload(answer), answer, known_id=task_id)
    except KlingError as error:
        error.task_id = task_id or error.task_id
        if isinstance(error, InvalidRequest) and _says_not_found(error):
            facts = (error.message, error.task_id, error.request_id, error.code, error.http_status)
            raise TaskNotFound(*facts) from error
        raise
    return snapshot if task_id in (None, snapshot.task_id) else attrs.evolve(snapshot, task_id=task_id)


def read_only_task(answer: Answer, task_id: str | None = None, external_id: str | None = None) -> TaskSnapshot:
    """
    Read the answer to a query of one task in the vendor's new standard, where it is a list. Other tasks in it are left
    out; so are those with another id than *external_id*, if one has it.

    Raises:
        TaskNotFound: The list does not have it.
        UnexpectedAnswer: It may be any of several.
        KlingError: As for a create.
    """
    page = read_page(answer)
    if task_id is not None:
        page = [task for task in page if task.task_id == task_id][:1]
    elif external_id is not None:
        page = [task for task in page if task.task_info.external_task_id == external_id] or page
    if len(page) > 1:
        what = f"the answer holds {len(page)} tasks, and one was asked for"
        raise make_error(UnexpectedAnswer, what, answer, task_id, None, page[0].request_id)
    if not page:
        raise make_error(TaskNotFound, "the service lists no such task", answer, task_id, None, None)
    return page[0]


def read_page(answer: Answer) -> list[TaskSnapshot]:
    """
    Read a page of tasks, or several tasks that were queried by their ids; items that are not tasks are left out.

    Raises:
        UnexpectedAnswer: Also for a page with more tasks than any page that is requested.
        KlingError: As for a create.
    """
    items, request_id = _read_items(answer)
    tasks = [item for item in items if is_task(item)]
    if len(tasks) > PAGE_MAX:
        what = f"the answer holds {len(tasks)} tasks, and no page has more than {PAGE_MAX}"
        raise make_error(UnexpectedAnswer, what, answer, None, None, request_id)
    return [read_task(task, request_id=request_id) for task in tasks]


def read_news(answer: Answer, held: Mapping[str, TaskSnapshot | None]) -> tuple[dict[str, TaskSnapshot], int]:
    """
    Read only the tasks of a page that are in *held*; also return how many tasks the page has.

    For an unchanged task the snapshot in *held* is returned: lists are long, and most tasks do not change between two
    polls.

    Raises:
        KlingError: As for a create.
    """
    items, request_id = _read_items(answer)
    ids = [id_of_task(item) for item in items]
    # Each task once, however often it is there.
    shown = {task_id: task for task_id, task in zip(ids, items, strict=True) if task_id is not None and task_id in held}
    seen: dict[str, TaskSnapshot] = {}
    for task_id, task in shown.items():
        if (snapshot := held[task_id]) is None or not _shows_the_same(task, snapshot):
            known_id = None if snapshot is None else snapshot.task_id
            snapshot = read_task(task, request_id=request_id, known_id=known_id)
        seen[task_id] = snapshot
    return seen, len(ids) - ids.count(None)


def is_duplicate_id(error: KlingError) -> bool:
    """
    Return whether a create was refused because its `external_task_id` exists already (1201, "already exists").
    """
    return isinstance(error, InvalidRequest) and error.code == 1201 and "already exist" in error.message.casefold()


def presence_of(error: KlingError | None) -> Presence:
    """
    Return what the answer to a read shows about the address: *error* is what `read_snapshot` raised, None if
    nothing.

    Read a task that cannot exist for this: a Kling API reports in its own words that there is none, and any other API
    does not know the path.
    """
    match error:
        case None:
            return Presence.HERE
        case UnexpectedAnswer(is_other_api=True) | InvalidRequest(code=1202):  # the vendor's "method invalid"
            return Presence.ABSENT
        case _ if error.code in ERROR_OF_CODE:
            return Presence.HERE
        case _:
            return Presence.UNCLEAR


def is_whole(body: bytes) -> bool:
    """
    Return whether *body*, received before its connection broke, is a complete answer: JSON shows where it ends.
    """
    try:
        return isinstance(loads(body), dict)
    except ValueError:
        return False


def _read_items(answer: Answer) -> tuple[list[Any], str | None]:
    payload = read_payload(answer)
    items = items_of(payload)
    if items is None:
        raise unexpected("the answer holds no list of tasks", answer, payload)
    return items, read_request_id(payload.get("request_id"))


def _shows_the_same(task: Mapping[str, Any], held: TaskSnapshot) -> bool:
    # Whenever a task changes, so does its word, its message or its time. A final snapshot may still gain its pictures
    # while these stay. Lists show empty fields, others do not.
    return (
        not is_final(held.task_status)
        and (task.get("task_status") or task.get("status")) == held.status_word
        and (task.get("task_status_msg") or "") == held.task_status_msg
        and read_time(task.get("updated_at") or task.get("update_time") or 0, None) == held.updated_at
    )


def _says_not_found(error: InvalidRequest) -> bool:
    return error.code == 1203 or (error.code == 1201 and "not found" in error.message.casefold())


def read_payload(answer: Answer, *, is_create: bool = False) -> Mapping[str, Any]:
    """
    Return the envelope of an answer that says yes.

    Args:
        is_create: Whether a relay's own refusal, before it sent anything, can be an answer to this request.

    Raises:
        KlingError: For anything else.
    """
    is_good = 200 <= answer.status < 300
    try:
        payload = loads(answer.body)
    except ValueError:
        raise without_json(answer) from None
    if not isinstance(payload, dict):
        raise unexpected("the answer is JSON, but not an object", answer, {}) if is_good else refusal({}, answer)
    if is_good and not is_refusal(payload):
        return payload
    raise refusal(payload, answer, is_create=is_create)


def _read_task_of(payload: Mapping[str, Any], answer: Answer, *, known_id: str | None = None) -> TaskSnapshot:
    # The task is the outermost object that has an id; if that is known, it may be left out, but not the status.
    task: Mapping[str, Any] | None = None
    data = payload.get("data")
    if not isinstance(data, dict):
        data = data_of(payload)
    if id_of_task(payload):
        task = payload
    elif id_of_task(data):
        task = data
    elif isinstance(data, dict):
        if id_of_task(inner := data_of(data)):
            task = inner
        elif read_id(data.get("id")):
            task = data
        elif read_id(known_id) and (data.get("task_status") or data.get("status")):
            task = {**data, "task_id": known_id}
    if task is None:
        raise unexpected("the answer holds no task", answer, payload)
    snapshot = read_task(task, request_id=read_request_id(payload.get("request_id")), known_id=known_id)
    if known_id is None and not stands_in_path(snapshot.task_id):
        raise unexpected("the answer gives its task an id that cannot stand in a path", answer, payload)
    return snapshot
