"""
The emulated account: its tasks, their ids, and their cost, as values. The caller passes the time.
"""

import heapq
import math
import random
import uuid
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

import attrs

from kling_async.emulator.api_errors import MESSAGES, ApiError
from kling_async.emulator.ledger import CreatedTask, Ledger
from kling_async.emulator.library import Library
from kling_async.emulator.new_records import new_record, with_shared_files
from kling_async.emulator.result_files import FileUrls
from kling_async.emulator.settings import Settings
from kling_async.emulator.source_files import UNREACHABLE, has_unreachable_url, parent_of
from kling_async.emulator.task_record import SUCCESS, TaskOutcome, TaskRecord
from kling_async.emulator.task_snapshot import file_id, snapshot_of
from kling_async.emulator.usage import Usage
from kling_async.wire.endpoints.base import Endpoint, ResultList, TaskRequest
from kling_async.wire.endpoints.registry import caption_of, endpoint_of
from kling_async.wire.tasks import TaskSnapshot

__all__ = ["Account"]

_RISK_CONTROL: Final = "Failure to pass the risk control system"
"""
The vendor's words for a task that failed because its content policy refuses the prompt or a file.
"""


class Account:
    """
    One account at the emulated service. It has no sockets, no waiting and no clock: *now* is epoch seconds, from the
    caller.

    Attributes:
        settings: Of the account.
        urls: Signs and checks the URLs of files.
        usage: Slots and money.
        ledger: What was created and billed; call `settle` before reading it.
        library: Its voices and elements.
        billed: What has cost something, in the order of its bill.
        packs_read_at: When its resource packs were read last, in epoch seconds.
    """

    def __init__(self, settings: Settings | None = None, *, origin: str = "http://127.0.0.1") -> None:
        self.settings: Settings = settings or Settings()
        self.urls: Final = FileUrls(origin, seed=self.settings.seed, lifetime=self.settings.url_lifetime)
        self.usage: Final = Usage()
        self.ledger: Final = Ledger()
        self.billed: Final[list[TaskRecord]] = []
        self.packs_read_at: float = -math.inf
        self._records: list[TaskRecord] = []
        self._by_endpoint: defaultdict[str, list[TaskRecord]] = defaultdict(list)
        self._by_task_id: dict[str, TaskRecord] = {}
        self._by_external_id: dict[str, TaskRecord] = {}
        self.library: Final = Library(self._by_task_id)
        self._running: list[tuple[float, int, TaskRecord]] = []
        self._changes: list[tuple[float, int, TaskRecord]] = []  # future ones, of tasks with a callback URL
        self._texts: dict[str, str] = {}
        self._creates = 0
        self._request_ids = random.Random(f"{self.settings.seed} request ids")  # noqa: S311 (repeatable on purpose)

    def __repr__(self) -> str:
        return f"<Account {self.settings.dialect.name}: {len(self._records)} tasks, {len(self._running)} running>"

    def create(
        self, request: TaskRequest, now: float, outcome: TaskOutcome = SUCCESS, *, is_new: bool = False
    ) -> TaskRecord:
        """
        Accept or refuse a valid *request*; *is_new* is in the new standard.

        Raises:
            ApiError: Its external id has a task already (1201), it names a voice or an element that does not exist
                (1201), its prompt contains a refused word (1301), there is not enough money (1102), or not enough slots
                (1303).
        """
        self.settle(now)
        self._creates += 1
        if self.settings.refused_as == "failed task" and self._is_refused(request):
            outcome = attrs.evolve(outcome, failure=_RISK_CONTROL)
        elif outcome.failure is None and has_unreachable_url(request):
            outcome = attrs.evolve(outcome, failure=UNREACHABLE)
        endpoint = endpoint_of(type(request))
        record = attrs.evolve(self._new_record(endpoint, request, now, outcome), is_new=is_new)
        try:
            self._check_duplicate(request.external_task_id)
            self._check_content(request)
            self.library.check(request, now)
            self._check_speech(request)
            self.usage.check(record, self.settings)
        except ApiError as error:
            self.ledger.refusals[error.code] += 1
            raise
        self._accept(record)
        return record

    def restore(self, task_id: str, request: TaskRequest, accepted_at: float) -> TaskRecord:
        """
        Add a task that an earlier emulator accepted at that time, in epoch seconds. It takes no slots, costs nothing,
        and is not in the ledger.
        """
        endpoint = endpoint_of(type(request))
        record = attrs.evolve(self._new_record(endpoint, request, accepted_at, SUCCESS), task_id=task_id)
        self._add(record)
        return record

    def create_done(self, endpoint: Endpoint[Any], request: Any, now: float) -> TaskRecord:
        """
        Add what a call makes at once, such as a sound, and bill it. It is kept like a task, for its files; but it takes
        no slots, and of the ledger only the bill shows it.

        Args:
            endpoint: Says what it makes, and for how much.

        Raises:
            ApiError: There is not enough money (1102).
        """
        self.settle(now)
        record = attrs.evolve(self._new_record(endpoint, request, now, SUCCESS), started_at=now, done_at=now)
        try:
            self.usage.charge(record, self.settings)
        except ApiError as error:
            self.ledger.refusals[error.code] += 1
            raise
        self._by_task_id[record.task_id] = record
        self._bill(record)
        return record

    def find_file(self, kind: ResultList, any_id: str, now: float) -> TaskRecord | None:
        """
        Return what has made the file with this id; None if this account has no such file.
        """
        made = (record for record in self._by_task_id.values() if kind in record.endpoint.results)
        found = (
            record for record in made for index in range(record.files_at(now)) if any_id == file_id(record, kind, index)
        )
        return next(found, None)

    def parent_of(self, record: TaskRecord) -> TaskRecord | None:
        """
        Return the task whose video was the input of *record*; None if no task of this account has made it.
        """
        if "videos" not in record.endpoint.results:
            return None
        parent = parent_of(record.request, self._by_task_id)
        return parent if parent is not None and parent.files_at(record.created_at) else None

    def find(self, any_id: str) -> TaskRecord | None:
        """
        Return the task with this task id or external id.
        """
        return self.find_task(any_id) or self.find_external(any_id)

    def find_task(self, task_id: str) -> TaskRecord | None:
        """
        Return the task with this task id.
        """
        return self._by_task_id.get(task_id) or self.library.presets.get(task_id)

    def find_external(self, external_task_id: str) -> TaskRecord | None:
        """
        Return the task with this external id.
        """
        return self._by_external_id.get(external_task_id)

    def page(self, number: int, size: int, endpoint: Endpoint[Any] | None = None) -> list[TaskRecord]:
        """
        Return a page of the tasks of an endpoint, or of all, newest first; *number* counts from 1.
        """
        presets = [record for record in self.library.presets.values() if record.endpoint is endpoint]
        records = presets or (self._records if endpoint is None else self._by_endpoint[endpoint.name])
        end = len(records) - (number - 1) * size
        return records[max(0, end - size) : max(0, end)][::-1]

    def snapshot_of(self, record: TaskRecord, now: float) -> TaskSnapshot:
        """
        Return the service's snapshot of a task.
        """
        snapshot = snapshot_of(record, self.urls, self.settings, now)
        if record.endpoint.results[0] not in ("voices", "elements"):
            return snapshot
        return attrs.evolve(snapshot, task_result=self.library.output_of(record, self.urls, now))

    def slots_used(self, bucket: str, now: float) -> int:
        """
        Return how many slots of a bucket are in use.
        """
        self.settle(now)
        return self.usage.slots[bucket]

    def running(self, now: float) -> int:
        """
        Return how many tasks will still end.
        """
        self.settle(now)
        return len(self._running)

    def settle(self, now: float) -> None:
        """
        Release the slots of tasks that have ended by *now*, and bill them.

        Everything that needs slots or money does this first; call it before reading the ledger.
        """
        while self._running and self._running[0][0] <= now:
            record = heapq.heappop(self._running)[2]
            self.usage.settle(record)
            self._bill(record)

    @property
    def next_change(self) -> float:
        """
        When a task with a `callback_url` changes next; infinite if none does.
        """
        return self._changes[0][0] if self._changes else math.inf

    def take_changes(self, now: float) -> Iterator[tuple[TaskRecord, float]]:
        """
        Yield, once each, the changes up to *now* of tasks with a `callback_url`: the task, and when it changed.
        """
        while self._changes and self._changes[0][0] <= now:
            at, _, record = heapq.heappop(self._changes)
            yield record, at

    def next_request_id(self) -> str:
        """
        Return an id for one answer; equal seeds give equal ids.
        """
        return str(uuid.UUID(int=self._request_ids.getrandbits(128), version=4))

    def _is_refused(self, request: TaskRequest) -> bool:
        prompt = caption_of(request).casefold()
        return any(word.casefold() in prompt for word in self.settings.refused_words)

    def _check_duplicate(self, external_task_id: str | None) -> None:
        if external_task_id is not None and external_task_id in self._by_external_id:
            self.ledger.duplicates_refused += 1
            raise ApiError(400, 1201, f"External_task_id {external_task_id} already exists")

    def _check_content(self, request: TaskRequest) -> None:
        if self.settings.refused_as == "refusal" and self._is_refused(request):
            raise ApiError(400, 1301, MESSAGES[1301])

    def _check_speech(self, request: Any) -> None:
        voice_id = None if getattr(request, "text", None) is None else getattr(request, "voice_id", None)
        if voice_id is not None and voice_id not in self.settings.speech_voices:
            raise ApiError(400, 1201, "Voice id not found")

    def _bill(self, record: TaskRecord) -> None:
        if record.units:
            self.billed.append(record)
        if self.settings.paid_in == "cash":
            self.ledger.cash_billed += record.units * (record.endpoint.unit_price or 0)
        else:
            self.ledger.units_billed += record.units

    def _new_record(self, endpoint: Endpoint[Any], request: Any, now: float, outcome: TaskOutcome) -> TaskRecord:
        request = with_shared_files(request, endpoint, self._texts)
        return new_record(endpoint, request, now, outcome, settings=self.settings, earlier=self._by_task_id)

    def _accept(self, record: TaskRecord) -> None:
        self._add(record)
        self.usage.reserve(record)
        if not record.outcome.is_stuck:
            heapq.heappush(self._running, (record.done_at, record.ordinal, record))
        if record.request.callback_url is not None:
            for at in record.changes:
                heapq.heappush(self._changes, (at, record.ordinal, record))
        self.ledger.note_peak(record.bucket, self.usage.slots[record.bucket])
        self.ledger.tasks.append(CreatedTask.of(record, self._creates))

    def _add(self, record: TaskRecord) -> None:
        self._records.append(record)
        self._by_endpoint[record.endpoint.name].append(record)
        self._by_task_id[record.task_id] = record
        if record.request.external_task_id is not None:
            self._by_external_id[record.request.external_task_id] = record
