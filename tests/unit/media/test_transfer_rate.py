"""
How slow a download may be.
"""

import pytest

from kling_async.media.transfer_rate import TransferRate
from kling_async.policy.policies import DownloadPolicy

KIB, MIB = 1024, 1024**2


def seconds_until_given_up(rate: float, size: int, *, every: float = 0.4) -> float | None:
    """
    Let *size* bytes come at *rate*, some *every* so many seconds; return when that is too slow, None where it is not.
    """
    progress = TransferRate(DownloadPolicy(), size, 30.0)
    while progress.received < size:
        progress.add(min(int(rate * every), size - progress.received), every)
        if progress.problem():
            return progress.waited
    return None


@pytest.mark.parametrize(
    ("rate", "size"), [(4.1 * KIB, 5 * MIB), (8 * KIB, 100 * MIB), (2 * KIB, 200 * KIB), (1.1 * KIB, 64 * KIB)]
)
def test_honest_slow_line(rate: float, size: int) -> None:
    """
    A slow line brings a picture, and the slowest at least a small one.
    """
    assert seconds_until_given_up(rate, size) is None


def test_drip() -> None:
    """
    A byte every 0.4 s is given up after one window.
    """
    assert 30.0 <= (seconds_until_given_up(2.5, 5 * MIB) or 0) < 31.0


def test_line_that_stops_after_a_good_start() -> None:
    """
    What came before makes up for nothing: the next window but one at the latest ends it.
    """
    progress = TransferRate(DownloadPolicy(), 50 * MIB, 30.0)
    progress.add(20 * MIB, 10.0)
    assert progress.problem() is None

    while not progress.problem():
        progress.add(1, 0.4)

    assert progress.waited < 71.0


def test_just_above_the_least_rate() -> None:
    """
    What stays a little above the least rate is bounded by the size: 5 MiB have 60 s, and 1280 s.
    """
    assert 1340.0 <= (seconds_until_given_up(1.5 * KIB, 5 * MIB) or 0) < 1342.0


def test_size_that_nobody_told() -> None:
    """
    If the size is not announced, the time limit follows from the bytes received.
    """
    progress = TransferRate(DownloadPolicy(), 0, 30.0)
    while not progress.problem():
        progress.add(1536, 1.0)

    assert 60.0 < progress.waited < 120.0


def test_long_silence_between_two_large_pieces() -> None:
    """
    A reader that was blocked for long, and finds what came meanwhile, does not take the line for slow.
    """
    progress = TransferRate(DownloadPolicy(), 5 * MIB, 30.0)
    progress.add(256 * KIB, 55.0)

    assert progress.problem() is None
