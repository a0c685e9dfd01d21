"""
How long tasks of a kind take.
"""

import pytest

from kling_async.client.polling.durations import REMEMBERED, DurationEstimate


def test_nothing_is_known_at_first() -> None:
    """
    Nought is no time that anybody measured.
    """
    assert not DurationEstimate().is_known


def test_typical_is_the_median() -> None:
    """
    One that took very long, or was very quick, hardly counts; the quickest is known by itself.
    """
    pace = DurationEstimate()
    for seconds in (20.0, 22.0, 500.0, 18.0, 1.0):
        pace.learn(seconds)

    assert pace.is_known
    assert (20.0, 1.0) == (pace.typical, pace.shortest)


def test_only_the_last_ones_count() -> None:
    """
    A service that became slower is known as slow.
    """
    pace = DurationEstimate()
    for seconds in (*[5.0] * REMEMBERED, *[30.0] * REMEMBERED):
        pace.learn(seconds)

    assert (30.0, 30.0) == (pace.typical, pace.shortest)


@pytest.mark.parametrize("seconds", [-1.0, -0.0])
def test_time_never_runs_backwards(seconds: float) -> None:
    """
    Whatever the service's clock says, no task takes less than nothing.
    """
    pace = DurationEstimate()
    pace.learn(seconds)

    assert pace.typical == pace.shortest == 0.0
