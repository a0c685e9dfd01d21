"""
The account's slots as the vendor counts them: per model, `n` for a task, from the submit until the task has ended.

First come, first served: a large request at the head of the queue is not overtaken by small ones behind it.
"""

import asyncio
import collections
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import attrs

from kling_async.errors import BrokenRule, InvalidRequest

__all__ = ["Hold", "Slots", "Usage"]

USUAL: Final = 9
"""
Slots per model of the vendor's usual image packs.
"""


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
    limit: int
    used: int = 0
    queue: collections.deque[_Turn] = attrs.field(factory=collections.deque, repr=False)

    def has_room(self, n: int) -> bool:
        return not self.queue and self.used + n <= self.limit

    def admit(self) -> None:
        while self.queue and (self.queue[0].came.done() or self.used + self.queue[0].n <= self.limit):
            turn = self.queue.popleft()
            if not turn.came.done():  # else it was cancelled, and has yet to notice
                self.used += turn.n
                turn.came.set_result(None)

    async def wait(self, turn: _Turn) -> None:
        self.queue.append(turn)
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

    def release(self) -> None:
        """
        Give the slots back, and let those who wait for them go on.
        """
        bucket, self._bucket = self._bucket, None
        if bucket is not None:
            bucket.used -= self.n
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
        return self._bucket is not None and self._bucket.used > self.n


@attrs.define(eq=False, repr=False)
class Slots(Mapping[str, Usage]):
    """
    A limit of slots for each model, shared by all that are given this object; as a mapping it tells each model's usage.

    Bound to the event loop in which it is first waited for. None as the limit is the usual one, 9.
    """

    limit: int | None = None
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
        return Usage(bucket.limit, bucket.used, len(bucket.queue))

    def __iter__(self) -> Iterator[str]:
        return iter(self._buckets)

    def __len__(self) -> int:
        return len(self._buckets)

    def check(self, n: int) -> None:
        """
        Raise InvalidRequest where *n* slots can never be had.
        """
        limit = self.limit or USUAL
        if n > limit:
            rule = f"takes {n} slots, and there are {limit}: ask for fewer pictures, or give the client more `slots`"
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
            await bucket.wait(_Turn(n, owner, asyncio.get_running_loop().create_future()))
        return Hold(n, bucket)

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
        return self._buckets.setdefault(model, _Bucket(self.limit or USUAL))

    def _bind(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError("these Slots belong to another event loop; make new ones for each loop")
