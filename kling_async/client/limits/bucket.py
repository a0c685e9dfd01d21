"""
The slots of one bucket, as the vendor counts them: from the submit of a task until its end.

First come, first served: small requests do not overtake a large one at the head of the queue, except while it pauses
after a refusal.
"""

import itertools
import math
from collections.abc import Callable, Iterator

import attrs

from kling_async.client.limits.adaptive import AdaptiveLimit, RejectionTracker
from kling_async.client.limits.queue import RequestQueue, RequestState, SlotRequest

__all__ = ["Bucket", "Usage"]


@attrs.frozen
class Usage:
    """
    The slots of one bucket.

    Attributes:
        limit: The limit that was set, or the one that is known so far.
        used: Slots of running tasks and of submits that are being sent.
        waiting: Submits that wait for slots, each counted once.
    """

    limit: int
    used: int
    waiting: int


@attrs.define(eq=False)
class Bucket:
    """
    The state of one bucket: which slots are used, and which requests wait.

    Attributes:
        limit: Number of slots; None finds it out.
        used: Slots of requests that hold theirs.
        accepted: Those of them whose create was answered.
        queue: The requests that wait.
        below: Requests for that many slots and more would be refused, as the smallest that backs off was.
        numbers: Of its requests, in the order of arrival.
    """

    limit: int | None
    adaptive: AdaptiveLimit
    rejections: RejectionTracker = attrs.field(factory=RejectionTracker, init=False)
    used: int = attrs.field(default=0, init=False)
    accepted: int = attrs.field(default=0, init=False)
    queue: RequestQueue = attrs.field(factory=RequestQueue, init=False)
    below: float = attrs.field(default=math.inf, init=False)
    numbers: Iterator[int] = attrs.field(factory=itertools.count, init=False)
    _backing_off: list[int] = attrs.field(factory=list, init=False)  # sizes of the requests in this state

    @property
    def usage(self) -> Usage:
        """
        How many slots there are, are used and are waited for.
        """
        return Usage(self.limit or self.adaptive.limit, self.used, self.queue.count + len(self._backing_off))

    def has_room(self, n: int) -> bool:
        """
        Return whether *n* slots are available without waiting.
        """
        has_turn = not self.queue.count or self.queue.first(self.below) is None
        return has_turn and n < self.below and self._fits(n)

    def admit(self) -> None:
        """
        Give free slots to the requests that wait for them.
        """
        while self.queue.count and (request := self.queue.first(self.below)) and self._fits(request.n):
            self.move(request, RequestState.HOLDING)

    def fail_waiters(self, owner: object, make_error: Callable[[], Exception]) -> None:
        """
        End the waits of the requests of *owner* with an error.
        """
        for request in [request for request in self.queue if request.owner is owner]:
            request.resolve(make_error)
            self.move(request, RequestState.IDLE)
        self.admit()

    def move(self, request: SlotRequest, state: RequestState) -> None:
        """
        Change the state of *request*, and count its slots by that.
        """
        match request.state:
            case RequestState.QUEUED:
                self.queue.remove(request)
            case RequestState.HOLDING:
                self.used -= request.n
            case RequestState.BACKING_OFF:
                self._backing_off.remove(request.n)
                self.below = min(self._backing_off, default=math.inf)
        request.state = state
        match state:
            case RequestState.QUEUED:
                self.queue.add(request)
            case RequestState.HOLDING:
                self.used += request.n
                if request.granted is not None:
                    request.resolve(None)
            case RequestState.BACKING_OFF:
                self._backing_off.append(request.n)
                self.below = min(self.below, request.n)
            case RequestState.IDLE:
                if request.granted is not None:
                    request.granted.cancel()  # its wait ends with it

    def _fits(self, n: int) -> bool:
        if self.limit is not None:
            return self.used + n <= self.limit
        # A request larger than the limit found so far is sent alone: only the service knows whether it is too large.
        return not self.used or self.adaptive.allows(self.used, n, is_answered=self.used == self.accepted)
