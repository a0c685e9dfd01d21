"""
Finding out how many slots there are: pure, so that an hour passes in no time.
"""

import math

import pytest
from hypothesis import given, strategies as st

from kling_async.client.limits.adaptive import AdaptiveLimit, RejectionTracker
from kling_async.policy.policies import SlotPolicy

POLICY = SlotPolicy(start=9, first_rest=60.0, max_rest=1000.0)


def rested_limit() -> AdaptiveLimit:
    """
    Return a limit whose first rest is over at second 0.
    """
    limit = AdaptiveLimit(POLICY)
    limit.note_ended(-60.0)
    return limit


def can_try(limit: AdaptiveLimit, level: int) -> bool:
    return limit.allows(limit.limit, level - limit.limit, is_answered=True)


def grow(limit: AdaptiveLimit, truth: int, *, now: float = 0.0) -> list[int]:
    """
    Let single pictures end and others be tried in their place until one is refused; return the levels that were tried.
    """
    tried: list[int] = []
    while True:
        limit.note_ended(now)
        level = limit.limit + 1
        if not can_try(limit, level):
            return tried
        tried.append(level)
        if level > truth:
            limit.note_refused(level, now)
            return tried
        limit.note_accepted(level, now)


def test_it_starts_with_the_usual_nine() -> None:
    """
    As many as the vendor's usual packs have, at once; before anything has ended no more is tried.
    """
    limit = AdaptiveLimit(SlotPolicy())

    assert 9 == limit.limit
    assert limit.allows(0, 9, is_answered=False)
    assert not can_try(limit, 10)


def test_nothing_is_refused_in_a_short_run() -> None:
    """
    More than the usual number is tried a minute after it was first wanted.
    """
    limit = AdaptiveLimit(POLICY)
    limit.note_ended(20.0)
    limit.note_ended(79.9)
    assert not can_try(limit, 10)

    limit.note_ended(80.0)

    assert can_try(limit, 10)


def test_more_is_tried_once_a_task_has_ended() -> None:
    """
    One more request, however large, from within the limit and when all others are answered; where it is accepted, as
    much is taken for granted.
    """
    limit = rested_limit()
    limit.note_ended(20.0)

    assert can_try(limit, 18)
    assert not limit.allows(9, 1, is_answered=False)
    assert not limit.allows(10, 1, is_answered=True)

    limit.note_accepted(14, 20.2)

    assert 14 == limit.limit
    assert limit.allows(9, 5, is_answered=False)
    assert not can_try(limit, 15)


def test_a_trial_that_fails_takes_nothing_away() -> None:
    """
    What was in use before stays in use.
    """
    limit = rested_limit()

    assert [10] == grow(limit, 9)
    assert 9 == limit.limit


def test_it_grows_as_fast_as_tasks_end() -> None:
    """
    Once two more than usual were had, each end of a task lets one more go, until the twenty slots of a larger account
    are found.
    """
    limit = rested_limit()
    limit.note_ended(0.0)
    limit.note_accepted(11, 0.2)

    assert [12, 13, 14, 15, 16, 17, 18, 19, 20, 21] == grow(limit, 20, now=1.0)
    assert 20 == limit.limit


def test_below_what_was_refused_more_is_tried_half_way() -> None:
    """
    Between what was granted and what was refused, a request goes into the lower half, so that its answer tells most.
    """
    limit = AdaptiveLimit(POLICY)
    limit.note_accepted(3, 0.1)
    limit.note_refused(8, 0.2)
    limit.note_ended(20.0)

    assert [True, False] == [can_try(limit, 5), can_try(limit, 6)]


def test_a_refusal_shrinks_it_to_what_was_granted() -> None:
    """
    Three were accepted before the fourth to seventh were refused; then four more are, as there were four.
    """
    limit = AdaptiveLimit(POLICY)
    limit.note_accepted(3, 0.1)
    limit.note_refused(7, 0.2)

    assert 3 == limit.limit

    limit.note_accepted(4, 20.0)

    assert 4 == limit.limit


def test_it_shrinks_below_what_is_refused_now() -> None:
    """
    What was granted once may be taken by others today.
    """
    limit = AdaptiveLimit(POLICY)
    limit.note_accepted(9, 0.0)
    limit.note_refused(6, 100.0)

    assert 5 == limit.limit


def test_it_never_falls_below_one() -> None:
    """
    A single picture can always be asked for.
    """
    limit = AdaptiveLimit(POLICY)
    limit.note_refused(1, now=0.0)

    assert 1 == limit.limit


def test_what_was_refused_is_tried_again_after_a_rest() -> None:
    """
    Four times as long after each trial that fails, up to the longest.
    """
    limit = rested_limit()
    trials = [now for now in range(4000) if grow(limit, 9, now=now)]

    assert [0, 240, 1200, 2200, 3200] == trials


def test_a_single_success_may_be_luck() -> None:
    """
    A task had ended, and its slot went to the trial before anybody knew: the next trial waits for its rest all the
    same, and where that fails the rests grow as if nothing had been.
    """
    limit = rested_limit()
    limit.note_ended(0.0)
    limit.note_accepted(10, 0.2)
    limit.note_ended(1.0)

    assert not can_try(limit, 11)

    limit.note_refused(10, 2.0)
    limit.note_ended(241.9)

    assert 9 == limit.limit
    assert not can_try(limit, 10)


def test_slots_that_were_bought_are_found() -> None:
    """
    Two more than were there is no luck: from then on it grows with each task that ends.
    """
    limit = rested_limit()
    first, second, third = [grow(limit, truth, now=now) for now, truth in ((0.0, 9), (240.0, 30), (480.0, 30))]

    assert [[10], [10]] == [first, second]
    assert list(range(11, 32)) == third


def test_others_that_come_and_go_are_met_soon() -> None:
    """
    After a long time at nine slots others take some; what they give back is looked for after the first rest again.
    """
    limit = rested_limit()
    for now in range(4000):
        grow(limit, 9, now=now)
    limit.note_accepted(9, 4000.0)
    limit.note_refused(5, 4001.0)
    limit.note_ended(4061.0)

    assert 4 == limit.limit
    assert can_try(limit, 5)


def test_what_was_never_granted_is_unproven() -> None:
    """
    A refusal without a reason may be for want of slots only where so many were never in use.
    """
    limit = AdaptiveLimit(POLICY)
    limit.note_accepted(4, 0.0)

    assert [False, True] == [limit.is_unproven(4), limit.is_unproven(5)]


@given(
    st.lists(st.tuples(st.integers(1, 60), st.sampled_from(["accepted", "refused", "ended"]), st.integers(0, 500))),
    st.integers(1, 20),
)
def test_whatever_happens_it_stays_sensible(history: list[tuple[int, str, int]], start: int) -> None:
    """
    A refusal never raises the limit and leaves it below what was refused, an acceptance raises it to what was accepted
    at most, and it is at least one. What is within the limit is always allowed, and no more while answers are out.
    """
    limit = AdaptiveLimit(SlotPolicy(start=start))
    now = 0.0
    for level, event, seconds in history:
        earlier, now = limit.limit, now + seconds
        match event:
            case "accepted":
                limit.note_accepted(level, now)
                assert max(earlier, level) == limit.limit
            case "refused":
                limit.note_refused(level, now)
                assert limit.limit <= max(1, min(earlier, level - 1) if level <= earlier else earlier)
            case _:
                limit.note_ended(now)
                assert earlier == limit.limit
        assert limit.limit >= 1
        assert limit.allows(0, limit.limit, is_answered=False)
        assert not limit.allows(0, limit.limit + 1, is_answered=False)


@pytest.mark.parametrize(
    "wrong",
    [{"start": 0}, {"start": True}, {"start": 2.5}, {"first_rest": 0}, {"max_rest": -1}, {"first_rest": math.nan}],
)
def test_values_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    """
    When the policy is made, not when it is used.
    """
    with pytest.raises(ValueError, match="must be"):
        SlotPolicy(**wrong)  # type: ignore[arg-type]


def test_a_number_that_was_granted_starts_anew() -> None:
    """
    What one request waited in vain says nothing about the next: one slot there is always, and four were granted once.
    """
    rejections = RejectionTracker()

    assert [10.0, 400.0] == [rejections.note_refused(1, at, 4) for at in (10.0, 400.0)]
    assert [500.0, 900.0] == [rejections.note_refused(4, at, 4) for at in (500.0, 900.0)]


def test_a_number_that_never_was_counts_from_the_first() -> None:
    """
    So does a larger one; a smaller one may be granted, and starts anew.
    """
    rejections = RejectionTracker()

    assert 10.0 == rejections.note_refused(6, 10.0, 1)
    assert 10.0 == rejections.note_refused(6, 400.0, 1)
    assert 10.0 == rejections.note_refused(9, 500.0, 1)
    assert 600.0 == rejections.note_refused(5, 600.0, 1)
    assert 10.0 == rejections.note_refused(9, 700.0, 1)


def test_a_request_that_is_granted_speaks_for_smaller_ones() -> None:
    """
    Seven slots there are, so six as well; of nine nobody knows yet.
    """
    rejections = RejectionTracker()
    rejections.note_refused(6, 10.0, 1)
    rejections.note_refused(9, 20.0, 1)

    assert [400.0, 450.0] == [rejections.note_refused(6, at, 7) for at in (400.0, 450.0)]
    assert 20.0 == rejections.note_refused(9, 500.0, 7)
