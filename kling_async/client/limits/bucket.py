"""
The slots of one bucket, as the vendor counts them: from the submit of a task until its end.

First come, first served: small requests do not overtake a large one at the head of the queue, except while it pauses
after a refusal.
"""

import asyncio
import enum
import heapq
import itertools
import math
from collections.abc import Callable, Iterator

import attrs

from kling_async.client.limits.adaptive import AdaptiveLimit, RejectionTracker
from kling_async.errors import NoFreeSlot, RateLimited

__all__ = ["Bucket", "LeaseState", "SlotLease", "Usage"]


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


class LeaseState(enum.Enum):
    """
    What a lease has at the moment.
    """

    IDLE = enum.auto()
    QUEUED = enum.auto()
    HOLDING = enum.auto()  # its slots
    BACKING_OFF = enum.auto()  # refused although no other slot was taken: it pauses before it is sent again


@attrs.define(eq=False, repr=False, weakref_slot=False)
class SlotLease:
    """
    The *n* slots of one task, or the request for them. `release` gives them back; calling it again has no effect.

    Attributes:
        number: Its place in the order of arrival.
        granted: While it is queued: set to None when it gets its slots, otherwise to a function that returns the error
        to raise.
        is_accepted: Whether the service has accepted its task, or may have.
        refused_since: Since when the service has refused it while no other task of this client was running.
        is_released: Whether the slots have been given back; nothing else has an effect from then on.
    """

    n: int
    owner: object
    number: int
    bucket: "Bucket"
    state: LeaseState = attrs.field(default=LeaseState.IDLE, init=False)
    granted: asyncio.Future[Callable[[], Exception] | None] | None = attrs.field(default=None, init=False)
    is_accepted: bool = attrs.field(default=False, init=False)
    refused_since: float = attrs.field(default=math.inf, init=False)
    is_released: bool = attrs.field(default=False, init=False)

    def release(self) -> None:
        """
        Give the slots back to those that wait.
        """
        if self.is_released:
            return
        self.is_released = True
        bucket = self.bucket
        bucket.move(self, LeaseState.IDLE)
        if self.is_accepted:
            self.is_accepted = False
            bucket.accepted -= self.n
            if bucket.queue.count:
                bucket.adaptive.note_ended(asyncio.get_running_loop().time())
        if bucket.queue.count:
            bucket.admit()

    def note_running(self, *, was_accepted_now: bool = False) -> None:
        """
        Take the slots even above the limit: a task that uses them is running, or may be.

        Args:
            was_accepted_now: The service has just accepted it, so the account has all slots that are in use now.
        """
        if self.is_released or self.is_accepted:
            return
        bucket, self.is_accepted = self.bucket, True
        bucket.accepted += self.n
        if was_accepted_now:
            bucket.most_granted = max(bucket.most_granted, self.n)
            bucket.adaptive.note_accepted(bucket.accepted, asyncio.get_running_loop().time())
        if self.state is not LeaseState.HOLDING:
            bucket.move(self, LeaseState.HOLDING)
        if bucket.queue.count:
            bucket.admit()

    def note_refused(self, error: RateLimited) -> bool:
        """
        The service has refused the submit; return whether to `reacquire` the slots at once rather than after a pause.

        At once if there were too few slots (1303), other tasks of this client run and the limit is being found: the
        limit shrinks, and the slots are lost until one of those tasks ends. If no other task runs, the slots are lost
        for the pause, and smaller requests continue meanwhile. A 429 of a gateway without a reason may mean too many
        requests or too many slots: it shrinks the limit if that many slots were never in use before.
        """
        if self.is_released:
            return False
        bucket, now = self.bucket, asyncio.get_running_loop().time()
        if self.is_accepted:  # it was counted as running, and does not run
            self.is_accepted = False
            bucket.accepted -= self.n
        is_vague = not isinstance(error, NoFreeSlot) and not isinstance(error.code, int)
        if bucket.accepted:
            self.refused_since = math.inf
        else:
            is_about_slots = is_vague or isinstance(error, NoFreeSlot)
            since = bucket.rejections.note_refused(self.n, now, bucket.most_granted) if is_about_slots else now
            self.refused_since = min(since, self.refused_since)
        match error:
            case NoFreeSlot() if bucket.used == self.n:
                bucket.move(self, LeaseState.BACKING_OFF)
                bucket.admit()
            case NoFreeSlot() if bucket.limit is None:
                bucket.adaptive.note_refused(bucket.used, now)
                if error.retry_after is None:
                    bucket.move(self, LeaseState.IDLE)
                    return True
            case _ if is_vague and bucket.accepted and bucket.adaptive.is_unproven(bucket.accepted + self.n):
                bucket.adaptive.note_refused(bucket.accepted + self.n, now)
        return False

    def refused_seconds(self) -> float:
        """
        Return for how many seconds the service has refused this, as of the last refusal, while no other task of this
        client was running; 0.0 if one was running, since its end may free enough slots.

        A request for more slots than were ever granted counts from the first refusal of any such request, so that only
        one of them waits until it is given up.
        """
        return max(0.0, asyncio.get_running_loop().time() - self.refused_since)

    async def reacquire(self) -> None:
        """
        Wait for the slots, at first or after a refusal took them away; returns at once if it has them. Cancelling this
        gives them up and holds up no other request.
        """
        if self.is_released or self.state is LeaseState.HOLDING:
            return
        bucket = self.bucket
        if bucket.has_room(self.n):
            bucket.move(self, LeaseState.HOLDING)
            return
        self.granted = asyncio.get_running_loop().create_future()
        bucket.move(self, LeaseState.QUEUED)
        bucket.admit()
        try:
            make_error = await self.granted
        except BaseException:
            self.is_released = True
            bucket.move(self, LeaseState.IDLE)  # the slots may have been granted just before the cancellation
            bucket.admit()
            raise
        if make_error is not None:
            self.is_released = True
            raise make_error()

    def resolve(self, make_error: Callable[[], Exception] | None) -> None:
        """
        End its wait, with an error if *make_error* is given; no effect if it does not wait.
        """
        if self.granted is not None and not self.granted.done():
            self.granted.set_result(make_error)


@attrs.define(eq=False, repr=False)
class _SizeQueue:
    # Requests of one size in order of arrival; each can leave in constant time.

    requests: dict[int, SlotLease] = attrs.field(factory=dict)  # by number
    _numbers: list[int] = attrs.field(factory=list)  # a heap; numbers of requests that left are removed lazily

    def add(self, request: SlotLease) -> None:
        self.requests[request.number] = request
        heapq.heappush(self._numbers, request.number)

    def remove(self, request: SlotLease) -> None:
        del self.requests[request.number]
        if len(self._numbers) > 2 * len(self.requests):
            # Copying the dictionary frees the memory of its deleted entries.
            self.requests, self._numbers = dict(self.requests), sorted(self.requests)

    def first(self) -> SlotLease | None:
        while self._numbers and self._numbers[0] not in self.requests:
            heapq.heappop(self._numbers)
        return self.requests[self._numbers[0]] if self._numbers else None


@attrs.define(eq=False, repr=False)
class RequestQueue:
    """
    All waiting requests of a bucket. A request that was refused and is queued again keeps its place.

    Attributes:
        count: Their number.
    """

    count: int = attrs.field(default=0, init=False)
    _by_size: dict[int, _SizeQueue] = attrs.field(factory=dict, init=False)  # there are few sizes

    def __iter__(self) -> Iterator[SlotLease]:
        requests = itertools.chain.from_iterable(queue.requests.values() for queue in self._by_size.values())
        return iter(sorted(requests, key=lambda request: request.number))

    def add(self, request: SlotLease) -> None:
        """
        Add a request at the place of its number.
        """
        self.count += 1
        self._by_size.setdefault(request.n, _SizeQueue()).add(request)

    def remove(self, request: SlotLease) -> None:
        """
        Remove a request from any place in the queue.
        """
        self.count -= 1
        self._by_size[request.n].remove(request)

    def first(self, below: float) -> SlotLease | None:
        """
        Return the oldest request for fewer than *below* slots.
        """
        firsts = (queue.first() for n, queue in self._by_size.items() if n < below)
        return min((request for request in firsts if request), key=lambda request: request.number, default=None)


@attrs.define(eq=False, repr=False)
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
        most_granted: Slots of the largest request that was accepted; every account has at least one.
    """

    limit: int | None
    adaptive: AdaptiveLimit
    rejections: RejectionTracker = attrs.field(factory=RejectionTracker, init=False)
    used: int = attrs.field(default=0, init=False)
    accepted: int = attrs.field(default=0, init=False)
    queue: RequestQueue = attrs.field(factory=RequestQueue, init=False)
    below: float = attrs.field(default=math.inf, init=False)
    numbers: Iterator[int] = attrs.field(factory=itertools.count, init=False)
    most_granted: int = attrs.field(default=1, init=False)
    _backing_off: list[int] = attrs.field(factory=list, init=False)  # sizes of the requests in this state

    @property
    def usage(self) -> Usage:
        """
        How many slots there are, are used and are waited for.
        """
        return Usage(self.limit or self.adaptive.limit, self.used, self.queue.count + len(self._backing_off))

    def has_room(self, n: int, *, is_first: bool = False) -> bool:
        """
        Return whether *n* slots are available without waiting, for a new request or the *is_first* of the queue.
        """
        if n >= self.below or (not is_first and self.queue.count and self.queue.first(self.below) is not None):
            return False
        if self.limit is not None:
            return self.used + n <= self.limit
        # A request larger than the limit found so far is sent by itself: only the service knows whether it is too
        # large.
        return not self.used or self.adaptive.allows(self.used, n, is_answered=self.used == self.accepted)

    def admit(self) -> None:
        """
        Give free slots to the requests that wait for them.
        """
        queue = self.queue
        while queue.count and (request := queue.first(self.below)) and self.has_room(request.n, is_first=True):
            self.move(request, LeaseState.HOLDING)

    def fail_waiters(self, owner: object, make_error: Callable[[], Exception]) -> None:
        """
        End the waits of the requests of *owner* with an error.
        """
        for request in [request for request in self.queue if request.owner is owner]:
            request.resolve(make_error)
            self.move(request, LeaseState.IDLE)
        self.admit()

    def move(self, request: SlotLease, state: LeaseState) -> None:
        """
        Change the state of *request*, and count its slots by that.
        """
        match request.state:
            case LeaseState.QUEUED:
                self.queue.remove(request)
            case LeaseState.HOLDING:
                self.used -= request.n
            case LeaseState.BACKING_OFF:
                self._backing_off.remove(request.n)
                self.below = min(self._backing_off, default=math.inf)
        request.state = state
        match state:
            case LeaseState.QUEUED:
                self.queue.add(request)
            case LeaseState.HOLDING:
                self.used += request.n
                if request.granted is not None:
                    request.resolve(None)
            case LeaseState.BACKING_OFF:
                self._backing_off.append(request.n)
                self.below = min(self.below, request.n)
            case LeaseState.IDLE:
                if request.granted is not None:
                    request.granted.cancel()  # its wait ends with it
