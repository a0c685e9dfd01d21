"""
The exceptions of this package: one class for each decision of the caller.

    KlingError
      InvalidRequest (also ValueError)   fix the request
      NotAuthenticated                   fix the key
      NotAllowed                         get permission, or use another model
      AccountProblem                     money or account: top up, or call the vendor
      BudgetExceeded                     your own budget: enlarge it, or stop
      ContentRefused                     change the prompt or the input files
      TaskNotFound                       no such task on this account and host
      RateLimited                        wait, then send again
        NoFreeSlot                       wait until tasks of this account end
      ServiceFailure                     the service is broken; try later
      UnexpectedAnswer                   the response is not a Kling API's; check base_url
      NotSent                            no connection was established
      Unreachable                        the connection broke; try later
      SubmissionUncertain                check before you pay again
      TaskFailed                         the service could not complete the task
      WaitTimeout (also TimeoutError)    wait again: the task is still running
      DownloadFailed                     save again: the files are still at the service
      ProcessFailed                      fix your function, then run the batch again
      ExecutorLost                       restore the cluster, then run the batch again
      ClientClosed                       resume the tasks with another client
      JournalLocked                      another process uses this journal: wait for it
      JournalMismatch                    the journal belongs to another account, host or version
      JournalCorrupt                     the journal is damaged, or parts of it are missing
      StorageFull                        free some disk space, then run again

Fields are positional and plain, so that errors can be pickled. No error contains a key, a token or a URL's query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs

if TYPE_CHECKING:
    import enum
    from collections.abc import Mapping
    from decimal import Decimal
    from pathlib import Path

__all__ = [
    "AccountProblem",
    "BrokenRule",
    "BudgetAmount",
    "BudgetExceeded",
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


class SeenTask(Protocol):
    """
    A task as it was last seen: a `kling_async.TaskSnapshot`, which describes the attributes. This protocol repeats them
    so that this module imports nothing.
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
    def task_result(self) -> Any: ...
    @property
    def request_id(self) -> str | None: ...
    @property
    def raw(self) -> Mapping[str, Any]: ...


class BudgetAmount(Protocol):
    """
    Units, and their cost in US dollars: a `kling_async.Amount`, which describes the attributes.
    """

    @property
    def units(self) -> Decimal | None: ...
    @property
    def cost(self) -> Decimal | None: ...


class SentRequest(attrs.AttrsInstance, Protocol):
    """
    A request as it was sent, such as a `kling_async.ImageRequest`, which describes the attributes. It can be submitted
    again.
    """

    @property
    def callback_url(self) -> str | None: ...
    @property
    def external_task_id(self) -> str | None: ...


@attrs.frozen
class BrokenRule:
    """
    One rule that a request breaks.

    Attributes:
        field: The field's name on the wire, or the argument's name.
        value: Its value as `repr` shows it: shortened, without a URL's query, and for a file only its size.
        rule: The rule, as a sentence without a subject: "must be …".
    """

    field: str
    value: str
    rule: str

    def __str__(self) -> str:
        return f"{self.field}={self.value}: {self.rule}"


@attrs.define(slots=False, repr=False)
class KlingError(Exception):
    """
    Base class of all errors that this package raises on purpose.

    Attributes:
        message: What went wrong; safe to log and to show.
        task_id: The id of the task concerned; None if there is none, or it is unknown.
        request_id: The response's request id, which the vendor's support asks for; None if no response was read.
        code: The vendor's or gateway's code, a number or a word; None if no response was read, or it had no code.
        http_status: The HTTP status; None if no response was read.
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
    The request breaks a rule. The client refused it before anything was sent, or the service did (1200 to 1203, or HTTP
    400 at create). No task was created.

    Attributes:
        broken: All broken rules; empty if the service refused the request.
    """

    broken: tuple[BrokenRule, ...] = ()


class NotAuthenticated(KlingError):
    """
    There is no key, or the service does not accept it (1000 to 1004, HTTP 401).
    """


class NotAllowed(KlingError):
    """
    The key is valid but lacks permission for this API, model or address (1103, 1304, HTTP 403), or a relay has no
    channel for the model. No task was created.
    """


class AccountProblem(KlingError):
    """
    The account has no money or is blocked (1100, 1101, 1102, a gateway's exhausted quota). Waiting does not help.
    """


@attrs.define(slots=False, repr=False)
class BudgetExceeded(KlingError):
    """
    What a request may cost does not fit into the client's or the batch's `Budget`, or is not known. Nothing was sent.

    Attributes:
        price: What it may cost at most; None if that is not known.
        spent: What has been spent of the budget.
        reserved: What is reserved for running tasks and for uncertain submits.
        left: What is left for requests; None in it for what is not limited.
        frees_in: Seconds until there is room, if the budget holds for a time and nothing else is spent; otherwise None.
    """

    price: BudgetAmount | None = None
    spent: BudgetAmount | None = None
    reserved: BudgetAmount | None = None
    left: BudgetAmount | None = None
    frees_in: float | None = None


class ContentRefused(KlingError):
    """
    The content policy refused the prompt or an input file (1300, 1301).
    """


@attrs.define(slots=False, repr=False)
class TaskNotFound(KlingError):
    """
    The account has no such task at this host. The vendor deletes records after 30 days.

    Attributes:
        snapshot: What a callback reported about the task all the same, or None.
    """

    snapshot: SeenTask | None = None


@attrs.define(slots=False, repr=False)
class RateLimited(KlingError):
    """
    Too many requests (1302, or a 429 without a code). No task was created. A submit is retried for 300 s before this is
    raised.

    Attributes:
        retry_after: Seconds that the service asks to wait; None if it does not say.
    """

    retry_after: float | None = None


class NoFreeSlot(RateLimited):
    """
    All slots of the account are in use (1303, by the vendor's concurrency rules). No task was created, and nothing is
    paid. Raised only if none of this client's tasks was running, so other programs use the slots.
    """


@attrs.define(slots=False, repr=False)
class ServiceFailure(KlingError):
    """
    The service failed (5xx, 5000 to 5002). A submit may have been accepted all the same, so it raises
    `SubmissionUncertain` or returns the task that was found. It raises this error only for a 501, which creates no
    task.

    Attributes:
        retry_after: Seconds that the service asks to wait; None if it does not say.
    """

    retry_after: float | None = None


@attrs.define(slots=False, repr=False)
class UnexpectedAnswer(KlingError):
    """
    The response is not JSON, has the wrong shape, is truncated or too large. Mostly it comes from another server, so
    check `base_url`. With a `task_id`: the task succeeded, but the service listed no files of it for 30 s; read it
    again.

    Attributes:
        is_other_api:
            Whether the response is one that no Kling API gives: a web page, a redirect, a web framework's 404, or
            OpenAI's response with images. Then `base_url` is most likely wrong.
        is_confirmed:
            Whether reading a task that does not exist, which is free, confirmed that. Then the submit created no task.
        urls:
            URLs of files in a response that names no task, with their signatures. They may be paid for, so save them:
            no task leads to them. They are never part of the message.
    """

    is_other_api: bool = False
    is_confirmed: bool = False
    urls: tuple[str, ...] = ()


@attrs.define(slots=False, repr=False)
class NotSent(KlingError):
    """
    No connection was established, so nothing reached the service.

    Attributes:
        gives_up_in:
            Seconds for which a host that was never reached is still tried, 0 after `RetryPolicy.connect_for`. None if
            it was reached before: then it is waited for.
    """

    gives_up_in: float | None = None


class Unreachable(KlingError):
    """
    The connection broke or timed out. The request may have arrived.
    """


@attrs.define(slots=False, repr=False)
class SubmissionUncertain(KlingError):
    """
    A submit may have been accepted, and the service offers no way to find out, or did not respond to it. Or a call that
    creates no task, such as speech, may have been made.

    It is never sent again automatically. Look for the task in the vendor's console, or submit the request again and
    accept that it may be paid for twice.

    Attributes:
        request: The request that was sent, with the client's `external_task_id` if there was one. None for a call.
        urls: URLs of files in a response, as in `UnexpectedAnswer`, or in a callback.
        snapshot: What a callback reported about the task, if it gave no id with which the task can be read.
    """

    request: SentRequest | None = None
    urls: tuple[str, ...] = ()
    snapshot: SeenTask | None = None


@attrs.define(slots=False, repr=False)
class TaskFailed(KlingError):
    """
    The service could not complete the task; the message is its reason. By its price page of 2025, the vendor does not
    charge for failed tasks; `snapshot.final_unit_deduction` is what was charged.

    Attributes:
        snapshot: The task as it was last seen.
    """

    snapshot: SeenTask | None = None


@attrs.define(slots=False, repr=False)
class WaitTimeout(KlingError, TimeoutError):
    """
    The task did not end in time. It is still running at the service, and its handle stays valid: wait again.

    Attributes:
        snapshot: The task as it was last seen; None if it was resumed by its id and never seen.
    """

    snapshot: SeenTask | None = None


@attrs.define(slots=False, repr=False)
class DownloadFailed(KlingError):
    """
    A file could not be downloaded. It is paid for, and still at the service: save the result again.

    Attributes:
        index: The index of the first file that failed.
        paths: The paths of the files that were saved.
        urls: The URLs of the files that were saved to remote storage.
    """

    index: int | None = None
    paths: tuple[Path, ...] = ()
    urls: tuple[str, ...] = ()


@attrs.define(slots=False, repr=False)
class ProcessFailed(KlingError):
    """
    Your `process=` function failed on a file, which is saved. The next run calls the function again; its exception is
    `__cause__`. Or its return value cannot be loaded in this program, as the message then says; the value is in the
    journal, for a program that can load it.

    Attributes:
        index: The index of the first file on which it failed.
    """

    index: int | None = None


class ExecutorLost(KlingError):
    """
    The executor of a batch, such as a cluster, is gone or cannot work, so the run was stopped. Tasks and files are in
    the journal, and the next run saves what is not saved yet.
    """


@attrs.define(slots=False, repr=False)
class ClientClosed(KlingError):
    """
    The client was closed while the call was pending.

    Attributes:
        task_ids: The ids of tasks that are still running. Another client's `handle(task_id)` resumes them. Empty if
            nothing had been sent.
    """

    task_ids: tuple[str, ...] = ()


class JournalLocked(KlingError):
    """
    Another process, or another batch of this process, uses the journal.
    """


class JournalMismatch(KlingError):
    """
    The journal belongs to another account, host or dialect, or to a later version. Continuing could pay twice.
    """


class JournalCorrupt(KlingError):
    """
    The file is not a journal, is damaged or incomplete, or was moved while it was in use.
    """


@attrs.define(slots=False, repr=False)
class StorageFull(KlingError):
    """
    The disk is full, or cannot be written. What is paid for is at the service or in the journal.

    Attributes:
        paths: The paths of files that were saved.
        urls: The URLs of files that were saved to remote storage.
    """

    paths: tuple[Path, ...] = ()
    urls: tuple[str, ...] = ()
