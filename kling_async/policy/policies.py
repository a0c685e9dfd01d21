"""
How long to wait, and how many tasks to run at a time: values that users set, with no clock and no sleeping.
"""

import random
from collections.abc import Generator
from typing import Final

import attrs

from kling_async.errors import (
    KlingError,
)
from kling_async.policy.arguments import valid_between, valid_seconds, valid_whole

__all__ = ["DownloadPolicy", "PollPolicy", "RetryPolicy", "SlotPolicy"]


MISS_GROWTH: Final = 1.2
"""
By what each further pause after broken looks is longer than the one before.
"""

_SHARE: Final = valid_between(0, 1, "must be a number above 0 and up to 1", is_open=True)
_GROWTH: Final = valid_between(1, 1e9, "must be a finite number of at least 1")
_RATE: Final = valid_between(1e-9, 1e9, "must be a finite number of requests per second above 0")


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """
    How patiently a request is sent again; whether it may be is decided by `next_step`.

    Attributes:
        first_delay:
            Seconds before the second attempt; each further delay is twice as long, up to `max_delay`. Every delay is
            scattered between half and the whole of it.
        max_delay: Seconds of the longest delay, but for a `Retry-After` that asks for more.
        give_up_after: Seconds after which a read, and the search for an ambiguous submit, ends in its last error.
        refused_for:
            Seconds for which a submit is sent again while the service refuses it (1302, 1303, 429) and nothing of this
            client is under way; while something is, it waits for as long as that takes.
        look_for:
            Seconds for which "no such task" is taken for a service that has not caught up, where a submit may have
            arrived; only then is it sent again, under the same id.
        hear_for:
            Seconds that a submit whose answer was lost waits for a callback to tell of its task, where nothing else
            can.
        max_retry_after:
            Seconds of `Retry-After` that are slept; above it the error goes to the caller, with the number.
    """

    first_delay: float = attrs.field(default=1.0, validator=valid_seconds)
    max_delay: float = attrs.field(default=30.0, validator=valid_seconds)
    give_up_after: float = attrs.field(default=120.0, validator=valid_seconds)
    refused_for: float = attrs.field(default=300.0, validator=valid_seconds)
    look_for: float = attrs.field(default=30.0, validator=valid_seconds)
    hear_for: float = attrs.field(default=60.0, validator=valid_seconds)
    max_retry_after: float = attrs.field(default=120.0, validator=valid_seconds)

    def delays(self) -> Generator[float, KlingError | None, None]:
        """
        Yield the seconds before each further attempt, for the error that is sent in, honouring its `Retry-After`.

        The first step only starts it, as with every generator that is sent to (and as `backoff` expects).
        """
        delay = self.first_delay
        error = yield 0.0
        while True:
            hint = getattr(error, "retry_after", None) or 0.0
            error = yield max(hint, delay * random.uniform(0.5, 1.0))  # noqa: S311 (scatter, no secret)
            delay = min(2 * delay, self.max_delay)

    def is_too_long(self, error: KlingError) -> bool:
        """
        Tell whether *error* asks for a longer pause than this policy sleeps.
        """
        return (getattr(error, "retry_after", None) or 0.0) > self.max_retry_after


@attrs.frozen(kw_only=True)
class PollPolicy:
    """
    How often a task is looked at.

    Attributes:
        early: When to look first, as a share of the time that such tasks (model, number of pictures) have lately taken.
        dense: How long to wait from look to look then, as a share of that time or of the task's age.
        min_delay: Seconds between two such looks at least.
        first_delay: Seconds from acceptance to the first look, and from look to look, while that time is not known.
        growth: By what a task's age grows from look to look meanwhile, once that is more than `first_delay`.
        max_delay: Seconds between two looks at most, as far as `max_rate` allows.
        max_rate: Requests per second at most, all tasks together.
        miss_delay: Seconds after a look that broke; longer after each further one in a row, up to `max_delay`.
        width: How many looks may be under way at once.
        answer_timeout: Seconds that one look may take; a service that stalls longer is asked again.
        not_found_grace: Seconds for which "no such task" is taken for a service that has not caught up.
        pictures_grace: Seconds for which a task that succeeded may lack its pictures.
        callback_grace: Seconds that a callback may take, while it is not known how long such tasks take.
        max_rest: Seconds for which all looking pauses at most, where the service asks for a rest (`Retry-After`).
    """

    early: float = attrs.field(default=0.7, validator=_SHARE)
    dense: float = attrs.field(default=0.036, validator=_SHARE)
    min_delay: float = attrs.field(default=0.2, validator=valid_seconds)
    first_delay: float = attrs.field(default=1.0, validator=valid_seconds)
    growth: float = attrs.field(default=1.05, validator=_GROWTH)
    max_delay: float = attrs.field(default=10.0, validator=valid_seconds)
    max_rate: float = attrs.field(default=40.0, validator=_RATE)
    miss_delay: float = attrs.field(default=0.3, validator=valid_seconds)
    width: int = attrs.field(default=8, validator=valid_whole)
    answer_timeout: float = attrs.field(default=10.0, validator=valid_seconds)
    not_found_grace: float = attrs.field(default=30.0, validator=valid_seconds)
    pictures_grace: float = attrs.field(default=30.0, validator=valid_seconds)
    callback_grace: float = attrs.field(default=20.0, validator=valid_seconds)
    max_rest: float = attrs.field(default=120.0, validator=valid_seconds)

    def after_misses(self, misses: int) -> float:
        """
        Return the seconds to wait after so many looks in a row that broke.
        """
        try:
            return min(self.miss_delay * MISS_GROWTH ** (misses - 1), self.max_delay)
        except OverflowError:
            return self.max_delay


@attrs.frozen(kw_only=True)
class SlotPolicy:
    """
    How the account's slots are found out, where their number is not given, and how long those of an uncertain submit
    count.

    Attributes:
        start: Slots of each model to begin with; the vendor's usual image packs have nine.
        first_rest: Seconds before as many as were refused are tried again; four times as long after each refusal more.
        max_rest: Seconds that such a rest lasts at most.
        uncertain_for: Seconds for which a submit of unknown fate holds its slots: a task of it may be running.
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

    A picture has a few MiB. The defaults allow for slow lines: a mobile line of 64 kbit/s carries 8 KiB/s, and one of
    256 kbit/s that eight downloads share still carries 4 KiB/s for each. A server that sends a byte now and then would
    otherwise occupy a place for days.

    Attributes:
        least_rate: Bytes per second in each `window`. A download that falls below is given up.
        window: Seconds over which that is measured: long enough for a handover between two cells, or for a server that
            fetches the picture from elsewhere first. A longer `HttpOptions.read_timeout` lengthens it.
        mean_rate: Bytes per second from the beginning on, once `grace` is over: with it, the time for all of a picture
            grows with its size.
        grace: Seconds that each picture may take besides.
    """

    least_rate: float = 1.0 * KIB
    window: float = 30.0
    mean_rate: float = 4.0 * KIB
    grace: float = 60.0
