"""
The slots of an account: how many tasks of each bucket run at a time.

A bucket is a text by which the service counts together, such as a model; how many slots a task takes is up to its
endpoint.
"""

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping

import attrs

from kling_async.client.limits.adaptive import AdaptiveLimit
from kling_async.client.limits.bucket import Bucket, Usage
from kling_async.client.limits.queue import RequestState, SlotRequest
from kling_async.errors import BrokenRule, InvalidRequest, NoFreeSlot, RateLimited
from kling_async.policy.arguments import check_kind, check_whole
from kling_async.policy.policies import SlotPolicy

__all__ = ["SlotLease", "Slots"]


@attrs.define(eq=False)
class SlotLease(SlotRequest):
    """
    The slots of one task, or the request for them. `release` gives them back; calling it again has no effect.

    Attributes:
        is_released: Whether the slots have been given back; nothing else has an effect from then on.
    """

    bucket: Bucket = attrs.field(repr=False)
    is_released: bool = attrs.field(default=False, init=False)

    def release(self) -> None:
        """
        Give the slots back to those that wait.
        """
        if self.is_released:
            return
        self.is_released = True
        bucket = self.bucket
        bucket.move(self, RequestState.IDLE)
        if self.is_accepted:
            self.is_accepted = False
            bucket.accepted -= self.n
            if bucket.queue.count:
                bucket.adaptive.note_ended(asyncio.get_running_loop().time())
        if bucket.queue.count:
            bucket.admit()

    def note_running(self) -> None:
        """
        Take the slots even above the limit: a task that uses them is running, or may be.
        """
        if not self.is_released and not self.is_accepted:
            bucket, self.is_accepted = self.bucket, True
            bucket.accepted += self.n
            bucket.move(self, RequestState.HOLDING)
            if bucket.queue.count:
                bucket.admit()

    def note_accepted(self) -> None:
        """
        The service has accepted the task that uses these slots.
        """
        if not self.is_released and not self.is_accepted:
            bucket = self.bucket
            bucket.rejections.note_accepted(self.n)
            bucket.adaptive.note_accepted(bucket.accepted + self.n, asyncio.get_running_loop().time())
            self.note_running()

    def note_refused(self, error: RateLimited) -> bool:
        """
        The service has refused the submit; return whether to `reacquire` the slots at once rather than after a pause.

        At once if there were too few slots (1303), other tasks of this client run and the limit is being found: the
        limit shrinks, and the slots are lost until one of those tasks ends. If no other task runs, the slots are lost
        for the pause, and smaller requests go on meanwhile. A 429 of a gateway without a reason may mean too many
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
            since = bucket.rejections.note_refused(self.n, now) if is_about_slots else now
            self.refused_since = min(since, self.refused_since)
        match error:
            case NoFreeSlot() if bucket.used == self.n:
                bucket.move(self, RequestState.BACKING_OFF)
                bucket.admit()
            case NoFreeSlot() if bucket.limit is None:
                bucket.adaptive.note_refused(bucket.used, now)
                if error.retry_after is None:
                    bucket.move(self, RequestState.IDLE)
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
        if self.is_released or self.state is RequestState.HOLDING:
            return
        bucket = self.bucket
        if bucket.has_room(self.n):
            bucket.move(self, RequestState.HOLDING)
            return
        self.granted = asyncio.get_running_loop().create_future()
        bucket.move(self, RequestState.QUEUED)
        bucket.admit()
        try:
            make_error = await self.granted
        except BaseException:
            self.is_released = True
            bucket.move(self, RequestState.IDLE)  # the slots may have been granted just before the cancellation
            bucket.admit()
            raise
        if make_error is not None:
            self.is_released = True
            raise make_error()


@attrs.define(eq=False, repr=False)
class Slots(Mapping[str, Usage]):
    """
    A limit of slots for each bucket (a model's tasks of one kind), shared by all clients that are given this object.
    As a mapping it shows the usage of each bucket.

    Bound to the event loop that first waits for slots. If the limit is None it is found: it starts at the usual nine,
    shrinks when the service refuses a task for lack of slots, and grows while requests wait and none is refused.

    Attributes:
        limit: For each bucket; None finds it out.
        policy: How it is found out.

    Raises:
        InvalidRequest: The limit is not a whole number of at least 1, or the policy is not a SlotPolicy.
    """

    limit: int | None = None
    policy: SlotPolicy = attrs.field(factory=SlotPolicy)
    _buckets: dict[str, Bucket] = attrs.field(factory=dict, init=False)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if self.limit is not None:
            check_whole("slots", self.limit)
        check_kind("policy", self.policy, SlotPolicy, "must be a SlotPolicy")

    def __eq__(self, other: object) -> bool:
        return self is other  # the mapping's own comparison would make all unused ones equal

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        buckets = ", ".join(f"{name}: {usage.used}/{usage.limit} +{usage.waiting}" for name, usage in self.items())
        return f"Slots({self.limit or 'found'}; {buckets or 'unused'})"

    def __getitem__(self, bucket: str) -> Usage:
        return self._buckets[bucket].usage

    def __iter__(self) -> Iterator[str]:
        return iter(self._buckets)

    def __len__(self) -> int:
        return len(self._buckets)

    def check(self, n: int) -> None:
        """
        Raise InvalidRequest if *n* is above the limit that was set.
        """
        if self.limit is not None and n > self.limit:
            rule = f"the request takes {n} slots, and there are {self.limit}: ask for less, or raise the client's limit"
            broken = BrokenRule("slots", str(self.limit), rule)
            raise InvalidRequest(str(broken), broken=(broken,))

    def has_room(self, bucket: str, n: int) -> bool:
        """
        Return whether *n* slots of *bucket* are available without waiting.
        """
        return (self._buckets.get(bucket) or self._add(bucket)).has_room(n)

    def acquire_now(self, bucket: str, n: int, *, owner: object = None) -> SlotLease | None:
        """
        Take *n* slots of *bucket* if that is possible without waiting; else return None.
        """
        lease = self._lease(bucket, n, owner)
        if not lease.bucket.has_room(n):
            return None
        lease.bucket.move(lease, RequestState.HOLDING)
        return lease

    async def acquire(self, bucket: str, n: int, *, owner: object = None) -> SlotLease:
        """
        Wait until *n* slots of *bucket* are free and take them. Cancelling this takes none and holds up nothing.
        """
        lease = self._lease(bucket, n, owner)
        await lease.reacquire()
        return lease

    def acquire_running(self, bucket: str, n: int, *, owner: object = None) -> SlotLease:
        """
        Take *n* slots of *bucket* for a task that runs already, such as one of an earlier run: at once, even above the
        limit. Then every `acquire` waits until the usage is below the limit again.
        """
        lease = self._lease(bucket, n, owner)
        lease.note_running()
        return lease

    def fail_waiters(self, owner: object, make_error: Callable[[], Exception]) -> None:
        """
        End every waiting `acquire` of *owner* with an error that *make_error* makes for it.
        """
        for bucket in self._buckets.values():
            bucket.fail_waiters(owner, make_error)

    def _lease(self, bucket: str, n: int, owner: object) -> SlotLease:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError("these Slots belong to another event loop; make new ones for each loop")
        found = self._buckets.get(bucket) or self._add(bucket)
        return SlotLease(n, owner, next(found.numbers), found)

    def _add(self, bucket: str) -> Bucket:
        added = self._buckets[bucket] = Bucket(self.limit, AdaptiveLimit(self.policy))
        return added
