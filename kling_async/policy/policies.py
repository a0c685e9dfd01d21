"""
How long to wait and how many tasks to run at a time: values that users set, without clock and I/O.
"""

import random
from collections.abc import Generator
from typing import Final

import attrs

from kling_async.errors import (
    KlingError,
)
from kling_async.policy.arguments import valid_between, valid_seconds, valid_whole
from kling_async.wire.constructors import explained

__all__ = ["DownloadPolicy", "PollPolicy", "RetryPolicy", "SlotPolicy"]


MISS_GROWTH: Final = 1.2
"""
Growth factor of the delay with each failed poll in a row.
"""

_SHARE: Final = valid_between(0, 1, "must be a number above 0 and up to 1", is_open=True)
_GROWTH: Final = valid_between(1, 1e9, "must be a finite number of at least 1")
_RATE: Final = valid_between(1e-9, 1e9, "must be a finite number of requests per second above 0")


@explained
@attrs.frozen(kw_only=True)
class RetryPolicy:
    """
    How long a request is retried. Whether it may be sent again is decided by `kling_async.client.retries.next_step`.

    Attributes:
        first_delay:
            Seconds before the second attempt. Each further delay is twice as long, up to `max_delay`. The actual delay
            is random, between half of that and all of it.
        max_delay: Maximum delay in seconds, unless `Retry-After` asks for more.
        give_up_after: Seconds after which a read, or the lookup of an uncertain submit, fails with its last error.
        connect_for:
            Seconds for which the first connection to a host is tried, at most `give_up_after`. A host that was reached
            before is waited for, up to `give_up_after`.
        refused_for:
            Seconds for which a submit is retried while the service refuses it (1302, 1303, 429) and no task of this
            client is running. While one is, it is retried without limit.
        look_for:
            Seconds for which a submit that may have arrived is looked up although the service says "no such task",
            which may not be up to date. Only then is it sent again, with the same id.
        hear_for:
            Seconds for which a submit whose response was lost waits for a callback, if it cannot be looked up.
        max_retry_after: Maximum `Retry-After` in seconds that is waited for. A longer one raises the error.
    """

    first_delay: float = attrs.field(default=1.0, validator=valid_seconds)
    max_delay: float = attrs.field(default=30.0, validator=valid_seconds)
    give_up_after: float = attrs.field(default=120.0, validator=valid_seconds)
    connect_for: float = attrs.field(default=15.0, validator=valid_seconds)
    refused_for: float = attrs.field(default=300.0, validator=valid_seconds)
    look_for: float = attrs.field(default=30.0, validator=valid_seconds)
    hear_for: float = attrs.field(default=60.0, validator=valid_seconds)
    max_retry_after: float = attrs.field(default=120.0, validator=valid_seconds)

    def delays(self) -> Generator[float, KlingError | None, None]:
        """
        Yield the delay in seconds before each further attempt; send in the error, whose `Retry-After` is respected.

        The first step only starts the generator, as `backoff` expects.
        """
        delay = self.first_delay
        error = yield 0.0
        while True:
            hint = getattr(error, "retry_after", None) or 0.0
            seconds = max(hint, delay * random.uniform(0.5, 1.0))  # noqa: S311 (not a secret)
            left = getattr(error, "gives_up_in", None)
            error = yield min(seconds, left) if left else seconds
            delay = min(2 * delay, self.max_delay)

    def is_too_long(self, error: KlingError) -> bool:
        """
        Return whether *error* asks for a longer delay than this policy allows.
        """
        return (getattr(error, "retry_after", None) or 0.0) > self.max_retry_after


@explained
@attrs.frozen(kw_only=True)
class PollPolicy:
    """
    How often tasks are polled.

    Attributes:
        early: Time of the first poll, as a share of the time that similar tasks (same `duration_key`) recently took.
        dense:
            Time between further polls, as a share of that time or of the task's age. Tasks that are polled with few
            requests are polled more often, and many tasks that end soon less often.
        min_delay: Minimum seconds between two such polls.
        first_delay: Seconds from acceptance to the first poll, and between polls, while that time is unknown.
        growth: Growth factor of a task's age between polls meanwhile, once that is more than `first_delay`.
        max_delay:
            Maximum seconds between two polls, as far as the rate allows; twice that for young tasks, if they are many,
            are polled one by one, and it is unknown how long such tasks take.
        max_rate:
            Maximum requests per second, for all tasks together. None finds out what the service takes, beginning with
            40: more while answers are quick, fewer after a refusal.
        miss_delay: Seconds after a failed poll; more after each further failure in a row, up to `max_delay`.
        width: Maximum number of concurrent polls.
        answer_timeout: Seconds after which a poll without a response is repeated.
        not_found_grace: Seconds for which "no such task" is ignored, because the service may not be up to date.
        pictures_grace: Seconds for which a successful task may lack its files.
        callback_grace: Seconds to wait for a callback while it is unknown how long similar tasks take.
        max_rest: Maximum seconds for which polling pauses if the service asks for it (`Retry-After`).
    """

    early: float = attrs.field(default=0.7, validator=_SHARE)
    dense: float = attrs.field(default=0.04, validator=_SHARE)
    min_delay: float = attrs.field(default=0.1, validator=valid_seconds)
    first_delay: float = attrs.field(default=1.0, validator=valid_seconds)
    growth: float = attrs.field(default=1.05, validator=_GROWTH)
    max_delay: float = attrs.field(default=10.0, validator=valid_seconds)
    max_rate: float | None = attrs.field(default=None, validator=attrs.validators.optional(_RATE))
    miss_delay: float = attrs.field(default=0.3, validator=valid_seconds)
    width: int = attrs.field(default=16, validator=valid_whole)
    answer_timeout: float = attrs.field(default=10.0, validator=valid_seconds)
    not_found_grace: float = attrs.field(default=30.0, validator=valid_seconds)
    pictures_grace: float = attrs.field(default=30.0, validator=valid_seconds)
    callback_grace: float = attrs.field(default=20.0, validator=valid_seconds)
    max_rest: float = attrs.field(default=120.0, validator=valid_seconds)

    def after_misses(self, misses: int) -> float:
        """
        Return the delay in seconds after *misses* failed polls in a row.
        """
        try:
            return min(self.miss_delay * MISS_GROWTH ** (misses - 1), self.max_delay)
        except OverflowError:
            return self.max_delay


@explained
@attrs.frozen(kw_only=True)
class SlotPolicy:
    """
    How the number of the account's slots is discovered if it is not given, and how long an uncertain submit holds
    slots.

    Attributes:
        start: Initial number of slots per model; the vendor's usual image packages have nine.
        first_rest: Seconds before a refused number of slots is tried again; four times as long after each refusal.
        max_rest: Maximum of these seconds.
        uncertain_for: Seconds for which an uncertain submit holds its slots, because its task may be running.
    """

    start: int = attrs.field(default=9, validator=valid_whole)
    first_rest: float = attrs.field(default=60.0, validator=valid_seconds)
    max_rest: float = attrs.field(default=3600.0, validator=valid_seconds)
    uncertain_for: float = attrs.field(default=120.0, validator=valid_seconds)


KIB = 1024


@attrs.frozen(kw_only=True)
class DownloadPolicy:
    """
    How slow a download may be.

    The defaults allow for slow connections: a mobile connection of 64 kbit/s carries 8 KiB/s, and one of 256 kbit/s
    that eight downloads share carries 4 KiB/s for each. Without a limit, a server that sends a byte now and then would
    occupy a connection for days.

    Attributes:
        least_rate: Minimum bytes per second in each `window`. A slower download is aborted.
        window: Seconds over which that is measured: long enough for a handover between two cells, or for a server that
            fetches the file from elsewhere first. A longer `HttpOptions.read_timeout` extends it.
        mean_rate: Minimum bytes per second from the beginning, after `grace`, so the time limit grows with the size.
        grace: Seconds that each file may take in addition.
    """

    least_rate: float = 1.0 * KIB
    window: float = 30.0
    mean_rate: float = 4.0 * KIB
    grace: float = 60.0
