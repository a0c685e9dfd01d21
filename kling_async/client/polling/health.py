"""
What polls have shown of the service, and how fast it may be polled. No clock and no waiting: `now` is passed in.
"""

import logging
import math
from typing import Final

import attrs

from kling_async.client.retries import may_repeat
from kling_async.errors import KlingError, RateLimited, ServiceFailure
from kling_async.policy.policies import PollPolicy

__all__ = ["ServiceHealth"]

WARN_AFTER: Final = 5
"""
Polls in a row that have to fail before the log warns; fewer are usual.
"""

_log = logging.getLogger(__name__)


@attrs.define(eq=False)
class ServiceHealth:
    """
    The state of the service as seen by all polls of a client, and the limits of their rate.

    Attributes:
        ready_at: The time from which the next request may be sent.
        has_missed_callbacks:
            Whether a poll found the end of a task that a callback should have reported; reset when a callback comes.
    """

    policy: PollPolicy
    ready_at: float = attrs.field(default=-math.inf, init=False)
    has_missed_callbacks: bool = attrs.field(default=False, init=False)
    _busy_until: float = attrs.field(default=-math.inf, init=False)
    _paused_until: float = attrs.field(default=-math.inf, init=False)
    _slowdown: float = attrs.field(default=1.0, init=False)
    _slowed_at: float = attrs.field(default=-math.inf, init=False)
    _failures: int = attrs.field(default=0, init=False)  # polls in a row that failed

    def note_request(self, now: float) -> None:
        """
        A request is sent: the next one has to wait as long as the rate limit says.
        """
        self._busy_until = max(self._busy_until, now) + 1 / self.policy.max_rate
        self.ready_at = max(self._busy_until, self._paused_until)

    def note_answer(self) -> None:
        """
        A request was answered: polling speeds up a little, if it was slowed down.
        """
        self._slowdown = max(1.0, 0.98 * self._slowdown)
        if self._failures >= WARN_AFTER:
            _log.info("polls are answered again")
        self._failures = 0

    def apply_backpressure(self, error: KlingError, now: float) -> None:
        """
        A poll failed: a report of too many requests applies to the polls of all tasks.
        """
        if may_repeat(error) and not isinstance(error, RateLimited):
            self._failures += 1
            if self._failures == WARN_AFTER:
                _log.warning("%d polls in a row have failed; polling continues: %s", self._failures, error)
        match error:
            case RateLimited(retry_after=float(rest)) | ServiceFailure(retry_after=float(rest)):
                self.pause(now + min(rest, self.policy.max_rest))
            case RateLimited():
                self.slow_down(now)

    def pause(self, until: float) -> None:
        """
        Send nothing before *until*.
        """
        self._paused_until = max(self._paused_until, until)
        self.ready_at = max(self.ready_at, until)

    def slow_down(self, now: float) -> None:
        """
        Pause briefly, then poll all tasks less often: the service refused a poll because there were too many requests.

        Answers and time speed polling up again, so that single refusals cost little and many in a row a lot. Requests
        that were sent before the slowdown count once.
        """
        if now >= self._paused_until:
            # At most 8 times as slow: above that, the rate is not what is wrong.
            self._slowdown = min(1.25 * self.slowdown(now), 8.0)
            self._slowed_at = now
            self.pause(now + self.policy.min_delay * self._slowdown)

    def slowdown(self, now: float) -> float:
        """
        Return the factor for the intervals between polls: 1 or more, halved every 30 s after a refusal.
        """
        if self._slowdown == 1.0:
            return 1.0
        return max(1.0, self._slowdown * math.pow(0.5, (now - self._slowed_at) / 30.0))
