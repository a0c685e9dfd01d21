"""
What polls have shown of the service, and how fast it may be polled. No clock and no waiting: `now` is passed in.
"""

import logging
import math
from typing import Final

import attrs

from kling_async.client.limits.rate import AdaptiveRate
from kling_async.client.retries import may_repeat
from kling_async.errors import KlingError, RateLimited, ServiceFailure
from kling_async.policy.policies import PollPolicy

__all__ = ["ServiceHealth"]

WARN_AFTER: Final = 5
"""
Polls in a row that have to fail before the log warns; fewer are usual.
"""

_log = logging.getLogger(__name__)


@attrs.define(eq=False, repr=False)
class ServiceHealth:
    """
    The state of the service as seen by all polls of a client, and the limits of their rate.

    Attributes:
        rate: The found rate of polls.
        has_missed_callbacks:
            Whether a poll found the end of a task that a callback should have reported; reset when a callback comes.
        failures: Polls in a row that failed.
    """

    policy: PollPolicy
    rate: AdaptiveRate = attrs.field(init=False)
    has_missed_callbacks: bool = attrs.field(default=False, init=False)
    failures: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.rate = AdaptiveRate(math.inf if self.policy.max_rate is None else self.policy.max_rate)

    def note_recovery(self) -> None:
        """
        A poll was answered after some have failed.
        """
        if self.failures >= WARN_AFTER:
            _log.info("polls are answered again")
        self.failures = 0

    def apply_backpressure(self, error: KlingError, now: float, sent_at: float) -> None:
        """
        A poll failed: a report of too many requests applies to the polls of all tasks.
        """
        if may_repeat(error) and not isinstance(error, RateLimited):
            self.failures += 1
            if self.failures == WARN_AFTER:
                _log.warning("%d polls in a row have failed; polling continues: %s", self.failures, error)
        match error:
            case RateLimited(retry_after=rest) | ServiceFailure(retry_after=float(rest)):
                self.rate.note_refused(now, sent_at)
                self.rate.pause(now + min(rest or 0.0, self.policy.max_rest))
            case _:
                self.rate.note_failed()
