"""
The queue of requests for slots: first come, first served.
"""

import asyncio
import enum
import heapq
import itertools
import math
from collections.abc import Callable, Iterator

import attrs

__all__ = ["RequestQueue", "RequestState", "SlotRequest"]


class RequestState(enum.Enum):
    """
    What a request for slots has at the moment.
    """

    IDLE = enum.auto()
    QUEUED = enum.auto()
    HOLDING = enum.auto()  # its slots
    BACKING_OFF = enum.auto()  # refused although no other slot was taken: it pauses before it is sent again


@attrs.define(eq=False)
class SlotRequest:
    """
    A request for *n* slots of one bucket.

    Attributes:
        number: Its place in the order of arrival.
        granted: While it is queued: set to None when it gets its slots, else to what makes the error to raise.
        is_accepted: Whether the service has accepted its task, or may have.
        refused_since: Since when the service has refused it while no other task of this client was running.
    """

    n: int
    owner: object = attrs.field(repr=False)
    number: int
    state: RequestState = attrs.field(default=RequestState.IDLE, init=False)
    granted: asyncio.Future[Callable[[], Exception] | None] | None = attrs.field(default=None, init=False, repr=False)
    is_accepted: bool = attrs.field(default=False, init=False)
    refused_since: float = attrs.field(default=math.inf, init=False)

    def resolve(self, make_error: Callable[[], Exception] | None) -> None:
        """
        End its wait, with an error where *make_error* is given; no effect when it does not wait.
        """
        if self.granted is not None and not self.granted.done():
            self.granted.set_result(make_error)


@attrs.define
class _SizeQueue:
    # Requests of one size in order of arrival; each can leave in constant time.

    requests: dict[int, SlotRequest] = attrs.field(factory=dict)  # by number
    _numbers: list[int] = attrs.field(factory=list)  # a heap; numbers of requests that left are removed lazily

    def add(self, request: SlotRequest) -> None:
        self.requests[request.number] = request
        heapq.heappush(self._numbers, request.number)

    def remove(self, request: SlotRequest) -> None:
        del self.requests[request.number]
        if len(self._numbers) > 2 * len(self.requests):
            # Copying the dictionary frees the memory of its deleted entries.
            self.requests, self._numbers = dict(self.requests), sorted(self.requests)

    def first(self) -> SlotRequest | None:
        while self._numbers and self._numbers[0] not in self.requests:
            heapq.heappop(self._numbers)
        return self.requests[self._numbers[0]] if self._numbers else None


@attrs.define(eq=False)
class RequestQueue:
    """
    All waiting requests of a bucket. A request that was refused and is queued again keeps its place.

    Attributes:
        count: Their number.
    """

    count: int = attrs.field(default=0, init=False)
    _by_size: dict[int, _SizeQueue] = attrs.field(factory=dict, init=False)  # there are few sizes

    def __iter__(self) -> Iterator[SlotRequest]:
        requests = itertools.chain.from_iterable(queue.requests.values() for queue in self._by_size.values())
        return iter(sorted(requests, key=lambda request: request.number))

    def add(self, request: SlotRequest) -> None:
        """
        Add a request at the place of its number.
        """
        self.count += 1
        self._by_size.setdefault(request.n, _SizeQueue()).add(request)

    def remove(self, request: SlotRequest) -> None:
        """
        Remove a request, wherever it stands.
        """
        self.count -= 1
        self._by_size[request.n].remove(request)

    def first(self, below: float) -> SlotRequest | None:
        """
        Return the oldest request for fewer than *below* slots.
        """
        firsts = (queue.first() for n, queue in self._by_size.items() if n < below)
        return min((request for request in firsts if request), key=lambda request: request.number, default=None)
