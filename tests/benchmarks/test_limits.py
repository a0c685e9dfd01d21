from benchmarks.figures import Figure
from benchmarks.limits import AT_LEAST, AT_MOST, Limit, judge

OVERHEAD = "overhead/kling_async/CPU to a bare loop"


def of_overhead(*values: float) -> Figure:
    return Figure(OVERHEAD, "times", values)


def test_a_figure_is_worse_when_even_its_better_quartile_is() -> None:
    """
    Noise alone breaks no limit.
    """
    most = AT_MOST[OVERHEAD].value

    assert [True, False, False] == [
        judge([of_overhead(*(most + step for step in steps))])[0].is_broken
        for steps in ((0.1, 0.2, 0.3), (-0.3, 0.1, 0.2), (-0.3, -0.2, -0.1))
    ]


def test_what_is_not_reached_yet_is_held_all_the_same() -> None:
    """
    A limit that was not reached is no reason to fall back further.
    """
    (verdict,) = judge([of_overhead(AT_MOST[OVERHEAD].value)])

    assert (False, AT_MOST[OVERHEAD].held is None) == (verdict.is_broken, verdict.is_reached)


def test_a_figure_without_a_limit_is_not_judged() -> None:
    """
    Times depend on the machine, so that only ratios have limits.
    """

    assert [] == judge([Figure("overhead/kling_async/CPU", "µs", (1e9,))])


def test_what_is_held_is_easier_than_what_is_asked() -> None:
    """
    `held` is only for what is not reached.
    """

    def is_easier(limit: Limit, sign: int) -> bool:
        return limit.held is None or sign * limit.held > sign * limit.asked

    assert all(is_easier(limit, 1) for limit in AT_MOST.values())
    assert all(is_easier(limit, -1) for limit in AT_LEAST.values())
