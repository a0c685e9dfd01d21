"""
How long tasks of a kind take.
"""

import pytest

from kling_async.client.polling.durations import DurationEstimate


def test_nothing_is_known_at_first() -> None:
    """
    Nought is no time that anybody measured.
    """
    assert not DurationEstimate().is_known


def test_typical_is_the_median() -> None:
    """
    One that took very long, or was very quick, hardly counts; the quickest is known by itself.
    """
    estimate = DurationEstimate()
    for seconds in (20.0, 22.0, 500.0, 18.0, 1.0):
        estimate.add(seconds)

    assert estimate.is_known
    assert (20.0, 1.0) == (estimate.typical, estimate.shortest)


def test_only_the_last_ones_count() -> None:
    """
    A service that became slower is known as slow.
    """
    estimate = DurationEstimate()
    for seconds in (*[5.0] * 16, *[30.0] * 16):
        estimate.add(seconds)

    assert (30.0, 30.0) == (estimate.typical, estimate.shortest)


@pytest.mark.parametrize("seconds", [-1.0, -0.0])
def test_time_never_runs_backwards(seconds: float) -> None:
    """
    Whatever the service's clock says, no task takes less than nothing.
    """
    estimate = DurationEstimate()
    estimate.add(seconds)

    assert estimate.typical == estimate.shortest == 0.0
