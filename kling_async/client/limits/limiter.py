"""
The slots of an account: how many tasks of each bucket run at a time.

The service counts the tasks of one bucket together; its name is a text such as a model. A task's endpoint says how
many slots it takes.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping

import attrs

from kling_async.client.limits.adaptive import AdaptiveLimit
from kling_async.client.limits.bucket import Bucket, LeaseState, SlotLease, Usage
from kling_async.errors import InvalidRequest
from kling_async.policy.arguments import check_kind, check_whole, slots_rule
from kling_async.policy.policies import SlotPolicy
from kling_async.wire.constructors import explained

__all__ = ["Slots"]


@explained
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
            broken = slots_rule(n, self.limit)
            raise InvalidRequest(str(broken), broken=(broken,))

    def has_room(self, bucket: str, n: int) -> bool:
        """
        Return whether *n* slots of *bucket* are available without waiting.
        """
        return (self._buckets.get(bucket) or self._add(bucket)).has_room(n)

    def acquire_now(self, bucket: str, n: int, *, owner: object = None) -> SlotLease | None:
        """
        Take *n* slots of *bucket* if that is possible without waiting; otherwise return None.
        """
        lease = self._lease(bucket, n, owner)
        if not lease.bucket.has_room(n):
            return None
        lease.bucket.move(lease, LeaseState.HOLDING)
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
            raise RuntimeError("these Slots belong to another event loop; create new ones for each loop")
        bucket_slots = self._buckets.get(bucket) or self._add(bucket)
        return SlotLease(n, owner, next(bucket_slots.numbers), bucket_slots)

    def _add(self, bucket: str) -> Bucket:
        added = self._buckets[bucket] = Bucket(self.limit, AdaptiveLimit(self.policy))
        return added
