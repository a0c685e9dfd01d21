"""
Finds by trial how many requests per second a service takes: more while answers are quick and none is refused, fewer
after a refusal and while answers are slow.

No clock and no waiting: `now` is passed in.
"""

import math
from typing import Final

import attrs

__all__ = ["START", "AdaptiveRate"]

START: Final = 40.0
"""
Requests per second while nothing is known of the service.
"""

MODEST: Final = 2.0
"""
Requests per second that single refusals and slow answers leave at least: refusals may come at random, and what is slow
may be our own event loop.
"""

LEAST: Final = 0.5
"""
The same for refusals in a row.
"""

BURST: Final = 0.2
"""
Seconds whose requests may be sent at once.
"""

WINDOW: Final = 0.25
"""
Seconds in which answers are counted before the rate may change.
"""

GROWTH: Final = 2.0
"""
The rate grows to that many times the rate of the answers in a window.
"""

CAREFUL_GROWTH: Final = 1.1
"""
The same, in the `CAREFUL_FOR` seconds after answers were slow.
"""

CAREFUL_FOR: Final = 10.0

KEPT: Final = 0.8
"""
Share that is kept of a rate that was refused, or at which answers became slow.
"""

KEPT_LEAST: Final = 0.25
"""
Share of the rate that a single refusal leaves at least, whatever is measured: it may have other reasons.
"""

RECOVERY: Final = 60.0
"""
Seconds after a refusal in which the rate comes back to the refused one.
"""

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 10.0
"""
Seconds in which nothing is sent after a refusal; each further one in a row doubles them.
"""

TRIAL: Final = 1.0
"""
Seconds in which the first answer after a refusal is waited for, before the next request is sent.
"""

OUTAGE: Final = 3.0
"""
Seconds without an answer from which on refusals are taken for the end of a budget, for example of one per minute.
"""

SLOW: Final = 2.0
SLOW_SECONDS: Final = 0.05
QUICK: Final = 1.5
QUICK_SECONDS: Final = 0.025
"""
Answers are slow if on average they take longer than so many times the quickest one and so many seconds more; then the
rate falls. It grows only while they are quick.
"""

WIDESPREAD: Final = 4
"""
How many more requests have to fail than are answered until the service counts as failing.
"""

QUICKEST_FOR: Final = 30.0
"""
Seconds after which the quickest answer is forgotten; it may take twice as long.
"""


@attrs.define(eq=False, repr=False)
class AdaptiveRate:
    """
    The rate of requests to one service, as far as it is known.

    Until a request is refused, the rate grows to twice that of the answers in each window, so it grows only as far as
    it is used. After a refusal it is a share of what the service took; in a minute it comes back to that, stays near it
    for a while, and then grows beyond it. So refusals are rare. Several clients of one service come to similar rates,
    because the one that sends more is refused more often.

    Attributes:
        most: The highest rate that may be used.
        rate: Requests per second at present.
        ready_at: When the next request may be sent.
    """

    most: float = math.inf
    rate: float = attrs.field(init=False)
    ready_at: float = attrs.field(default=-math.inf, init=False)
    _paused_until: float = attrs.field(default=-math.inf, init=False)
    _refused_rate: float = attrs.field(default=math.inf, init=False)  # that was too high, as far as is known
    _cut_at: float = attrs.field(default=-math.inf, init=False)  # when it was refused
    _refusals: int = attrs.field(default=0, init=False)  # in a row
    _is_trusted: bool = attrs.field(default=True, init=False)  # a request sent after the cut was answered
    _was_used: bool = attrs.field(default=False, init=False)  # so that the rate may be what was refused
    _taken: int = attrs.field(default=0, init=False)  # requests answered since `_taken_since`
    _taken_since: float = attrs.field(default=0.0, init=False)
    _window_at: float = attrs.field(default=math.inf, init=False)  # when it began
    _answered: int = attrs.field(default=0, init=False)  # in the window, as the next two
    _timed: int = attrs.field(default=0, init=False)  # typical answers
    _seconds: float = attrs.field(default=0.0, init=False)  # that they took together
    _failed: int = attrs.field(default=0, init=False)  # requests, less those that were answered meanwhile
    _answer_rate: float = attrs.field(default=0.0, init=False)  # in the last window
    _quickest: float = attrs.field(default=math.inf, init=False)  # answer, in seconds
    _quickest_before: float = attrs.field(default=math.inf, init=False)
    _quickest_since: float = attrs.field(default=-math.inf, init=False)
    _slow_windows: int = attrs.field(default=0, init=False)  # in a row
    _slowed_at: float = attrs.field(default=-math.inf, init=False)

    def __attrs_post_init__(self) -> None:
        self.rate = START if self.most == math.inf else self.most

    @property
    def was_refused(self) -> bool:
        """
        Whether requests were ever refused because there were too many.
        """
        return self._refused_rate < math.inf

    def allowance(self, now: float) -> int:
        """
        Return how many requests may be sent now.
        """
        if now < self.ready_at:
            return 0
        return 1 + int(min(now - self.ready_at, BURST - 1 / self.rate) * self.rate + 1e-6) if self._is_trusted else 1

    def note_sent(self, now: float) -> None:
        """
        A request is sent.
        """
        if self._window_at == math.inf:
            self._window_at = self._taken_since = now
        gap = 1 / self.rate
        unused_since = max(self.ready_at, min(now, now - BURST + gap))  # what was not used is saved for a moment only
        self.ready_at = unused_since + (gap if self._is_trusted else max(gap, TRIAL))

    def note_answered(self, now: float, sent_at: float, *, is_typical: bool = True) -> None:
        """
        A request that was sent at *sent_at* was answered. If it is not *is_typical*, how long it took says nothing.
        """
        self._answered += 1
        self._taken += 1
        if self._failed:
            self._failed -= 1
        if sent_at >= self._cut_at and not self._is_trusted:
            self._end_refusals(now, sent_at)
        if is_typical:
            self._timed += 1
            self._seconds += now - sent_at
            self._quickest = min(self._quickest, now - sent_at)
        if now - self._window_at < WINDOW:
            return
        self._answer_rate = self._answered / (now - self._window_at)
        latency = self._seconds / self._timed if self._timed else 0.0
        quickest = min(self._quickest, self._quickest_before)
        self._window_at, self._answered, self._timed, self._seconds = now, 0, 0, 0.0
        if now - self._quickest_since >= QUICKEST_FOR:
            self._quickest_before, self._quickest, self._quickest_since = self._quickest, math.inf, now
        if latency > SLOW * quickest + SLOW_SECONDS:  # requests seem to queue at the service
            self._note_slow(now)
            return
        self._slow_windows = 0
        if latency >= QUICK * quickest + QUICK_SECONDS:
            return
        rate = self._answer_rate * (GROWTH if now - self._slowed_at > CAREFUL_FOR else CAREFUL_GROWTH)
        if self.was_refused:
            # As a cubic curve, which is flat near the rate that was refused.
            step = (now - self._cut_at) / RECOVERY - 1
            rate = min(self._refused_rate * (1 + (1 - KEPT) * step**3), max(rate, self._refused_rate))
        self.rate = max(self.rate, min(rate, self.most))

    def note_failed(self) -> None:
        """
        A request failed for another reason than the rate. While most fail, the rate is not above the one at the start.
        """
        self._failed += 1
        if self._failed > WIDESPREAD:
            self._reduce(START)

    def note_refused(self, now: float, sent_at: float) -> None:
        """
        A request that was sent at *sent_at* was refused because there are too many. Those that were sent before the
        last refusal count once.
        """
        if sent_at < self._cut_at:
            return
        pause = min(FIRST_PAUSE * 2**self._refusals, LONGEST_PAUSE)
        self._refusals = min(self._refusals + 1, 10)
        if self._is_trusted:
            self.pause(now + pause)
            taken = max(self._answer_rate, self._answered / max(now - self._window_at, WINDOW))
            self._was_used = taken >= KEPT_LEAST * self.rate
            self._cut(max(min(self.rate, taken), KEPT_LEAST * self.rate), now)
            self._is_trusted = False
        else:  # the last pause was too short, or even a modest rate is too high
            self.ready_at = max(now + pause, self._paused_until)
            if self.rate <= MODEST:
                self.rate = max(KEPT * self.rate, min(LEAST, self.rate))

    def pause(self, until: float) -> None:
        """
        Send nothing before *until*.
        """
        self._paused_until = max(self._paused_until, until)
        self.ready_at = max(self.ready_at, until)

    def _cut(self, refused_rate: float, now: float) -> None:
        self._refused_rate, self._cut_at = refused_rate, now
        self._reduce(KEPT * refused_rate)
        self._window_at, self._answered, self._timed, self._seconds = now, 0, 0, 0.0
        self._answer_rate = 0.0

    def _end_refusals(self, now: float, sent_at: float) -> None:
        if now - self._cut_at >= OUTAGE and self._was_used:
            taken = self._taken / (now - self._taken_since)
            self._cut(max(min(self._refused_rate, taken), LEAST), now)
        self._refusals, self._is_trusted = 0, True
        self._taken, self._taken_since = 0, now
        self.ready_at = max(min(self.ready_at, max(now, sent_at + 1 / self.rate)), self._paused_until)

    def _note_slow(self, now: float) -> None:
        self._slow_windows += 1
        # In a single window, our own event loop may have been busy.
        if self._slow_windows > 1 and now - self._slowed_at >= 1.0:
            self._slowed_at = now
            self._reduce(KEPT * self._answer_rate)

    def _reduce(self, rate: float) -> None:
        self.rate = min(self.rate, max(rate, MODEST))
