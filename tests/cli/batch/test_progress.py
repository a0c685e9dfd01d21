"""
Counts, rate and time left.
"""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import attrs
import pytest
from hypothesis import given, strategies as st

from kling_async import Done, Failed, Image, ImageRequest, Summary, TaskResult, TaskSnapshot, TaskStatus
from kling_async.cli.batch.progress import SAMPLES, BatchProgress, files_line, state_counts
from kling_async.cli.formatting import format_duration, format_size, format_units, plural
from kling_async.errors import TaskFailed
from kling_async.media.saved_files import SavedFile

REQUEST = ImageRequest("a fox")


def done(pictures: int = 1) -> Done:
    snapshot = TaskSnapshot(task_id="t", task_status=TaskStatus.SUCCEEDED)
    result = TaskResult("t", (Image(0, "https://a.example/0.png"),), snapshot)
    kept = tuple(SavedFile(index, Path(f"{index}.png"), 100, "00") for index in range(pictures))
    return Done(0, "k", REQUEST, result, files=kept)


FAILED = Failed(0, "k", REQUEST, TaskFailed("no"))


@attrs.define
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def begun(clock: Callable[[], float], summary: Summary) -> BatchProgress:
    progress = BatchProgress(clock)
    progress.start(summary)
    return progress


def test_position(clock: Clock) -> None:
    """
    What earlier runs ended for good counts as ended; rows that are tried again, or told again, count when they end.
    """
    progress = begun(clock, Summary(queued=10, saved=5, failed=3, may_retry=2, uncertain=1))
    before = progress.position
    progress.note(done())
    progress.note(FAILED)

    assert ((6, 19), (8, 19)) == (before, progress.position)


def test_rate_and_time_left(clock: Clock) -> None:
    """
    Both follow from what ended since the run began: 20 rows of two pictures in 10 s leave 80 rows for 40 s.
    """
    progress = begun(clock, Summary(queued=100))
    early = (progress.rate, progress.seconds_left)
    for _ in range(20):
        clock.now += 0.5
        progress.note(done(pictures=2))

    assert (None, None) == early
    assert (240.0, 40.0) == (progress.rate, progress.seconds_left)
    assert ["240 files/min", "40 s left"] == progress.outlook()


def test_recent_rate(clock: Clock) -> None:
    """
    A burst at the beginning is forgotten after a while.
    """
    progress = begun(clock, Summary(queued=10_000))
    for _ in range(1000):
        progress.note(done())
    for _ in range(SAMPLES + 10):
        clock.now += 10
        progress.note(done())

    assert progress.rate == pytest.approx(6.0, rel=0.02)


def test_nothing_comes(clock: Clock) -> None:
    """
    Where nothing ends, nobody knows how long it will take.
    """
    progress = begun(clock, Summary(queued=100))
    clock.now += 3600

    assert (0.0, None, []) == (progress.rate, progress.seconds_left, progress.outlook())


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 9)), max_size=400))
def test_size_is_fixed(steps: list[tuple[float, int]]) -> None:
    """
    However many outcomes there are, what is kept of them is bounded, and what is told is no nonsense.
    """
    clock = Clock()
    progress = begun(clock, Summary(queued=len(steps) // 2))
    for seconds, pictures in steps:
        clock.now += seconds
        progress.note(done(pictures))

    assert len(progress._samples) <= SAMPLES
    assert (progress.rate or 0.0) >= 0
    assert (progress.seconds_left or 0.0) >= 0
    assert progress.position[0] <= progress.position[1]


def test_line(clock: Clock) -> None:
    """
    One line says it all, and leaves out what there is none of.
    """
    progress = begun(
        clock, Summary(queued=1000, sending=1, accepted=8, saved=991, images=1200, units_billed=Decimal(1200))
    )
    clock.now += 10
    progress.note(done())

    counts = "992/2,000 ended, 1,000 queued, 9 running, 991 saved, 1,200 pictures, 1,200 units"
    assert f"{counts}, 6.0 pictures/min, 2 h 48 min left" == progress.line()


def test_states() -> None:
    """
    Rows are told by what is to be done with them.
    """
    summary = Summary(queued=1, sending=2, accepted=3, finished=4, saved=5, failed=6, uncertain=7)

    assert ["1 queued", "5 running", "4 to be saved", "5 saved", "6 failed", "7 uncertain"] == state_counts(summary)
    assert [] == state_counts(Summary())


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.4, "0 s"),
        (99, "99 s"),
        (100, "2 min"),
        (3599, "1 h 0 min"),
        (3600, "1 h 0 min"),
        (8350, "2 h 19 min"),
        (4e5, "4 d 15 h"),
    ],
)
def test_duration(seconds: float, expected: str) -> None:
    """
    Times are told in units that can be taken in.
    """
    assert expected == format_duration(seconds)


@pytest.mark.parametrize(("count", "expected"), [(0, "0 bytes"), (999, "999 bytes"), (2_100_000_000, "2.1 GB")])
def test_size(count: int, expected: str) -> None:
    """
    So are sizes.
    """
    assert expected == format_size(count)


def test_unknown_units() -> None:
    """
    Units that a service does not report are unknown, which is not zero.
    """
    assert ["unknown", "-"] == [format_units(None), format_units(None, unknown="-")]
    assert ["1,000", "0.5", "0.5", "2"] == [format_units(units) for units in (Decimal(1000), Decimal("0.50"), 0.5, 2)]


@pytest.mark.parametrize(
    ("summary", "line"),
    [
        (Summary(), {"files": "0 (0 bytes)"}),
        (Summary(images=1200, bytes=7_250_000), {"pictures": "1,200 (7.2 MB)"}),
        (Summary(videos=1, bytes=2_000), {"videos": "1 (2.0 kB)"}),
        (Summary(images=2, videos=1, audios=3, bytes=9), {"files": "2 pictures, 1 video, 3 sounds (9 bytes)"}),
    ],
)
def test_saved_files(summary: Summary, line: dict[str, str]) -> None:
    """
    They are called by their kind; several kinds are counted one by one.
    """
    assert line == files_line(summary)


def test_rate_of_a_kind(clock: Clock) -> None:
    """
    The rate of a batch that makes videos alone is one of videos.
    """
    progress = begun(clock, Summary(queued=100, saved=1, videos=1))
    clock.now += 10
    progress.note(done())

    assert "6.0 videos/min" == progress.outlook()[0]


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 units"), (1, "1 unit"), (1000, "1,000 units"), (Decimal("1.0"), "1 unit"), (Decimal("0.5"), "0.5 units")],
)
def test_plural(count: Decimal | int, expected: str) -> None:
    """
    Exactly one is one, however it was counted.
    """
    assert expected == plural(count, "unit")
