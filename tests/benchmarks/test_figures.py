from pathlib import Path

from benchmarks import figures, limits
from benchmarks.figures import Figure, Run, ratio
from benchmarks.parts import PARTS
from benchmarks.tables import written

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "speed.md"

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


def test_the_page_shows_what_was_measured() -> None:
    """
    Its tables are those that the kept figures make: `python docs/make_speed.py`.
    """

    assert PAGE.read_text() == written(PAGE.read_text(), figures.load())


def test_all_that_is_judged_was_measured() -> None:
    """
    A limit on a name that no part measures would never be broken.
    """
    limited = limits.AT_MOST.keys() | limits.AT_LEAST.keys()

    assert limited <= figures.load().figures.keys()
    assert {name.partition("/")[0] for name in limited} <= set(PARTS)
