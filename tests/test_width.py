"""
Finding out how many slots there are: pure, so that an hour passes in no time.
"""

import pytest
from hypothesis import given, strategies as st

from kling_async.policy import SlotPolicy
from kling_async.width import Width

POLICY = SlotPolicy(start=9, first_rest=60.0, max_rest=240.0)


def test_it_starts_with_the_usual_nine() -> None:
    """
    As many as the vendor's usual packs have.
    """
    assert 9 == Width(SlotPolicy()).limit


def test_a_refusal_shrinks_it_below_what_was_refused() -> None:
    """
    Six at one time were too many, so five may be right.
    """
    width = Width(POLICY)
    width.refused(6, now=0.0)

    assert 5 == width.limit


def test_a_refusal_above_the_limit_changes_nothing_below() -> None:
    """
    What was sent before the limit shrank may be refused after it.
    """
    width = Width(POLICY)
    width.refused(5, now=0.0)
    width.refused(9, now=0.1)

    assert 4 == width.limit


def test_it_never_falls_below_one() -> None:
    """
    A single picture can always be asked for.
    """
    width = Width(POLICY)
    width.refused(1, now=0.0)

    assert 1 == width.limit


def test_it_grows_by_one_for_each_rest_at_full_width() -> None:
    """
    Slowly, and only where more is wanted.
    """
    width = Width(POLICY)
    for now in range(300):
        width.accepted(9, float(now), is_full=True)
    grown = width.limit
    for now in range(300, 600):
        width.accepted(9, float(now), is_full=False)

    assert (13, 13) == (grown, width.limit)


def test_a_trial_that_fails_is_repeated_later_each_time() -> None:
    """
    Rests of 60 s, 120 s and 240 s, which is the most.
    """
    width = Width(POLICY)
    trials = []
    for now in range(1200):
        width.accepted(min(width.limit, 9), float(now), is_full=True)
        if width.limit > 9:
            trials.append(now)
            width.refused(width.limit, float(now))

    assert [60, 120, 240, 480, 720, 960] == trials


def test_slots_that_were_bought_are_found() -> None:
    """
    A level that was refused once and is accepted now is no limit any more.
    """
    width = Width(POLICY)
    width.refused(10, now=0.0)
    for now in range(1000):
        width.accepted(width.limit, float(now), is_full=True)

    assert width.limit > 20


@given(st.lists(st.tuples(st.integers(1, 60), st.booleans(), st.booleans()), max_size=200))
def test_whatever_happens_it_stays_sensible(history: list[tuple[int, bool, bool]]) -> None:
    """
    A refusal always leaves it below what was refused, an acceptance never shrinks it, and it is at least one.
    """
    width = Width(POLICY)
    for now, (level, is_refused, is_full) in enumerate(history):
        earlier = width.limit
        if is_refused:
            width.refused(level, float(now))
            assert width.limit <= max(1, min(earlier, level - 1))
        else:
            width.accepted(level, float(now), is_full=is_full)
            assert earlier <= width.limit <= earlier + 1
        assert width.limit >= 1


@pytest.mark.parametrize("wrong", [{"start": 0}, {"start": True}, {"start": 2.5}, {"first_rest": 0}, {"max_rest": -1}])
def test_values_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    """
    When the policy is made, not when it is used.
    """
    with pytest.raises(ValueError, match="must be"):
        SlotPolicy(**wrong)  # type: ignore[arg-type]
