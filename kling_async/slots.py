"""
The account's slots as the vendor counts them: per model, `n` for a task, from the submit until the task has ended.

First come, first served: a large request at the head of the queue is not overtaken by small ones behind it.
"""

import asyncio
import collections
from collections.abc import Callable, Iterator, Mapping

import attrs

from kling_async.errors import BrokenRule, InvalidRequest, NoFreeSlot, RateLimited
from kling_async.policy import SlotPolicy
from kling_async.width import Width

__all__ = ["Hold", "Slots", "Usage"]


@attrs.frozen
class Usage:
    """
    Slots of one model: the limit, how many are taken, and how many submits wait for some.
    """

    limit: int
    used: int
    waiting: int


@attrs.frozen(eq=False)
class _Turn:
    n: int
    owner: object
    came: asyncio.Future[None]


@attrs.define(eq=False)
class _Bucket:
    limit: int  # while it is not found
    width: Width | None  # where it is
    used: int = 0
    accepted: int = 0
    queue: collections.deque[_Turn] = attrs.field(factory=collections.deque, repr=False)

    def fits(self, n: int) -> bool:
        # A request larger than a limit that was found is sent alone: only the service can tell whether it is too large.
        limit = self.limit if self.width is None else self.width.limit
        return self.used + n <= limit or (self.width is not None and not self.used)

    def has_room(self, n: int) -> bool:
        return not self.queue and self.fits(n)

    def admit(self) -> None:
        while self.queue and (self.queue[0].came.done() or self.fits(self.queue[0].n)):
            turn = self.queue.popleft()
            if not turn.came.done():  # else it was cancelled, and has yet to notice
                self.used += turn.n
                turn.came.set_result(None)

    async def wait(self, turn: _Turn) -> None:
        try:
            await turn.came
        except BaseException:
            if turn in self.queue:
                self.queue.remove(turn)
            elif not turn.came.cancelled() and turn.came.exception() is None:
                self.used -= turn.n  # the slots came in the very moment of the cancelling
            self.admit()
            raise


@attrs.define(eq=False)
class Hold:
    """
    Slots that one task takes; `release` gives them back, once, however often it is called.
    """

    n: int
    _bucket: _Bucket | None = attrs.field(repr=False)
    _owner: object = attrs.field(default=None, repr=False)
    _turn: _Turn | None = attrs.field(default=None, init=False, repr=False)
    _is_accepted: bool = attrs.field(default=False, init=False, repr=False)

    def release(self) -> None:
        """
        Give the slots back, and let those who wait for them go on.
        """
        bucket, self._bucket = self._bucket, None
        if bucket is None:
            return
        if self._turn is None:
            bucket.used -= self.n
        elif not self._turn.came.done():
            bucket.queue.remove(self._turn)
        elif not self._turn.came.cancelled() and self._turn.came.exception() is None:
            bucket.used -= self.n
        if self._is_accepted:
            bucket.accepted -= self.n
        bucket.admit()

    @property
    def is_released(self) -> bool:
        """
        Whether the slots have been given back.
        """
        return self._bucket is None

    def has_company(self) -> bool:
        """
        Whether other tasks take slots of the same model now.
        """
        own = self.n if self._turn is None else 0
        return self._bucket is not None and self._bucket.used > own

    def accepted(self) -> None:
        """
        Learn that the service has accepted the task that takes these slots.
        """
        bucket = self._bucket
        if bucket is None or self._is_accepted:
            return
        self._is_accepted = True
        bucket.accepted += self.n
        if bucket.width is not None:
            now = asyncio.get_running_loop().time()
            bucket.width.accepted(bucket.accepted, now, is_full=bool(bucket.queue))
            bucket.admit()

    def refused(self, error: RateLimited) -> bool:
        """
        Learn that the service refused the submit, and tell whether to come back by `regain` rather than after a pause.

        Where the limit is found it shrinks, and this goes back to the head of the queue. A 429 of a gateway that does
        not say what there was too much of may mean requests or slots: it shrinks the limit where so many slots were
        never in use before, and is waited out by time.
        """
        bucket = self._bucket
        if bucket is None or bucket.width is None or self._turn is not None or not self.has_company():
            return False
        loop = asyncio.get_running_loop()
        if not isinstance(error, NoFreeSlot):
            level = bucket.accepted + self.n
            if bucket.accepted and not isinstance(error.code, int) and bucket.width.is_news(level):
                bucket.width.refused(level, loop.time())
            return False
        bucket.width.refused(bucket.used, loop.time())
        bucket.used -= self.n
        self._turn = _Turn(self.n, self._owner, loop.create_future())
        bucket.queue.appendleft(self._turn)
        bucket.admit()
        return True

    async def regain(self) -> None:
        """
        Wait for the slots that a refusal took away; at once where none did. Cancelling this gives them up.
        """
        bucket, turn = self._bucket, self._turn
        if bucket is None or turn is None:
            return
        try:
            await bucket.wait(turn)
        except BaseException:
            self._bucket = None
            raise
        self._turn = None


@attrs.define(eq=False, repr=False)
class Slots(Mapping[str, Usage]):
    """
    A limit of slots for each model, shared by all that are given this object; as a mapping it tells each model's usage.

    Bound to the event loop in which it is first waited for. Where the limit is None it is found: it begins at the usual
    nine, shrinks when the service refuses for want of slots, and grows slowly while all goes well.
    """

    limit: int | None = None
    policy: SlotPolicy = attrs.field(factory=SlotPolicy)
    _buckets: dict[str, _Bucket] = attrs.field(factory=dict, init=False)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        limit = self.limit
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise ValueError(f"slots={self.limit!r}: must be a whole number of at least 1, or None")

    __eq__ = object.__eq__  # a mapping's own would take all unused ones for one
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        models = ", ".join(f"{model}: {usage.used}/{usage.limit} +{usage.waiting}" for model, usage in self.items())
        return f"Slots({self.limit or 'found'}; {models or 'unused'})"

    def __getitem__(self, model: str) -> Usage:
        bucket = self._buckets[model]
        return Usage(bucket.width.limit if bucket.width else bucket.limit, bucket.used, len(bucket.queue))

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

    async def take(self, model: str, n: int, *, owner: object = None) -> Hold:
        """
        Wait until *n* slots of *model* are free and take them. Cancelling this takes none and keeps nobody waiting.
        """
        self._bind()
        bucket = self._bucket(model)
        if bucket.has_room(n):
            bucket.used += n
        else:
            turn = _Turn(n, owner, asyncio.get_running_loop().create_future())
            bucket.queue.append(turn)
            await bucket.wait(turn)
        return Hold(n, bucket, owner)

    def count(self, model: str, n: int, *, owner: object = None) -> Hold:
        """
        Count *n* slots of *model* as taken at once, even beyond the limit: a task has them already.
        """
        self._bind()
        bucket = self._bucket(model)
        bucket.used += n
        return Hold(n, bucket, owner)

    def dismiss(self, owner: object, make_error: Callable[[], Exception]) -> None:
        """
        End the waiting of every `take` of *owner* with an error of its own.
        """
        for bucket in self._buckets.values():
            for turn in [turn for turn in bucket.queue if turn.owner is owner and not turn.came.done()]:
                turn.came.set_exception(make_error())
                bucket.queue.remove(turn)
            bucket.admit()

    def _bucket(self, model: str) -> _Bucket:
        bucket = self._buckets.get(model)
        if bucket is None:
            width = Width(self.policy) if self.limit is None else None
            bucket = self._buckets[model] = _Bucket(self.limit or self.policy.start, width)
        return bucket

    def _bind(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError("these Slots belong to another event loop; make new ones for each loop")
