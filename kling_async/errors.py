"""
What can go wrong, one class per decision of the caller.

    KlingError
      InvalidRequest (also ValueError)   fix the request
      NotAuthenticated                   fix the key
      NotAllowed                         ask for the right, or use another model
      AccountProblem                     money or account: top up, or call the vendor
      ContentRefused                     change the prompt or the picture
      TaskNotFound                       no such task on this account and host
      RateLimited                        wait, then send again
        NoFreeSlot                       wait until tasks of this account end
      ServiceFailure                     the service is broken; try later
      UnexpectedAnswer                   the answer makes no sense; check base_url
      NotSent                            the connection was never made
      Unreachable                        it broke on the way
      SubmissionUncertain                look before you pay again
      TaskFailed                         the service gave up on this task
      WaitTimeout (also TimeoutError)    wait again: the task goes on
      DownloadFailed                     fetch again: the pictures are still there
      ProcessFailed                      fix your function, then run the batch again
      ExecutorLost                       restore the cluster, then run the batch again
      ClientClosed                       pick the tasks up with another client
      JournalLocked                      another process works on this journal: wait for its end
      JournalMismatch                    the journal is of another account, host or version
      JournalCorrupt                     the journal is damaged, or parts of it are missing
      StorageFull                        make room on the disk, then go on

Fields are positional and plain, so that an error survives pickling. No error shows a key, a token or a URL's query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs

if TYPE_CHECKING:
    import datetime as dt
    import enum
    from collections.abc import Mapping, Sequence
    from decimal import Decimal
    from pathlib import Path

__all__ = [
    "AccountProblem",
    "BrokenRule",
    "ClientClosed",
    "ContentRefused",
    "DownloadFailed",
    "ExecutorLost",
    "InvalidRequest",
    "JournalCorrupt",
    "JournalLocked",
    "JournalMismatch",
    "KlingError",
    "NoFreeSlot",
    "NotAllowed",
    "NotAuthenticated",
    "NotSent",
    "ProcessFailed",
    "RateLimited",
    "SeenFile",
    "SeenFiles",
    "SeenTask",
    "SentRequest",
    "ServiceFailure",
    "StorageFull",
    "SubmissionUncertain",
    "TaskFailed",
    "TaskNotFound",
    "UnexpectedAnswer",
    "Unreachable",
    "WaitTimeout",
]


class SeenFile(Protocol):
    """
    A file of a task that an error tells of: a `kling_async.Image`, for example.
    """

    @property
    def index(self) -> int: ...
    @property
    def url(self) -> str: ...


class SeenFiles(Protocol):
    """
    What the task of an error has made so far: a `kling_async.wire.TaskOutput`.
    """

    @property
    def images(self) -> Sequence[SeenFile]: ...


class SeenTask(Protocol):
    """
    The task of an error, as it was last seen: a `kling_async.TaskSnapshot`. Its attributes are described there; here
    they are named, so that errors import nothing.
    """

    @property
    def task_id(self) -> str: ...
    @property
    def task_status(self) -> enum.Enum: ...
    @property
    def status_word(self) -> str: ...
    @property
    def task_status_msg(self) -> str: ...
    @property
    def task_result(self) -> SeenFiles: ...
    @property
    def created_at(self) -> dt.datetime | None: ...
    @property
    def updated_at(self) -> dt.datetime | None: ...
    @property
    def final_unit_deduction(self) -> Decimal | None: ...
    @property
    def request_id(self) -> str | None: ...
    @property
    def raw(self) -> Mapping[str, Any]: ...


class SentRequest(attrs.AttrsInstance, Protocol):
    """
    The request of an error, as it was sent: a `kling_async.ImageRequest`, for example. It may be submitted again.
    """

    @property
    def callback_url(self) -> str | None: ...
    @property
    def external_task_id(self) -> str | None: ...


@attrs.frozen
class BrokenRule:
    """
    One reason to refuse a request.

    Attributes:
        field: Its name on the wire, or the name of the argument.
        value: What it held, as `repr` shows it: shortened, without a URL's query, and of a picture its size alone.
        rule: What it should hold, as a sentence without a subject: "must be …".
    """

    field: str
    value: str
    rule: str

    def __str__(self) -> str:
        return f"{self.field}={self.value}: {self.rule}"


@attrs.define(slots=False, repr=False)
class KlingError(Exception):
    """
    Root of everything this package raises on purpose.

    Attributes:
        message: What went wrong, fit to be logged and shown.
        task_id: The task that it concerns; None where there is none, or none is known.
        request_id: Of the answer that told of it: what the vendor's support asks for. None where no answer was read.
        code: The vendor's or gateway's own code, a number or a word; None where no answer was read, or it had none.
        http_status: None where no answer was read.
    """

    message: str
    task_id: str | None = None
    request_id: str | None = None
    code: int | str | None = None
    http_status: int | None = None

    def __str__(self) -> str:
        facts = [
            f"{name} {value}"
            for name, value in (
                ("task", self.task_id),
                ("code", self.code),
                ("HTTP", self.http_status),
                ("request", self.request_id),
            )
            if value not in (None, "")
        ]
        return f"{self.message} ({', '.join(facts)})" if facts else self.message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


@attrs.define(slots=False, repr=False)
class InvalidRequest(KlingError, ValueError):
    """
    The request breaks a rule: refused here before anything was sent, or by the service (1200 to 1203 and HTTP 400 at
    create). Nothing was made.

    Attributes:
        broken: Every broken rule at once; empty where the service refused in its own words.
    """

    broken: tuple[BrokenRule, ...] = ()


class NotAuthenticated(KlingError):
    """
    There is no key, or the service does not accept it (1000 to 1004, HTTP 401).
    """


class NotAllowed(KlingError):
    """
    The key is good but lacks the right to this API, model or address (1103, 1304, HTTP 403), or a relay has no channel
    that offers the model to it. Nothing was made.
    """


class AccountProblem(KlingError):
    """
    Money or account (1100, 1101, 1102, a gateway's spent quota): waiting does not help.
    """


class ContentRefused(KlingError):
    """
    The content policy refused the prompt or the picture (1300, 1301).
    """


@attrs.define(slots=False, repr=False)
class TaskNotFound(KlingError):
    """
    This account knows no such task at this host; records may also be gone after the vendor's 30 days.

    Attributes:
        snapshot: What a callback told of the task all the same; None where none did.
    """

    snapshot: SeenTask | None = None


@attrs.define(slots=False, repr=False)
class RateLimited(KlingError):
    """
    Too many requests (1302, or a 429 that says no more): nothing was made. A submit is sent again by itself for 300 s
    before its caller hears of this.

    Attributes:
        retry_after: Seconds that the service asks to wait, None without a hint.
    """

    retry_after: float | None = None


class NoFreeSlot(RateLimited):
    """
    Every slot of the account is taken (1303, by the vendor's concurrency rules): nothing was created and nothing was
    paid. Raised only where none of this client's own tasks was running, so that others take them.
    """


@attrs.define(slots=False, repr=False)
class ServiceFailure(KlingError):
    """
    The service failed (5xx, 5000 to 5002). A submit that got this may have been accepted all the same, so its caller
    gets `SubmissionUncertain`, or the task that was found. Only a 501 is told as it is, since nothing was made.

    Attributes:
        retry_after: Seconds that the service asks to wait, None without a hint.
    """

    retry_after: float | None = None


@attrs.define(slots=False, repr=False)
class UnexpectedAnswer(KlingError):
    """
    Not JSON, the wrong shape, cut short or too large; mostly a page of something on the way, so check `base_url`. With
    a `task_id`: the task succeeded, but the service listed no files of it for 30 s; ask for it again.

    Attributes:
        is_other_api:
            Whether the answer is one that no Kling API gives: a web page, a redirect, a web framework's "no such
            route", or OpenAI's answer with pictures. Then `base_url` is wrong, most likely.
        is_confirmed:
            Whether a free read of a made-up task has shown it too, so that a submit with this answer made no task.
        urls:
            Addresses of pictures that the answer holds although it names no task, with what signs them. They may be
            paid for, so save them: no task leads to them. Never part of the text.
    """

    is_other_api: bool = False
    is_confirmed: bool = False
    urls: tuple[str, ...] = ()


class NotSent(KlingError):
    """
    The connection was never made, so nothing reached the service.
    """


class Unreachable(KlingError):
    """
    The connection broke or timed out on the way; the request may have arrived.
    """


@attrs.define(slots=False, repr=False)
class SubmissionUncertain(KlingError):
    """
    A submit that may have been accepted, and the service gives no way to find out, or none answered.

    Nothing sends it again by itself. Look for the task in the vendor's console, or submit again and accept that it may
    be paid twice.

    Attributes:
        request: What was sent, with the `external_task_id` of ours where one went along.
        urls: Addresses of pictures that an answer held, as in `UnexpectedAnswer`, or that a callback told.
        snapshot: What a callback told of its task, where it told no id by which the task could be asked for.
    """

    request: SentRequest | None = None
    urls: tuple[str, ...] = ()
    snapshot: SeenTask | None = None


@attrs.define(slots=False, repr=False)
class TaskFailed(KlingError):
    """
    The service gave up on the task; its own reason is the message. The vendor billed no failed task by its price page
    of 2025; `snapshot.final_unit_deduction` tells what was taken.

    Attributes:
        snapshot: The last sighting of it.
    """

    snapshot: SeenTask | None = None


@attrs.define(slots=False, repr=False)
class WaitTimeout(KlingError, TimeoutError):
    """
    The task was not final in time. It goes on at the service, and its handle stays good: wait again.

    Attributes:
        snapshot: The last sighting of it; None for one that was picked up and never seen.
    """

    snapshot: SeenTask | None = None


@attrs.define(slots=False, repr=False)
class DownloadFailed(KlingError):
    """
    A picture could not be fetched. It is paid for, and still at the service: save the result again.

    Attributes:
        index: Of the first picture that failed.
        paths: Of the pictures that did arrive.
        urls: Of those that did, where they go to a storage.
    """

    index: int | None = None
    paths: tuple[Path, ...] = ()
    urls: tuple[str, ...] = ()


@attrs.define(slots=False, repr=False)
class ProcessFailed(KlingError):
    """
    A function of yours, given as `process=`, failed on a picture, which is saved all the same. The next run calls it
    again; its own error is `__cause__`. Or it did not fail, and what it has returned cannot be loaded here, as the text
    says; then it is in the journal, for a program that can.

    Attributes:
        index: Of the first picture on which it failed.
    """

    index: int | None = None


class ExecutorLost(KlingError):
    """
    The engine of a batch, such as a cluster, is gone or cannot do its work. So the run was stopped; tasks and pictures
    are in the journal, and the next run saves what is not saved yet.
    """


@attrs.define(slots=False, repr=False)
class ClientClosed(KlingError):
    """
    The client was closed while this was pending.

    Attributes:
        task_ids: Of tasks that go on, and can be picked up by another client's `handle(task_id)`; empty where nothing
            had been sent.
    """

    task_ids: tuple[str, ...] = ()


class JournalLocked(KlingError):
    """
    Another process works on this journal, or another batch of this one.
    """


class JournalMismatch(KlingError):
    """
    The journal is of another account, host or dialect, or was made by a later version: going on could pay twice.
    """


class JournalCorrupt(KlingError):
    """
    The journal is no journal, is damaged, lacks a part, or was moved away while it was in use.
    """


@attrs.define(slots=False, repr=False)
class StorageFull(KlingError):
    """
    There is no room on the disk, or it refuses to be written. What is paid for is at the service or in the journal.

    Attributes:
        paths: Of the pictures that were saved all the same, where it was pictures that were being saved.
        urls: Of those, where they go to a storage.
    """

    paths: tuple[Path, ...] = ()
    urls: tuple[str, ...] = ()
