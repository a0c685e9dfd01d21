"""
The found rate: decisions in passed time, and simulated services with a limit.
"""

import itertools
import math
from typing import Final

import pytest
from hypothesis import given, strategies as st

from benchmarks.rates import Client, FixedWindow, Limiter, Simulation, TokenBucket, alone, fairness
from kling_async.client.limits.rate import AdaptiveRate

REFUSED: Final = "refused"
ANSWERED: Final = "answered"
FAILED: Final = "failed"


def answered_for(rate: AdaptiveRate, begin: float, end: float, takes: float = 0.01) -> float:
    """
    Send what is allowed, and have each request answered; return when the last one was.
    """
    now = begin
    while now < end:
        now = max(now, rate.ready_at)
        rate.note_sent(now)
        rate.note_answered(now + takes, now)
    return now


def test_rate_begins_at_forty() -> None:
    """
    Or at the highest that was set.
    """
    assert AdaptiveRate().rate == 40.0
    assert AdaptiveRate(400.0).rate == 400.0
    assert AdaptiveRate(0.5).rate == 0.5


def test_what_was_not_used_is_saved_for_a_moment_only() -> None:
    """
    After a rest, the requests of a fifth of a second may be sent at once; then each has to wait for its turn.
    """
    for most, at_once in ((40.0, 8), (400.0, 80), (5.0, 1), (0.5, 1)):
        rate = AdaptiveRate(most)
        sent = 0
        while rate.allowance(now=1000.0):
            assert rate.allowance(now=1000.0) == max(1, at_once - sent)
            rate.note_sent(now=1000.0)
            sent += 1
        assert sent <= at_once + 1
        assert 1000.0 < rate.ready_at <= 1000.0 + 1 / most + 1e-9


def test_rate_grows_while_it_is_used_up() -> None:
    """
    At most twofold in each window, and never above the highest that was set.
    """
    rate, limited = AdaptiveRate(), AdaptiveRate(100.0)
    answered_for(rate, 0.0, 1.0)
    answered_for(limited, 0.0, 3.0)

    assert 200.0 < rate.rate <= 40.0 * 2**4
    assert limited.rate == 100.0


def test_rate_that_is_not_used_does_not_grow() -> None:
    """
    Few answers prove nothing of many requests.
    """
    rate = AdaptiveRate()
    for second in range(100):
        for _ in range(5):
            rate.note_sent(float(second))
            rate.note_answered(second + 0.05, float(second))

    assert rate.rate == 40.0


def test_rate_does_not_grow_while_answers_are_slow() -> None:
    """
    It falls once they were slow in two windows, as if requests queued at the service; and recovers with care.
    """
    rate = AdaptiveRate()
    now = answered_for(rate, 0.0, 0.6, takes=0.02)
    before = rate.rate
    now = answered_for(rate, now, now + 0.3, takes=0.2)
    assert before == rate.rate

    now = answered_for(rate, now, now + 0.6, takes=0.2)
    slowed = rate.rate
    assert slowed < before

    answered_for(rate, now, now + 1.0, takes=0.02)
    assert slowed < rate.rate < 2 * slowed


def test_slow_pages_say_nothing() -> None:
    """
    A page of many tasks takes longer than a single one.
    """
    rate = AdaptiveRate()
    now = 0.0
    for _ in range(100):
        now = max(now, rate.ready_at)
        rate.note_sent(now)
        rate.note_answered(now + 0.01, now)
        rate.note_sent(now)
        rate.note_answered(now + 0.9, now, is_typical=False)

    assert rate.rate >= 40.0


def test_refusal_pauses_and_reduces() -> None:
    """
    To four fifths of what was answered; the requests that were under way count once.
    """
    rate = AdaptiveRate(100.0)
    now = answered_for(rate, 0.0, 2.0)
    for _ in range(8):
        rate.note_sent(now)
    for _ in range(8):
        rate.note_refused(now + 0.05, now)

    assert rate.rate == pytest.approx(80.0, rel=0.05)
    assert rate.ready_at == pytest.approx(now + 0.25)


def test_one_request_tries_whether_the_pause_was_long_enough() -> None:
    """
    The others wait for its answer, a second at most; each refusal of it doubles the pause, up to ten seconds.
    """
    rate = AdaptiveRate()
    rate.note_sent(0.0)
    rate.note_refused(0.1, 0.0)
    pauses = []
    for _ in range(8):
        now = rate.ready_at
        assert 1 == rate.allowance(now)
        rate.note_sent(now)
        assert 0 == rate.allowance(now + 0.9)
        rate.note_refused(now + 0.1, now)
        pauses.append(rate.ready_at - now - 0.1)
    assert [0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0] == pytest.approx(pauses)

    now = rate.ready_at
    rate.note_sent(now)
    assert rate.ready_at == now + 1 / rate.rate if rate.rate < 1 else now + 1.0
    rate.note_answered(now + 0.1, now)
    assert rate.ready_at == pytest.approx(now + 1 / rate.rate, abs=0.05)


def test_budget_per_minute_is_measured() -> None:
    """
    After a long time of refusals, the rate is at most what was answered in all that time.
    """
    rate, limiter = AdaptiveRate(), FixedWindow(5, 60.0)
    client = Client(rate=rate)
    Simulation([client], limiter).run(75.0)

    assert rate.rate < 7.0


def test_most_fail() -> None:
    """
    A service that is down is not asked at the rate that it took before.
    """
    rate = AdaptiveRate()
    now = answered_for(rate, 0.0, 2.0)
    assert rate.rate > 200.0

    for _ in range(100):
        rate.note_sent(now)
        rate.note_failed()
    assert rate.rate == 40.0


def test_refusal_is_forgotten() -> None:
    """
    The rate is the refused one after a minute, and grows fast after two.
    """
    rate = AdaptiveRate()
    now = answered_for(rate, 0.0, 0.2)
    rate.note_sent(now)
    rate.note_refused(now, now)
    at_once = rate.rate
    now = answered_for(rate, rate.ready_at, now + 60.0)
    assert rate.rate == pytest.approx(at_once / 0.8, rel=0.05)

    answered_for(rate, now, now + 240.0)
    assert rate.rate > 5 * at_once


@pytest.mark.parametrize("limit", [5, 20, 100, 1_000])
@pytest.mark.parametrize("limiter", [TokenBucket, FixedWindow])
def test_true_limit_is_found(limiter: type[TokenBucket | FixedWindow], limit: int) -> None:
    """
    In ten minutes, or as many requests, at most 1 % are refused, and most of the limit is used.
    """
    seconds = min(600.0, 20_000 / limit)
    client = alone(limiter(limit), 1, seconds)

    assert client.refused_share(end=seconds) <= 0.01
    assert client.accepted(end=seconds) >= 0.75 * limit


@pytest.mark.parametrize("limit", [5, 20])
def test_two_clients_share_a_service(limit: int) -> None:
    """
    Though one came a minute later.
    """
    shares = []
    for seed in range(3):
        clients = Client(), Client(begins_at=60.0)
        Simulation(clients, TokenBucket(limit), seed=seed).run(420.0)
        shares.append(fairness([client.accepted(120.0, 420.0) for client in clients]))
        assert sum(client.accepted(120.0, 420.0) for client in clients) >= 0.9 * limit

    assert sum(shares) / 3 > 0.85


@pytest.mark.parametrize("capacity", [10, 100])
def test_slow_service_is_not_crowded(capacity: int) -> None:
    """
    Answers take at most three times as long as the quickest, with endless demand and room for sixteen requests.
    """
    client = Client()
    Simulation([client], capacity=capacity).run(120.0)

    assert sum(seconds for _, _, seconds in client.answers) / len(client.answers) < 3 * (0.05 + 1 / capacity)
    assert client.accepted(end=120.0) > 0.8 * capacity


class Never:
    """
    Refuses everything.
    """

    def accepts(self, now: float) -> bool:
        return False


def test_service_that_refuses_everything_is_asked_every_ten_seconds() -> None:
    """
    Nothing is given up, and little is sent.
    """
    client, limiter = Client(), Never()
    checked: Limiter = limiter
    Simulation([client], checked).run(600.0)

    assert 60 <= len(client.answers) < 60 + 30


STEPS = st.lists(
    st.tuples(st.sampled_from([REFUSED, ANSWERED, FAILED]), st.floats(0.0, 30.0), st.integers(1, 20)), max_size=40
)


@given(steps=STEPS, most=st.sampled_from([math.inf, 0.1, 5.0, 1e9]), takes=st.floats(0.0, 10.0))
def test_rate_keeps_its_bounds(steps: list[tuple[str, float, int]], most: float, takes: float) -> None:
    """
    Whatever comes: it is above zero and at most the highest, a refusal or failure never raises it, a request is always
    allowed again within ten seconds, and no more are sent than the rate and a moment's savings allow.
    """
    rate = AdaptiveRate(most)
    now = 0.0
    for outcome, pause, count in steps:
        now += pause
        for _ in range(count):
            now = max(now, rate.ready_at)
            assert rate.allowance(now) >= 1
            before = rate.rate
            rate.note_sent(now)
            match outcome:
                case "refused":
                    rate.note_refused(now + takes, now)
                case "failed":
                    rate.note_failed()
                case _:
                    rate.note_answered(now + takes, now)
            now += takes
            assert 0 < rate.rate <= max(most, 40.0) if most == math.inf else rate.rate <= most
            assert outcome == ANSWERED or rate.rate <= before
            assert rate.ready_at <= now + max(10.0, 1 / rate.rate + 1.0)


@given(most=st.floats(0.1, 1e4), gaps=st.lists(st.floats(0.0, 2.0), max_size=50))
def test_no_more_is_sent_than_the_rate_allows(most: float, gaps: list[float]) -> None:
    """
    In any time, at most the requests of that time and of a fifth of a second, and one.
    """
    rate, now, sent = AdaptiveRate(most), 0.0, []
    for gap in gaps:
        now += gap
        for _ in range(min(rate.allowance(now), 50)):
            rate.note_sent(now)
            sent.append(now)

    for (number, first), (later, last) in itertools.combinations(enumerate(sent), 2):
        assert later - number <= (last - first + 0.2) * most + 1 + 1e-3


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


def test_recovered_service_is_asked_quickly_again() -> None:
    """
    After an hour of refusals, and one of slow answers: within two minutes.
    """
    rate, now = AdaptiveRate(100.0), 0.0
    for number in itertools.count():
        now = max(now, rate.ready_at)
        if now >= 7200:
            break
        rate.note_sent(now)
        if now < 3600:
            rate.note_refused(now + 0.1, now)
        else:
            rate.note_answered(now + 0.1 + (number % 7) * 0.3, now)
    answered_for(rate, now, 7320.0)

    assert 20 <= rate.rate
