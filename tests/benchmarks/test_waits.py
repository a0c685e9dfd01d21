import pytest

from benchmarks import waits
from benchmarks.limits import AT_MOST


def test_each_queue_is_measured_and_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Among few waiters, since it is the limits' names that are looked at.
    """
    monkeypatch.setattr(waits, "FEW", 10)
    monkeypatch.setattr(waits, "MANY", 20)

    measured = {figure.name: figure for figure in waits.measure(2)}

    assert {name for name in AT_MOST if name.startswith("waits/")} == {name for name in measured if "to few" in name}
    assert all(value > 0 for figure in measured.values() for value in figure.values)
