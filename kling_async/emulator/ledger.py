"""
What an emulated service remembers for its visitor: what was created, billed and asked.
"""

from collections import Counter
from decimal import Decimal
from typing import Any, Literal

import attrs

Route = Literal["create", "query", "list", "tasks", "download"]
"""
What a request wants: `list` is a page of tasks, `tasks` are several by their ids.
"""


@attrs.frozen
class CreatedTask:
    """
    One task that was accepted, and so is paid for unless it fails.

    Attributes:
        external_task_id: Of the request; None where none went along.
        n: Pictures that were ordered.
        model_name: The model that runs, where the request named none the dialect's default.
        created_at: Epoch seconds by the account's clock.
        units: What it costs if it succeeds.
        create_number: Which create it was, of all that the account received; counts from 1, refused ones included.
    """

    task_id: str
    external_task_id: str | None
    prompt: str
    n: int
    model_name: str
    created_at: float
    units: int
    create_number: int


@attrs.define
class Ledger:
    """
    Counters that only grow.

    Attributes:
        tasks: Every accepted task, in order of acceptance.
        duplicates_refused: Creates refused because their external id had a task already.
        refusals: Of creates, by the service's code (1303, 1102, ...).
        units_billed: For the tasks that have succeeded so far; the others cost nothing.
        cash_billed: Dollars likewise, where the account pays in cash; then no units are billed.
        arrivals: Requests by what they want, counted as they come in, whatever becomes of them.
        answers: Requests by what they want and by HTTP status; 0 where the connection was cut in place of an answer.
        callbacks: Callbacks that were sent, by the word for the task's status; those of a forger as "forged".
        callback_answers: Answers to them by HTTP status; 0 where none came.
        connections: TCP connections that were opened.
        downloads_with_key: Requests for a picture that showed an Authorization they should have kept to themselves.
        peak_slots: Most slots in use at one time, by model.
    """

    tasks: list[CreatedTask] = attrs.field(factory=list)
    duplicates_refused: int = 0
    refusals: Counter[int] = attrs.field(factory=Counter)
    units_billed: int = 0
    cash_billed: Decimal = Decimal(0)
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
        Requests to make a task, whatever became of them.
        """
        return self.arrivals["create"]

    @property
    def reads(self) -> int:
        """
        Questions about one task.
        """
        return self.arrivals["query"]

    @property
    def list_reads(self) -> int:
        """
        Questions about many tasks, by page or by ids.
        """
        return self.arrivals["list"] + self.arrivals["tasks"]

    @property
    def downloads(self) -> int:
        """
        Requests for a picture, broken ones included.
        """
        return self.arrivals["download"]

    @property
    def pictures_ordered(self) -> int:
        """
        The `n` of all accepted tasks.
        """
        return sum(task.n for task in self.tasks)

    def note_peak(self, model_name: str, slots_used: int) -> None:
        """
        Remember that so many slots were in use at one time, if it is the most so far.
        """
        self.peak_slots[model_name] = max(slots_used, self.peak_slots.get(model_name, 0))

    def as_json(self) -> dict[str, Any]:
        """
        Return what the page `/__ledger__` shows.
        """
        return {
            "tasks": [attrs.asdict(task) for task in self.tasks],
            "pictures_ordered": self.pictures_ordered,
            "duplicates_refused": self.duplicates_refused,
            "refusals": {str(code): count for code, count in sorted(self.refusals.items())},
            "units_billed": self.units_billed,
            "cash_billed": f"{self.cash_billed:f}",
            "creates_received": self.creates_received,
            "reads": self.reads,
            "list_reads": self.list_reads,
            "downloads": self.downloads,
            "downloads_with_key": self.downloads_with_key,
            "connections": self.connections,
            "peak_slots": dict(self.peak_slots),
            "arrivals": dict(self.arrivals),
            "answers": {f"{route} {status}": count for (route, status), count in sorted(self.answers.items())},
            "callbacks": dict(self.callbacks),
            "callback_answers": {str(status): count for status, count in sorted(self.callback_answers.items())},
        }
