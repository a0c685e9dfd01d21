"""
The account's slots as the vendor counts them: per model, `n` for a task, from the submit until the task has ended.

First come, first served: a large request at the head of the queue is not overtaken by small ones behind it, but while
it pauses because the service refused it.
"""

import asyncio
import enum
import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Mapping

import attrs

from kling_async.client.limits.adaptive import AdaptiveLimit
from kling_async.client.limits.rejections import RejectionTracker
from kling_async.errors import BrokenRule, InvalidRequest, NoFreeSlot, RateLimited
from kling_async.policy.arguments import check_kind, check_whole
from kling_async.policy.policies import SlotPolicy

__all__ = ["SlotLease", "Slots", "Usage"]


@attrs.frozen
class Usage:
    """
    Slots of one model.

    Attributes:
        limit: As it was given, or as it is known now.
        used: Taken by tasks that run, and by submits on their way.
        waiting: Submits that wait for some, however many each wants.
    """

    limit: int
    used: int
    waiting: int


class _Place(enum.Enum):
    NOWHERE = enum.auto()
    QUEUE = enum.auto()
    SLOTS = enum.auto()
    BACKING_OFF = enum.auto()  # refused though no other slot was taken: there is time to wait out


@attrs.define(eq=False)
class SlotRequest:
    n: int
    owner: object
    number: int  # in the order of coming
    place: _Place = _Place.NOWHERE
    came: asyncio.Future[Callable[[], Exception] | None] | None = None
    is_accepted: bool = False
    refused_since: float = math.inf

    def answer(self, make_error: Callable[[], Exception] | None) -> None:
        if self.came is not None and not self.came.done():
            self.came.set_result(make_error)


@attrs.define
class _Line:
    """
    Waiting claims of one size in the order of coming, each of which can leave in constant time.
    """

    claims: dict[int, SlotRequest] = attrs.field(factory=dict)  # by number
    _numbers: list[int] = attrs.field(factory=list)  # a heap, in which numbers stay that have left

    def add(self, claim: SlotRequest) -> None:
        self.claims[claim.number] = claim
        heapq.heappush(self._numbers, claim.number)

    def remove(self, claim: SlotRequest) -> None:
        del self.claims[claim.number]
        if len(self._numbers) > 2 * len(self.claims):
            self.claims, self._numbers = dict(self.claims), sorted(self.claims)  # as small as can be

    def first(self) -> SlotRequest | None:
        while self._numbers and self._numbers[0] not in self.claims:
            heapq.heappop(self._numbers)
        return self.claims[self._numbers[0]] if self._numbers else None


@attrs.define(eq=False)
class _Queue:
    """
    All waiting claims of a bucket. One that was refused and comes back stands before all that came later.
    """

    _lines: dict[int, _Line] = attrs.field(factory=dict)  # by size, of which there are few

    def __len__(self) -> int:
        return sum(len(line.claims) for line in self._lines.values())

    def __iter__(self) -> Iterator[SlotRequest]:
        claims = itertools.chain.from_iterable(line.claims.values() for line in self._lines.values())
        return iter(sorted(claims, key=lambda claim: claim.number))

    def add(self, claim: SlotRequest) -> None:
        self._lines.setdefault(claim.n, _Line()).add(claim)

    def remove(self, claim: SlotRequest) -> None:
        self._lines[claim.n].remove(claim)

    def first(self, below: float) -> SlotRequest | None:
        """
        Return the claim of fewer than *below* slots that came first.
        """
        firsts = (line.first() for n, line in self._lines.items() if n < below)
        return min((claim for claim in firsts if claim is not None), key=lambda claim: claim.number, default=None)


@attrs.define(eq=False)
class _Bucket:
    given: int | None
    width: AdaptiveLimit  # what is known of the limit where none is given
    refusals: RejectionTracker = attrs.field(factory=RejectionTracker)
    used: int = 0
    accepted: int = 0
    queue: _Queue = attrs.field(factory=_Queue)
    resting: list[int] = attrs.field(factory=list)
    numbers: Iterator[int] = attrs.field(factory=itertools.count)

    @property
    def usage(self) -> Usage:
        return Usage(self.given or self.width.limit, self.used, len(self.queue) + len(self.resting))

    def make_claim(self, n: int, owner: object) -> SlotRequest:
        return SlotRequest(n, owner, next(self.numbers))

    def has_room(self, n: int) -> bool:
        return self._next() is None and n < self._least_resting() and self._fits(n)

    async def wait(self, claim: SlotRequest) -> None:
        if self.has_room(claim.n):
            self.move(claim, _Place.SLOTS)
            return
        claim.came = asyncio.get_running_loop().create_future()
        self.move(claim, _Place.QUEUE)
        self.admit()
        try:
            make_error = await claim.came
        except BaseException:
            self.move(claim, _Place.NOWHERE)  # the slots may have come in the very moment of the cancelling
            self.admit()
            raise
        if make_error is not None:
            raise make_error()

    def admit(self) -> None:
        while (claim := self._next()) is not None and self._fits(claim.n):
            self.move(claim, _Place.SLOTS)

    def accept(self, claim: SlotRequest) -> None:
        self.move(claim, _Place.SLOTS)
        claim.is_accepted = True
        self.accepted += claim.n

    def release(self, claim: SlotRequest) -> None:
        self.move(claim, _Place.NOWHERE)
        if claim.is_accepted:
            claim.is_accepted = False
            self.accepted -= claim.n
            if self.queue:
                self.width.ended(asyncio.get_running_loop().time())
        self.admit()

    def dismiss(self, owner: object, make_error: Callable[[], Exception]) -> None:
        for claim in [claim for claim in self.queue if claim.owner is owner]:
            claim.answer(make_error)
            self.move(claim, _Place.NOWHERE)
        self.admit()

    def move(self, claim: SlotRequest, place: _Place) -> None:
        match claim.place:
            case _Place.QUEUE:
                self.queue.remove(claim)
            case _Place.SLOTS:
                self.used -= claim.n
            case _Place.BACKING_OFF:
                self.resting.remove(claim.n)
        claim.place = place
        match place:
            case _Place.QUEUE:
                self.queue.add(claim)
            case _Place.SLOTS:
                self.used += claim.n
                claim.answer(None)
            case _Place.BACKING_OFF:
                self.resting.append(claim.n)
            case _Place.NOWHERE:
                if claim.came is not None:
                    claim.came.cancel()  # of what is given up nobody goes on waiting

    def _next(self) -> SlotRequest | None:
        return self.queue.first(self._least_resting())

    def _least_resting(self) -> float:
        # What is as large as a request that rests would be refused as well; what is smaller need not rest with it.
        return min(self.resting, default=math.inf)

    def _fits(self, n: int) -> bool:
        if self.given is not None:
            return self.used + n <= self.given
        # A request larger than a limit that was found is sent alone: only the service can tell whether it is too large.
        return not self.used or self.width.allows(self.used, n, is_answered=self.used == self.accepted)


@attrs.define(eq=False)
class SlotLease:
    """
    Slots that one task takes; `release` gives them back, once, however often it is called.
    """

    _claim: SlotRequest = attrs.field(repr=False)
    _bucket: _Bucket | None = attrs.field(repr=False)

    @property
    def n(self) -> int:
        """
        How many they are.
        """
        return self._claim.n

    @property
    def is_released(self) -> bool:
        """
        Whether the slots have been given back.
        """
        return self._bucket is None

    def release(self) -> None:
        """
        Give the slots back, and let those who wait for them go on.
        """
        bucket, self._bucket = self._bucket, None
        if bucket is not None:
            bucket.release(self._claim)

    def count(self) -> None:
        """
        Have the slots taken, though there may be no room: a task that takes them is running, or may be.
        """
        bucket = self._bucket
        if bucket is not None and not self._claim.is_accepted:
            bucket.accept(self._claim)
            bucket.admit()

    def accepted(self) -> None:
        """
        Learn that the service has accepted the task that takes these slots.
        """
        bucket = self._bucket
        if bucket is None or self._claim.is_accepted:
            return
        bucket.accept(self._claim)
        bucket.refusals.accepted(self.n)
        bucket.width.accepted(bucket.accepted, asyncio.get_running_loop().time())
        bucket.admit()

    def refused(self, error: RateLimited) -> bool:
        """
        Learn that the service refused the submit, and tell whether to come back by `regain` at once or after a pause.

        At once where slots were wanting (1303), others of ours are taken and the limit is found: it shrinks, and the
        slots are lost until one of those tasks ends. Where no other was taken they are lost for the pause, and smaller
        requests go on meanwhile. A 429 of a gateway that does not say what there was too much of may mean requests or
        slots: it shrinks the limit where so many slots were never in use before.
        """
        bucket, claim = self._bucket, self._claim
        if bucket is None:
            return False
        if claim.is_accepted:  # it was only thought to be
            claim.is_accepted = False
            bucket.accepted -= claim.n
        now = asyncio.get_running_loop().time()
        is_vague = not isinstance(error, NoFreeSlot) and not isinstance(error.code, int)
        if bucket.accepted:
            claim.refused_since = math.inf
        else:
            is_about_n = is_vague or isinstance(error, NoFreeSlot)
            since = bucket.refusals.refused(claim.n, now) if is_about_n else now
            claim.refused_since = min(since, claim.refused_since)
        match error:
            case NoFreeSlot() if bucket.used == claim.n:
                bucket.move(claim, _Place.BACKING_OFF)
                bucket.admit()
            case NoFreeSlot() if bucket.given is None:
                bucket.width.refused(bucket.used, now)
                if error.retry_after is None:
                    bucket.move(claim, _Place.NOWHERE)
                    return True
            case _ if is_vague and bucket.accepted and bucket.width.is_news(bucket.accepted + claim.n):
                bucket.width.refused(bucket.accepted + claim.n, now)
        return False

    def refused_for(self) -> float:
        """
        Return for how many seconds this had been refused, with no other task of ours running, when it last was; 0.0
        where one was running, since its end may be all that is wanting.

        A request for more slots than were ever accepted counts from the first refusal of any such, so that only one
        waits in vain.
        """
        return max(0.0, asyncio.get_running_loop().time() - self._claim.refused_since)

    async def regain(self) -> None:
        """
        Wait for the slots that a refusal took away; at once where none did. Cancelling this gives them up.
        """
        bucket = self._bucket
        if bucket is None or self._claim.place is _Place.SLOTS:
            return
        try:
            await bucket.wait(self._claim)
        except BaseException:
            self._bucket = None
            raise


@attrs.define(eq=False, repr=False)
class Slots(Mapping[str, Usage]):
    """
    A limit of slots for each model, shared by all that are given this object; as a mapping it tells each model's usage.

    Bound to the event loop in which it is first waited for. Where the limit is None it is found: it begins at the usual
    nine, shrinks when the service refuses for want of slots, and grows while more are wanted and all goes well.

    Attributes:
        limit: For each model; None where it is found.
        policy: How it is found.

    Raises:
        InvalidRequest: The limit is no whole number of at least 1, or the policy is none.
    """

    limit: int | None = None
    policy: SlotPolicy = attrs.field(factory=SlotPolicy)
    _buckets: dict[str, _Bucket] = attrs.field(factory=dict, init=False)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if self.limit is not None:
            check_whole("slots", self.limit)
        check_kind("policy", self.policy, SlotPolicy, "must be a SlotPolicy")

    def __eq__(self, other: object) -> bool:
        return self is other  # a mapping's own would take all unused ones for one

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        models = ", ".join(f"{model}: {usage.used}/{usage.limit} +{usage.waiting}" for model, usage in self.items())
        return f"Slots({self.limit or 'found'}; {models or 'unused'})"

    def __getitem__(self, model: str) -> Usage:
        return self._buckets[model].usage

    def __iter__(self) -> Iterator[str]:
        return iter(self._buckets)

    def __len__(self) -> int:
        return len(self._buckets)

    def check(self, n: int) -> None:
        """
        Raise InvalidRequest where *n* slots can never be had.
        """
        if self.limit is not None and n > self.limit:
            rule = (
                f"takes {n} slots, and there are {self.limit}: ask for fewer pictures, or give the client more `slots`"
            )
            broken = BrokenRule("n", str(n), rule)
            raise InvalidRequest(str(broken), broken=(broken,))

    def has_room(self, model: str, n: int) -> bool:
        """
        Tell whether *n* slots of *model* can be had without waiting.
        """
        return self._bucket(model).has_room(n)

    async def take(self, model: str, n: int, *, owner: object = None) -> SlotLease:
        """
        Wait until *n* slots of *model* are free and take them. Cancelling this takes none and keeps nobody waiting.
        """
        hold = self._hold(model, n, owner)
        await hold.regain()
        return hold

    def count(self, model: str, n: int, *, owner: object = None) -> SlotLease:
        """
        Take *n* slots of *model* for a task that runs already, such as one of an earlier run; at once, though the limit
        be exceeded: then every `take` waits until there is room again.
        """
        hold = self._hold(model, n, owner)
        hold.count()
        return hold

    def dismiss(self, owner: object, make_error: Callable[[], Exception]) -> None:
        """
        End the waiting of every `take` of *owner* with an error of its own.
        """
        for bucket in self._buckets.values():
            bucket.dismiss(owner, make_error)

    def _hold(self, model: str, n: int, owner: object) -> SlotLease:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError("these Slots belong to another event loop; make new ones for each loop")
        bucket = self._bucket(model)
        return SlotLease(bucket.make_claim(n, owner), bucket)

    def _bucket(self, model: str) -> _Bucket:
        bucket = self._buckets.get(model)
        if bucket is None:
            bucket = self._buckets[model] = _Bucket(self.limit, AdaptiveLimit(self.policy))
        return bucket
