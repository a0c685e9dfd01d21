"""
The slots of one bucket, as the vendor counts them: from the submit of a task until its end.

First come, first served: small requests do not overtake a large one at the head of the queue, except while it pauses
after a refusal.
"""

import asyncio
import itertools
import math
from collections.abc import Callable, Iterator

import attrs

from kling_async.client.limits.adaptive import AdaptiveLimit, RejectionTracker
from kling_async.client.limits.queue import RequestQueue, RequestState, SlotRequest
from kling_async.errors import NoFreeSlot, RateLimited

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

    Args:
        limit: Number of slots; None finds it out.

    Attributes:
        numbers: Of its requests, in the order of arrival.
    """

    _limit: int | None
    _adaptive: AdaptiveLimit
    _rejections: RejectionTracker = attrs.field(factory=RejectionTracker, init=False)
    _used: int = attrs.field(default=0, init=False)
    _accepted: int = attrs.field(default=0, init=False)  # those of them whose create was answered
    _queue: RequestQueue = attrs.field(factory=RequestQueue, init=False)
    _backing_off: list[int] = attrs.field(factory=list, init=False)  # sizes of the requests in this state
    _below: float = attrs.field(default=math.inf, init=False)  # the smallest: larger ones would be refused too
    numbers: Iterator[int] = attrs.field(factory=itertools.count, init=False)

    @property
    def usage(self) -> Usage:
        """
        How many slots there are, are used and are waited for.
        """
        return Usage(self._limit or self._adaptive.limit, self._used, self._queue.count + len(self._backing_off))

    def has_room(self, n: int) -> bool:
        """
        Return whether *n* slots are available without waiting.
        """
        has_turn = not self._queue.count or self._queue.first(self._below) is None
        return has_turn and n < self._below and self._fits(n)

    def take_now(self, request: SlotRequest) -> bool:
        """
        Give *request* its slots if no other has to go first, and return whether it has them.
        """
        has_turn = not self._queue.count or self._queue.first(self._below) is None
        if not has_turn or request.n >= self._below or not self._fits(request.n):
            return False
        self._move(request, RequestState.HOLDING)
        return True

    async def acquire(self, request: SlotRequest) -> None:
        """
        Wait until *request* has its slots. Cancelling this takes none and holds up no other request.
        """
        if self.take_now(request):
            return
        request.granted = asyncio.get_running_loop().create_future()
        self._move(request, RequestState.QUEUED)
        self._admit()
        try:
            make_error = await request.granted
        except BaseException:
            self._move(request, RequestState.IDLE)  # the slots may have been granted just before the cancellation
            self._admit()
            raise
        if make_error is not None:
            raise make_error()

    def release(self, request: SlotRequest) -> None:
        """
        Take the slots of *request* back and give them to those that wait.
        """
        self._move(request, RequestState.IDLE)
        if request.is_accepted:
            request.is_accepted = False
            self._accepted -= request.n
            if self._queue.count:
                self._adaptive.note_ended(asyncio.get_running_loop().time())
        if self._queue.count:
            self._admit()

    def fail_waiters(self, owner: object, make_error: Callable[[], Exception]) -> None:
        """
        End the waits of the requests of *owner* with an error.
        """
        for request in [request for request in self._queue if request.owner is owner]:
            request.resolve(make_error)
            self._move(request, RequestState.IDLE)
        self._admit()

    def note_running(self, request: SlotRequest) -> None:
        """
        The task of *request* runs, or may run: count its slots, even above the limit.
        """
        if not request.is_accepted:
            self._accept(request)
            self._admit()

    def note_accepted(self, request: SlotRequest) -> None:
        """
        The service has accepted the task of *request*.
        """
        if not request.is_accepted:
            self._accept(request)
            self._rejections.note_accepted(request.n)
            self._adaptive.note_accepted(self._accepted, asyncio.get_running_loop().time())
            if self._queue.count:
                self._admit()

    def note_refused(self, request: SlotRequest, error: RateLimited) -> bool:
        """
        The service has refused the submit; return whether it is to wait for slots now, without a pause. See
        `SlotLease.note_refused`.
        """
        if request.is_accepted:  # it was counted as running, and does not run
            request.is_accepted = False
            self._accepted -= request.n
        now = asyncio.get_running_loop().time()
        is_vague = not isinstance(error, NoFreeSlot) and not isinstance(error.code, int)
        if self._accepted:
            request.refused_since = math.inf
        else:
            is_about_slots = is_vague or isinstance(error, NoFreeSlot)
            since = self._rejections.note_refused(request.n, now) if is_about_slots else now
            request.refused_since = min(since, request.refused_since)
        match error:
            case NoFreeSlot() if self._used == request.n:
                self._move(request, RequestState.BACKING_OFF)
                self._admit()
            case NoFreeSlot() if self._limit is None:
                self._adaptive.note_refused(self._used, now)
                if error.retry_after is None:
                    self._move(request, RequestState.IDLE)
                    return True
            case _ if is_vague and self._accepted and self._adaptive.is_unproven(self._accepted + request.n):
                self._adaptive.note_refused(self._accepted + request.n, now)
        return False

    def _accept(self, request: SlotRequest) -> None:
        if request.state is not RequestState.HOLDING:
            self._move(request, RequestState.HOLDING)
        request.is_accepted = True
        self._accepted += request.n

    def _admit(self) -> None:
        while self._queue.count and (request := self._queue.first(self._below)) and self._fits(request.n):
            self._move(request, RequestState.HOLDING)

    def _move(self, request: SlotRequest, state: RequestState) -> None:
        match request.state:
            case RequestState.QUEUED:
                self._queue.remove(request)
            case RequestState.HOLDING:
                self._used -= request.n
            case RequestState.BACKING_OFF:
                self._backing_off.remove(request.n)
                self._below = min(self._backing_off, default=math.inf)
        request.state = state
        match state:
            case RequestState.QUEUED:
                self._queue.add(request)
            case RequestState.HOLDING:
                self._used += request.n
                if request.granted is not None:
                    request.resolve(None)
            case RequestState.BACKING_OFF:
                self._backing_off.append(request.n)
                self._below = min(self._below, request.n)
            case RequestState.IDLE:
                if request.granted is not None:
                    request.granted.cancel()  # its wait ends with it

    def _fits(self, n: int) -> bool:
        if self._limit is not None:
            return self._used + n <= self._limit
        # A request larger than the limit found so far is sent alone: only the service knows whether it is too large.
        return not self._used or self._adaptive.allows(self._used, n, is_answered=self._used == self._accepted)
