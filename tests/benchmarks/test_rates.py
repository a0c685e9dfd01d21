"""
The simulated clients and services with which the found rate is measured.
"""

import math

import pytest

from benchmarks import makespan, rates
from benchmarks.limits import AT_MOST


def test_token_bucket_saves_a_second() -> None:
    """
    After a rest it accepts the requests of one second at once, and then one by one.
    """
    bucket = rates.TokenBucket(5)

    assert [True] * 5 + [False] == [bucket.accepts(100.0) for _ in range(6)]
    assert [True, False] == [bucket.accepts(100.25) for _ in range(2)]


def test_fixed_window_begins_again() -> None:
    """
    Whatever was refused in the last one.
    """
    window = rates.FixedWindow(5, 2.0)

    assert [True] * 10 + [False] * 2 == [window.accepts(1.9) for _ in range(12)]
    assert window.accepts(2.0)


def test_fairness_is_jains_index() -> None:
    """
    One for equal parts, one by their number if one has everything.
    """
    assert rates.fairness([3.0, 3.0]) == 1.0
    assert rates.fairness([3.0, 0.0]) == 0.5
    assert rates.fairness([0.0, 0.0]) == 0.0


def test_limited_figures_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    For less time, since it is the limits' names that are looked at.
    """
    monkeypatch.setattr(rates, "SECONDS", 2.0)
    monkeypatch.setattr(makespan, "REQUESTS", 9)

    measured = [*rates.measure(1), *makespan.measure(1)]

    names = {figure.name for figure in measured}
    assert {name for name in AT_MOST if name.startswith(("rates/", "makespan/"))} <= names
    assert all(math.isfinite(value) for figure in measured for value in figure.values)
