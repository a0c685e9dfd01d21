from pathlib import Path

import pytest

from benchmarks import figures, limits
from benchmarks.figures import Figure, Run, number, ratio
from benchmarks.parts import PARTS
from benchmarks.sizes import amount, cores
from benchmarks.tables import written

DOCS = Path(__file__).parents[2] / "docs"

FLOOR = Figure("overhead/bare/CPU", "µs", (100.0, 200.0, 100.0))
COST = Figure("overhead/ours/CPU", "µs", (200.0, 400.0, 300.0))


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    """
    The file keeps every round, in its order.
    """
    run = Run({"cores": "2"}, {FLOOR.name: FLOOR})
    figures.save(run, tmp_path / "figures.json")

    assert run == figures.load(tmp_path / "figures.json")


def test_a_part_replaces_its_own_figures_alone() -> None:
    """
    Parts are measured at different times.
    """
    other = Figure("loading/ours/CPU", "ms", (1.0,))
    before = Run({}, {FLOOR.name: FLOOR, other.name: other})

    assert {other.name: other, COST.name: COST} == before.with_part("overhead", {}, [COST]).figures


def test_ratios_are_those_of_the_pairs() -> None:
    """
    A round in which the machine was slow was slow for both.
    """

    assert (2.0, 2.0, 3.0) == ratio("overhead/ours/to bare", COST, FLOOR).values


@pytest.mark.parametrize("name", ["explanation/speed.md", "howto/cluster.md"])
def test_pages_show_what_was_measured(name: str) -> None:
    """
    Their tables are those that the kept figures make: `python docs/make_speed.py`.
    """
    page = (DOCS / name).read_text()

    assert page == written(page, figures.load())


@pytest.mark.parametrize(
    ("value", "told"), [(0.1157, "0.116"), (11.57, "11.6"), (1157.4, "1,160"), (350_000, "350,000"), (99.99, "100")]
)
def test_sizes_are_read_at_a_glance(value: float, told: str) -> None:
    assert told == number(value)


@pytest.mark.parametrize(("size", "told"), [(999, "999 bytes"), (2e10, "20 GB"), (2.31e9, "2.31 GB"), (2e14, "200 TB")])
def test_amounts_are_read_at_a_glance(size: float, told: str) -> None:
    assert told == amount(size)


def test_shares_of_a_core_are_told_as_such() -> None:
    assert ["1.2 % of one", "12.4"] == [cores(0.012), cores(12.4)]


def test_all_that_is_judged_was_measured() -> None:
    """
    A limit on a name that no part measures would never be broken.
    """
    limited = limits.AT_MOST.keys() | limits.AT_LEAST.keys()

    assert limited <= figures.load().figures.keys()
    assert {name.partition("/")[0] for name in limited} <= set(PARTS)
