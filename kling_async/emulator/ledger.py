"""
The records of an emulated service: created tasks, bills and requests.
"""

from collections import Counter
from decimal import Decimal
from typing import Any, Literal, Self

import attrs

from kling_async.emulator.task_record import TaskRecord
from kling_async.wire.endpoints.registry import caption_of

Route = Literal["create", "query", "list", "tasks", "call", "download"]
"""
The operations of the service: `list` is a page of tasks, `tasks` are several by their ids, and `call` is what is
answered at once, such as speech.
"""


@attrs.frozen(kw_only=True)
class CreatedTask:
    """
    A task that was accepted. It is paid for unless it fails.

    Attributes:
        endpoint: The endpoint's name.
        external_task_id: Of the request; None if it had none.
        n: How many files were ordered.
        model_name: The model that runs: the one in the request, or the dialect's default.
        created_at: Epoch seconds by the account's clock.
        units: What it costs; 0 if it will fail.
        create_number: The number of its create among all that the account received; counts from 1, refused ones
            included.
    """

    task_id: str
    endpoint: str
    external_task_id: str | None
    prompt: str
    n: int
    model_name: str
    created_at: float
    units: Decimal | int
    create_number: int

    @classmethod
    def of(cls, record: TaskRecord, create_number: int) -> Self:
        """
        Return what the ledger says of a task.
        """
        return cls(
            task_id=record.task_id,
            endpoint=record.endpoint.name,
            external_task_id=record.request.external_task_id,
            prompt=caption_of(record.request),
            n=record.count,
            model_name=record.model_name,
            created_at=record.created_at,
            units=record.units,
            create_number=create_number,
        )


@attrs.define
class Ledger:
    """
    Counters that only grow.

    Attributes:
        tasks: All accepted tasks, in order of acceptance.
        duplicates_refused: Creates refused because a task with their external id existed.
        refusals: Refused creates, by the service's code (1303, 1102, ...).
        units_billed: For tasks that have succeeded, and for calls; failed tasks cost nothing.
        cash_billed: Dollars, if the account pays in cash; no units are billed then.
        calls: Calls that were not refused, by name: "speech", "identify-face", ...
        arrivals: Requests by operation, counted when they arrive.
        answers: Answers by operation and HTTP status; 0 if the connection was closed instead.
        callbacks: Callbacks that were sent, by the word for the task's status; forged ones as "forged".
        callback_answers: Answers to callbacks by HTTP status; 0 if there was none.
        connections: TCP connections that were accepted.
        downloads_with_key: Downloads with an Authorization header, which must not be sent to file servers.
        peak_slots: Most slots in use at a time, by bucket.
    """

    tasks: list[CreatedTask] = attrs.field(factory=list)
    duplicates_refused: int = 0
    refusals: Counter[int] = attrs.field(factory=Counter)
    units_billed: Decimal | int = 0
    cash_billed: Decimal = Decimal(0)
    calls: Counter[str] = attrs.field(factory=Counter)
    arrivals: Counter[str] = attrs.field(factory=Counter)
    answers: Counter[tuple[str, int]] = attrs.field(factory=Counter)
    callbacks: Counter[str] = attrs.field(factory=Counter)
    callback_answers: Counter[int] = attrs.field(factory=Counter)
    connections: int = 0
    downloads_with_key: int = 0
    peak_slots: dict[str, int] = attrs.field(factory=dict)

    @property
    def creates_received(self) -> int:
        """
        Requests to create a task, refused ones included.
        """
        return self.arrivals["create"]

    @property
    def reads(self) -> int:
        """
        Requests for one task.
        """
        return self.arrivals["query"]

    @property
    def list_reads(self) -> int:
        """
        Requests for many tasks, by page or by ids.
        """
        return self.arrivals["list"] + self.arrivals["tasks"]

    @property
    def downloads(self) -> int:
        """
        Requests for files, failed ones included.
        """
        return self.arrivals["download"]

    @property
    def files_ordered(self) -> int:
        """
        The files of all accepted tasks.
        """
        return sum(task.n for task in self.tasks)

    def note_peak(self, bucket: str, slots_used: int) -> None:
        """
        Record how many slots of a bucket are in use, if it is the most so far.
        """
        self.peak_slots[bucket] = max(slots_used, self.peak_slots.get(bucket, 0))

    def as_json(self) -> dict[str, Any]:
        """
        Return what the page `/__ledger__` shows.
        """
        return {
            "tasks": [{**attrs.asdict(task), "units": _as_number(task.units)} for task in self.tasks],
            "files_ordered": self.files_ordered,
            "duplicates_refused": self.duplicates_refused,
            "refusals": {str(code): count for code, count in sorted(self.refusals.items())},
            "units_billed": _as_number(self.units_billed),
            "cash_billed": f"{self.cash_billed:f}",
            "creates_received": self.creates_received,
            "reads": self.reads,
            "list_reads": self.list_reads,
            "downloads": self.downloads,
            "downloads_with_key": self.downloads_with_key,
            "connections": self.connections,
            "peak_slots": dict(self.peak_slots),
            "calls": dict(self.calls),
            "arrivals": dict(self.arrivals),
            "answers": {f"{route} {status}": count for (route, status), count in sorted(self.answers.items())},
            "callbacks": dict(self.callbacks),
            "callback_answers": {str(status): count for status, count in sorted(self.callback_answers.items())},
        }


def _as_number(units: Decimal | int) -> int | float:
    return int(units) if units == int(units) else float(units)
