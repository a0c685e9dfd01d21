"""
What a journal of many rows is measured with: few rows here.
"""

from benchmarks import rows


async def test_each_part_is_measured() -> None:
    """
    All rows are added, written bare, ended and read, and a first request arrives.
    """
    costs = await rows.run(60, 6)

    assert {"add", "bare insert", "open", "outcomes", "summary", "import", "first request"} == set(costs)
    assert all(cost.seconds or cost.cpu for cost in costs.values())
