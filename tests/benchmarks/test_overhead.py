import pytest

from benchmarks import overhead


async def test_all_who_are_compared_do_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each submits and looks against the service that answers, and takes some CPU for it.
    """
    monkeypatch.setattr(overhead, "WARM_UP", 5)
    monkeypatch.setattr(overhead, "COUNT", 20)
    with overhead.service() as server:
        costs = [await way(server.url) for way in overhead.WAYS.values()]

    assert all(cost.cpu > 0 for cost in costs)
