"""
The rows of a batch: their states, how they are stored, and when they may be retried. No I/O and no clock.
"""

import enum
import functools
import hashlib
import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any, Final

import attrs

import kling_async.errors  # not `from kling_async import`, which waits for other threads
from kling_async.errors import (
    KlingError,
    NotSent,
    RateLimited,
    ServiceFailure,
    SubmissionUncertain,
    TaskFailed,
    TaskNotFound,
    UnexpectedAnswer,
    Unreachable,
)
from kling_async.media.saved_files import SavedFile
from kling_async.policy.spending import UNKNOWN_AMOUNT, Amount
from kling_async.wire.codec import CODEC, read_task, write_request, write_task
from kling_async.wire.endpoints.base import Endpoint, TaskRequest, sources_of, with_sources
from kling_async.wire.endpoints.registry import endpoint_of, without_files
from kling_async.wire.json_text import dumps, loads
from kling_async.wire.notebook_html import html_of
from kling_async.wire.tasks import TaskSnapshot, last_seen

__all__ = [
    "HAVE_OUTCOMES",
    "InputFile",
    "NewRow",
    "Row",
    "State",
    "Summary",
    "digest_of",
    "external_id_of",
    "may_follow",
    "may_try_again",
    "read_counted",
    "read_error",
    "read_millionths",
    "read_stored_request",
    "read_stored_snapshot",
    "write_counted",
    "write_error",
    "write_identity",
    "write_millionths",
    "write_stored_request",
    "write_stored_snapshot",
]

_LASTING: Final = re.compile(
    r"risk control|polic|sensitive|moderat|prohibit|violat|nsfw|风控|违规|敏感"  # the content: vendor and relays
    r"|invalid|not in a valid|unsupported|pixel|aspect ratio",  # the file that was sent
    re.IGNORECASE,
)
"""
Reasons of failed tasks that a retry would meet again. They have no codes, only text; any other reason may pass.
"""


class State(enum.StrEnum):
    """
    The state of a row. A queued row is certainly not at the service; a sending one may be.
    """

    QUEUED = "queued"
    SENDING = "sending"
    ACCEPTED = "accepted"
    FINISHED = "finished"
    SAVED = "saved"
    FAILED = "failed"
    UNCERTAIN = "uncertain"


HAVE_OUTCOMES: Final = (State.FINISHED, State.SAVED, State.FAILED, State.UNCERTAIN)
"""
The states of rows that have an outcome, if only for now.
"""

_BEFORE: Final[Mapping[State, frozenset[State]]] = {
    State.QUEUED: frozenset({State.SENDING}),
    State.SENDING: frozenset({State.QUEUED, State.SENDING, State.UNCERTAIN}),
    State.ACCEPTED: frozenset({State.SENDING, State.UNCERTAIN}),
    State.FINISHED: frozenset({State.ACCEPTED}),
    State.SAVED: frozenset({State.FINISHED, State.SAVED}),
    State.FAILED: frozenset({State.QUEUED, State.SENDING, State.ACCEPTED}),
    State.UNCERTAIN: frozenset({State.SENDING, State.UNCERTAIN}),
}


def may_follow(state: State) -> list[State]:
    """
    Return the states that *state* may follow. Deliberate resets are not among them: of a row that is retried, and of
    one whose files were lost.
    """
    return sorted(_BEFORE[state])


@attrs.frozen
class InputFile:
    """
    A file of a request.

    Attributes:
        sha256: Of its content, in hexadecimal digits.
        is_kept: Whether the journal holds its content; otherwise it is a file at a path.
        base64: The content, if it is to be written into the journal.
    """

    sha256: str
    is_kept: bool = False
    base64: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class Row:
    """
    A journal's record of one request.

    Attributes:
        position: Counts from 0 in the order in which rows were added.
        request: A file whose content the journal holds is not in it.
        inputs: The files of the request, by field; URLs are not among them.
        attempts: How often it was sent, with any outcome.
        external_task_id: Our id under which it was sent last.
        submit_key: Identifies callbacks of its last submit.
        may_retry: Whether a failed row may be sent again.
        files: Saved files of its task.
        queued_at: Unix time in seconds, as the others; None for an event that has not happened.
        counted: What it counts in budgets: what was reserved when it was sent, and from its end what its bill counts.
        kept_for: For a row that is sending, accepted or uncertain, and was sent with another key, base URL or dialect
            than the journal's present one: the base URL at that time. Otherwise None.
    """

    position: int
    key: str
    state: State
    request: TaskRequest
    inputs: Mapping[str, InputFile] = attrs.field(factory=dict, hash=False)
    attempts: int = 0
    external_task_id: str | None = None
    submit_key: str | None = None
    task_id: str | None = None
    snapshot: TaskSnapshot | None = None
    error: KlingError | None = None
    may_retry: bool = False
    files: tuple[SavedFile, ...] = ()
    queued_at: float | None = None
    sent_at: float | None = None
    accepted_at: float | None = None
    ended_at: float | None = None
    saved_at: float | None = None
    counted: Amount = UNKNOWN_AMOUNT
    kept_for: str | None = None

    @property
    def endpoint(self) -> str:
        """
        The name of the endpoint of its task.
        """
        return endpoint_of(type(self.request)).name


@attrs.frozen(kw_only=True)
class NewRow:
    """
    A request that is to be added to a journal.

    Attributes:
        request: Its files are URLs or paths; those that the journal is to hold are empty bytes.
        key: The caller's own; None for one that is derived from the request and its occurrence.
        inputs: Its files, by place; URLs are not among them.
    """

    request: TaskRequest
    key: str | None = None
    inputs: Mapping[str, InputFile] = attrs.field(factory=dict, hash=False)


@attrs.frozen(kw_only=True)
class Summary:
    """
    A batch in numbers: rows by state, and their files.

    Attributes:
        queued: Not sent, or sent without creating a task.
        sending: Being sent, or interrupted then.
        accepted: The service has a task, which is running.
        finished: The task has succeeded; not all of its files are saved.
        saved: The task has succeeded, and all of its files are saved.
        failed: Of these, the next run retries `may_retry`.
        uncertain: A task may exist, and there is no way to find out.
        may_retry: Of the failed ones, those whose cause may pass.
        kept: Of the sending, accepted and uncertain ones, those that were sent with another key, base URL or dialect
            than the journal's present one.
        units_billed: As the service reported, over all attempts.
        cash_billed: The same of what was paid in cash, in the account's currency.
        images: Saved pictures.
        videos: Saved videos.
        audios: Saved sounds.
        bytes: Size of all saved files, in bytes.
    """

    queued: int = 0
    sending: int = 0
    accepted: int = 0
    finished: int = 0
    saved: int = 0
    failed: int = 0
    uncertain: int = 0
    may_retry: int = 0
    kept: int = 0
    units_billed: Decimal = Decimal(0)
    cash_billed: Decimal = Decimal(0)
    images: int = 0
    videos: int = 0
    audios: int = 0
    bytes: int = 0

    @property
    def files(self) -> int:
        """
        Return the number of saved files of all kinds.
        """
        return self.images + self.videos + self.audios

    @property
    def rows(self) -> int:
        """
        Return the number of rows in all states.
        """
        return sum(getattr(self, state.value) for state in State)

    @property
    def is_complete(self) -> bool:
        """
        Return whether another run has nothing to do, apart from saving.
        """
        return not (self.queued or self.sending or self.accepted or self.may_retry)

    def _repr_html_(self) -> str:
        return html_of(self)


@functools.lru_cache(256)  # each row is written twice, and there are few prices
def write_counted(amount: Amount) -> tuple[int | None, int | None]:
    """
    Write an amount in millionths, rounded up: integers are added up exactly.
    """
    units, cost = amount.units, amount.cost
    return None if units is None else write_millionths(units), None if cost is None else write_millionths(cost)


def read_counted(units: int | None, cost: int | None) -> Amount:
    """
    Read what `write_counted` wrote.
    """
    if units is None and cost is None:
        return UNKNOWN_AMOUNT
    return Amount(None if units is None else read_millionths(units), None if cost is None else read_millionths(cost))


def write_millionths(number: Decimal) -> int:
    """
    Return a number in millionths, rounded up.
    """
    return int((number * 1_000_000).to_integral_value(ROUND_CEILING))


def read_millionths(number: int) -> Decimal:
    """
    Return a number of millionths as a number, without trailing zeros.
    """
    return Decimal(f"{Decimal(number).scaleb(-6):f}".rstrip("0").rstrip(".")) if number else Decimal(0)


def write_identity(request: TaskRequest, files: Mapping[str, str]) -> bytes:
    """
    Write what identifies *request* when it is added again. Without files it is read as what `write_stored_request`
    writes.

    Args:
        files: The identity of each of its files, by place: the URL, the path, or the digest of the content.
    """
    endpoint = endpoint_of(type(request))
    no_files = dict.fromkeys(each.field for each in endpoint.inputs if not each.is_list)
    body = {**write_request(without_files(request)), **no_files, **files}
    if endpoint.name != _FIRST_ENDPOINT:
        body["/endpoint"] = endpoint.name  # no field has such a name
    return dumps(dict(sorted(body.items())))


def digest_of(request: TaskRequest, files: Mapping[str, str]) -> bytes:
    """
    Return the digest of what `write_identity` writes.
    """
    return hashlib.sha256(write_identity(request, files)).digest()


_FIRST_ENDPOINT: Final = "image-generation"
"""
The endpoint of all rows of earlier versions, whose digests name none.
"""


def external_id_of(journal_id: str, position: int, key: str, attempt: int) -> str:
    """
    Return our id under which a row is sent.

    It is computed from the row, so that even an old copy of a journal cannot create a task twice; and from its key, so
    that a copy to which other rows were added does not mistake their tasks for its own.
    """
    mark = hashlib.sha256(key.encode()).hexdigest()[:8]
    return f"{journal_id}-{position}-{mark}-{attempt}"


def may_try_again(error: KlingError) -> bool:
    """
    Return whether a row that ended in *error* may be sent again: it is not paid for twice, and may succeed.

    It may not if a task may exist or was billed, or if the same request would be rejected again.
    """
    match error:
        case SubmissionUncertain():
            return False
        case TaskFailed():
            return not _was_billed(last_seen(error)) and _LASTING.search(error.message) is None
        case UnexpectedAnswer(urls=urls) if urls:  # it has created files without a task
            return False
        case RateLimited() | ServiceFailure() | UnexpectedAnswer() | NotSent() | Unreachable():
            return error.task_id is None  # otherwise there is a task, whose result could not be read
        case _:
            return False


def _was_billed(snapshot: TaskSnapshot | None) -> bool:
    cash = snapshot.final_balance_deduction if snapshot is not None else None
    return snapshot is not None and bool(snapshot.final_unit_deduction or (cash is not None and cash.quota))


def write_stored_request(request: TaskRequest) -> str:
    """
    Write *request* for the journal, with those of its files that are URLs.
    """
    endpoint = endpoint_of(type(request))
    other = [place for place, source in sources_of(endpoint, request).items() if not isinstance(source, str)]
    body = write_request(with_sources(endpoint, request, dict.fromkeys(other, "")))
    return dumps({field: value for field, value in body.items() if field not in other}).decode()


def read_stored_request(text: str, endpoint: Endpoint[Any], paths: Mapping[str, Path | None]) -> TaskRequest:
    """
    Read what `write_stored_request` or `write_identity` wrote.

    Args:
        paths: Of the files of the request, by place; None for a file that the journal holds.
    """
    fields: dict[str, Any] = loads(text.encode())
    for each in endpoint.inputs:
        if fields.get(each.field, "") is None:  # an identity says that there is no file
            del fields[each.field]
    if paths:  # in a tuple there is a place for each
        fields |= {each.field: "" for each in endpoint.inputs if each.field in paths}
    request: TaskRequest = CODEC.structure(fields, endpoint.request_class)
    return with_sources(endpoint, request, paths) if paths else request


def write_stored_snapshot(snapshot: TaskSnapshot) -> str:
    """
    Write *snapshot* without the answer from which it was read.
    """
    ours = {"request_id": snapshot.request_id, **({} if snapshot.is_confirmed else {"is_confirmed": False})}
    return dumps({**write_task(snapshot), **ours}).decode()


def read_stored_snapshot(text: str | None) -> TaskSnapshot | None:
    """
    Read what `write_stored_snapshot` wrote, None for nothing.
    """
    if text is None:
        return None
    task: Mapping[str, Any] = loads(text.encode())
    snapshot = read_task(task, request_id=task.get("request_id"))
    return attrs.evolve(snapshot, raw={}, is_confirmed=task.get("is_confirmed", True))


def write_error(error: KlingError) -> str:
    """
    Write the fields that all errors have, and the URLs of files without a task.
    """
    field_names = _COMMON | _OF_PICTURES if isinstance(error, UnexpectedAnswer | SubmissionUncertain) else _COMMON
    fields = attrs.asdict(error, filter=lambda field, _: field.name in field_names, recurse=False)
    return dumps({"class": type(error).__name__, **fields}).decode()


def read_error(text: str | None, request: TaskRequest, snapshot: TaskSnapshot | None) -> KlingError | None:
    """
    Read what `write_error` wrote, None for nothing; *request* and *snapshot* are its row's.
    """
    if text is None:
        return None
    fields: dict[str, Any] = loads(text.encode())
    kind = getattr(kling_async.errors, fields.pop("class"), KlingError)
    error: KlingError = kind(**fields)
    match error:
        case UnexpectedAnswer():
            error.urls = tuple(error.urls)
        case SubmissionUncertain():
            error.request, error.urls = request, tuple(error.urls)
        case TaskFailed() | TaskNotFound():
            error.snapshot = snapshot
    return error


_COMMON: Final = frozenset(attrs.fields_dict(KlingError))
_OF_PICTURES: Final = frozenset({"is_other_api", "urls"})
