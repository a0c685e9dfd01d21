"""
The found rate: what the service asks for holds, whatever else it answers meanwhile.
"""

import itertools

import hypothesis
import pytest
from hypothesis import strategies as st

from kling_async.client.limits.rate import AdaptiveRate

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["answered", "failed", "refused", "lost"]),
        st.floats(0.001, 5.0),  # seconds that it took
        st.floats(0.0, 30.0),  # seconds until the next one is tried
    ),
    max_size=60,
)


def test_answer_to_an_earlier_trial_does_not_end_a_rest() -> None:
    """
    A request that was sent before the first refusal brings a Retry-After while the trial is under way.
    """
    rate = AdaptiveRate()
    rate.note_sent(1.0)
    rate.note_sent(1.0)
    rate.note_refused(1.1, 1.0)
    rate.note_sent(2.0)
    rate.note_refused(2.1, 1.0)
    rate.pause(62.1)
    rate.note_answered(2.2, 2.0)

    assert 0 == rate.allowance(62.0)
    assert rate.allowance(62.2)


def test_answered_trial_ends_our_own_pause() -> None:
    """
    Nobody has asked for that.
    """
    rate = AdaptiveRate()
    rate.note_sent(1.0)
    rate.note_refused(1.1, 1.0)
    rate.note_sent(2.0)
    rate.note_answered(2.1, 2.0)

    assert rate.allowance(2.6)


@pytest.mark.parametrize("most", [float("inf"), 50.0, 0.1])
@hypothesis.given(events=EVENTS)
def test_rate_never_stalls(most: float, events: list[tuple[str, float, float]]) -> None:
    """
    Whatever happens, it stays above 0, and some seconds later a request may be sent; never above the maximum.
    """
    rate, now = AdaptiveRate(most), 0.0
    for kind, took, pause in events:
        now = max(now, rate.ready_at) + pause
        assert 1 <= rate.allowance(now)
        rate.note_sent(now)
        sent_at, now = now, now + took
        if kind == "answered":
            rate.note_answered(now, sent_at)
        elif kind == "failed":
            rate.note_failed()
        elif kind == "refused":
            rate.note_refused(now, sent_at)
        assert 0 < rate.rate <= most
        assert rate.ready_at <= now + 11 + 1 / rate.rate


def test_recovered_service_is_asked_quickly_again() -> None:
    """
    After an hour of refusals, and then of slow answers: within two minutes at the rate of the start.
    """
    rate, now = AdaptiveRate(), 0.0
    for number in itertools.count():
        now = max(now, rate.ready_at)
        if now >= 7200:
            break
        rate.note_sent(now)
        if now < 3600:
            rate.note_refused(now + 0.1, now)
        else:
            rate.note_answered(now + 0.1 + (number % 7) * 0.3, now)
    while now < 7320:
        now = max(now, rate.ready_at)
        rate.note_sent(now)
        rate.note_answered(now + 0.05, now)

    assert 20 <= rate.rate
