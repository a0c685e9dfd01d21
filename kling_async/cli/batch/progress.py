"""
The progress of a batch, its rate and the time left, in constant memory.
"""

import collections
import time
from collections.abc import Callable
from typing import Final

import attrs

from kling_async.batch.records import Summary
from kling_async.cli.formatting import count_files, describe_files, format_duration, format_size, format_units, plural
from kling_async.client.outcomes import Done, Failed

__all__ = ["BatchProgress", "file_counts", "files_line", "state_counts", "units_line"]

SAMPLES: Final = 120
"""
The rate is measured over these samples, which are at least `SAMPLE_INTERVAL` apart: the last four minutes.
"""

SAMPLE_INTERVAL: Final = 2.0
"""
Seconds.
"""

MIN_SECONDS: Final = 5.0
"""
Seconds that must be measured before there is a rate.
"""


@attrs.frozen
class _Sample:
    at: float
    ended: int
    files: int


@attrs.define(eq=False)
class BatchProgress:
    """
    The progress of one run.

    Attributes:
        summary: The summary of the journal that was read last.
        trouble: The error that is being retried; None if there is none.
        ended: Rows that ended in this run; `files` counts theirs.
    """

    clock: Callable[[], float] = time.monotonic
    summary: Summary = attrs.field(factory=Summary, init=False)
    trouble: str | None = attrs.field(default=None, init=False)
    ended: int = attrs.field(default=0, init=False)
    files: int = attrs.field(default=0, init=False)
    _ended_before: int = attrs.field(default=0, init=False)
    _started_at: float = attrs.field(init=False)
    _samples: collections.deque[_Sample] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._started_at = self.clock()
        self._samples = collections.deque(maxlen=SAMPLES)

    def start(self, summary: Summary) -> None:
        """
        Start counting, from the *summary* that earlier runs left.
        """
        self.summary = summary
        self._ended_before = summary.saved + summary.failed - summary.may_retry
        self._samples.append(_Sample(self.clock(), 0, 0))

    def note(self, outcome: Done | Failed) -> None:
        """
        Count an outcome.
        """
        self.trouble = None
        self.ended += 1
        if isinstance(outcome, Done):
            self.files += len(outcome.files)
        if self.clock() >= self._samples[-1].at + SAMPLE_INTERVAL:
            self._samples.append(_Sample(self.clock(), self.ended, self.files))

    @property
    def seconds(self) -> float:
        """
        Seconds since the start of the command.
        """
        return self.clock() - self._started_at

    @property
    def position(self) -> tuple[int, int]:
        """
        The number of rows that have ended, in this run and earlier, and the number of all rows.
        """
        rows = self.summary.rows
        return min(self._ended_before + self.ended, rows), rows

    @property
    def rate(self) -> float | None:
        """
        Recent files per minute; None if it is too early to say.
        """
        since = self._samples[0] if self._samples else None
        seconds = 0.0 if since is None else self.clock() - since.at
        return None if since is None or seconds < MIN_SECONDS else 60 * (self.files - since.files) / seconds

    @property
    def seconds_left(self) -> float | None:
        """
        Seconds until all rows have ended at the recent rate; None if unknown.
        """
        since = self._samples[0] if self._samples else None
        if since is None or self.ended == since.ended or self.clock() < since.at + MIN_SECONDS:
            return None
        ended, rows = self.position
        return (rows - ended) * (self.clock() - since.at) / (self.ended - since.ended)

    def line(self) -> str:
        """
        Return the progress on one line.
        """
        ended, rows = self.position
        parts = [f"{ended:,}/{rows:,} ended", *state_counts(self.summary), describe_files(file_counts(self.summary))]
        if self.summary.units_billed:
            parts.append(plural(self.summary.units_billed, "unit"))
        if self.summary.cash_billed:
            parts.append(f"{format_units(self.summary.cash_billed)} in cash")
        return ", ".join([*parts, *self.outlook()])

    def outlook(self) -> list[str]:
        """
        Return the rate and the time left, as far as they are known.
        """
        rate, left = self.rate, self.seconds_left
        nouns = list(file_counts(self.summary))
        noun = nouns[0] if len(nouns) == 1 else "files"
        parts = [] if not rate else [f"{rate:.1f} {noun}/min" if rate < 100 else f"{rate:,.0f} {noun}/min"]
        return parts if not left else [*parts, f"{format_duration(left)} left"]


def file_counts(summary: Summary) -> dict[str, int]:
    """
    Return the number of saved files of each kind, as `count_files` does.
    """
    return count_files({"image": summary.images, "video": summary.videos, "audio": summary.audios})


def files_line(summary: Summary) -> dict[str, str]:
    """
    Return the line of a report that counts the saved files, named by their kind if they have one in common.
    """
    counts, size = file_counts(summary), format_size(summary.bytes)
    if len(counts) == 1:
        return {nouns: f"{count:,} ({size})" for nouns, count in counts.items()}
    return {"files": f"{describe_files(counts)} ({size})"}


def units_line(summary: Summary) -> dict[str, str]:
    """
    Return the lines of a report that say what was billed: the cash only if there was some.
    """
    cash = {"cash": format_units(summary.cash_billed)} if summary.cash_billed else {}
    return {"units": format_units(summary.units_billed or None, unknown="none" if cash else "unknown"), **cash}


def state_counts(summary: Summary) -> list[str]:
    """
    Return the number of rows in each state, without the states that have none.
    """
    counts = {
        "queued": summary.queued,
        "running": summary.sending + summary.accepted,
        "to be saved": summary.finished,
        "saved": summary.saved,
        "failed": summary.failed,
        "uncertain": summary.uncertain,
    }
    return [f"{count:,} {name}" for name, count in counts.items() if count]
