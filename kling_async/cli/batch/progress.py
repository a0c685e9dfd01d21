"""
How far a batch has come, how fast it goes and how long it will take: counts of a fixed size, for any number of rows.
"""

import collections
import time
from collections.abc import Callable
from typing import Final

import attrs

from kling_async.batch.records import Summary
from kling_async.client.outcomes import Done, Failed

__all__ = ["BatchProgress", "duration", "plural", "size", "states", "units"]

WINDOW: Final = 120
"""
Moments over which the pace is taken.
"""

APART: Final = 2.0
"""
Seconds between two of them, at least.
"""

SOON: Final = 5.0
"""
Seconds before which nothing can be said of the pace.
"""


@attrs.frozen
class _Mark:
    at: float
    ended: int
    pictures: int


@attrs.define(eq=False)
class BatchProgress:
    """
    One run of a batch.

    Attributes:
        summary: Of the journal, as it was read last.
        trouble: Why nothing seems to happen; None while all goes well.
        ended: Rows that came to an end in this run; `pictures` are theirs.
    """

    clock: Callable[[], float] = time.monotonic
    summary: Summary = attrs.field(factory=Summary, init=False)
    trouble: str | None = attrs.field(default=None, init=False)
    ended: int = attrs.field(default=0, init=False)
    pictures: int = attrs.field(default=0, init=False)
    _ended_before: int = attrs.field(default=0, init=False)
    _started_at: float = attrs.field(init=False)
    _marks: collections.deque[_Mark] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._started_at = self.clock()
        self._marks = collections.deque(maxlen=WINDOW)

    def start(self, summary: Summary) -> None:
        """
        Begin to count: *summary* is what earlier runs have left.
        """
        self.summary = summary
        self._ended_before = summary.saved + summary.failed - summary.may_retry
        self._marks.append(_Mark(self.clock(), 0, 0))

    def note(self, outcome: Done | Failed) -> None:
        """
        Count an outcome.
        """
        self.trouble = None
        self.ended += 1
        if isinstance(outcome, Done):
            self.pictures += len(outcome.pictures)
        if self.clock() >= self._marks[-1].at + APART:
            self._marks.append(_Mark(self.clock(), self.ended, self.pictures))

    @property
    def seconds(self) -> float:
        """
        How long the command has been at work.
        """
        return self.clock() - self._started_at

    @property
    def position(self) -> tuple[int, int]:
        """
        How many rows have ended, in this run and before, and how many there are.
        """
        rows = self.summary.rows
        return min(self._ended_before + self.ended, rows), rows

    @property
    def pace(self) -> float | None:
        """
        Pictures per minute, lately; None where it is too early to say.
        """
        since = self._marks[0] if self._marks else None
        seconds = 0.0 if since is None else self.clock() - since.at
        return None if since is None or seconds < SOON else 60 * (self.pictures - since.pictures) / seconds

    @property
    def seconds_left(self) -> float | None:
        """
        How long the rest will take at the pace of late; None where nobody can say.
        """
        since = self._marks[0] if self._marks else None
        if since is None or self.ended == since.ended or self.clock() < since.at + SOON:
            return None
        ended, rows = self.position
        return (rows - ended) * (self.clock() - since.at) / (self.ended - since.ended)

    def told(self) -> str:
        """
        Say how it goes, on one line.
        """
        ended, rows = self.position
        parts = [f"{ended:,}/{rows:,} ended", *states(self.summary), f"{self.summary.files:,} pictures"]
        if self.summary.units_billed:
            parts.append(f"{units(self.summary)} units")
        return ", ".join([*parts, *self.outlook()])

    def outlook(self) -> list[str]:
        """
        Return the pace and the time left, as far as they are known.
        """
        pace, left = self.pace, self.seconds_left
        parts = [] if not pace else [f"{pace:.1f} pictures/min" if pace < 100 else f"{pace:,.0f} pictures/min"]
        return parts if not left else [*parts, f"{duration(left)} left"]


def states(summary: Summary) -> list[str]:
    """
    Return how many rows are in which state; those in which there is none are left out.
    """
    counts = {
        "queued": summary.queued,
        "under way": summary.sending + summary.accepted,
        "to be saved": summary.finished,
        "saved": summary.saved,
        "failed": summary.failed,
        "uncertain": summary.uncertain,
    }
    return [f"{count:,} {name}" for name, count in counts.items() if count]


def duration(seconds: float) -> str:
    """
    Return *seconds* in the two largest units that matter.
    """
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"


def size(count: int) -> str:
    """
    Return *count* bytes in a unit in which it is easily read.
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


def units(summary: Summary) -> str:
    """
    Return the units that were billed; a service that does not tell them is not said to take nothing.
    """
    return f"{summary.units_billed.normalize():,f}" if summary.units_billed else "not told"


def plural(count: int, noun: str) -> str:
    """
    Return *count* things that are called *noun*.
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
