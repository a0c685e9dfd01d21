"""
The slots of an account: how many tasks of each bucket run at a time.

A bucket is a text by which the service counts together, such as a model; how many slots a task takes is up to its
endpoint.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping

import attrs

from kling_async.client.limits.adaptive import AdaptiveLimit
from kling_async.client.limits.bucket import Bucket, Usage
from kling_async.client.limits.queue import RequestState, SlotRequest
from kling_async.errors import BrokenRule, InvalidRequest, RateLimited
from kling_async.policy.arguments import check_kind, check_whole
from kling_async.policy.policies import SlotPolicy

__all__ = ["SlotLease", "Slots"]


@attrs.define(eq=False)
class SlotLease:
    """
    The slots of one task. `release` gives them back; calling it again has no effect.
    """

    _request: SlotRequest = attrs.field(repr=False)
    _bucket: Bucket | None = attrs.field(repr=False)

    @property
    def n(self) -> int:
        """
        The number of slots.
        """
        return self._request.n

    @property
    def is_released(self) -> bool:
        """
        Whether the slots have been given back.
        """
        return self._bucket is None

    def take_now(self) -> bool:
        """
        Take the slots if they are free, and return whether they were.
        """
        return self._bucket is not None and self._bucket.take_now(self._request)

    def release(self) -> None:
        """
        Give the slots back to those that wait.
        """
        bucket, self._bucket = self._bucket, None
        if bucket is not None:
            bucket.release(self._request)

    def note_running(self) -> None:
        """
        Take the slots even above the limit: a task that uses them is running, or may be.
        """
        if self._bucket is not None:
            self._bucket.note_running(self._request)

    def note_accepted(self) -> None:
        """
        The service has accepted the task that uses these slots.
        """
        if self._bucket is not None:
            self._bucket.note_accepted(self._request)

    def note_refused(self, error: RateLimited) -> bool:
        """
        The service has refused the submit; return whether to `reacquire` the slots at once rather than after a pause.

        At once if there were too few slots (1303), other tasks of this client run and the limit is being found: the
        limit shrinks, and the slots are lost until one of those tasks ends. If no other task runs, the slots are lost
        for the pause, and smaller requests go on meanwhile. A 429 of a gateway without a reason may mean too many
        requests or too many slots: it shrinks the limit if that many slots were never in use before.
        """
        return self._bucket is not None and self._bucket.note_refused(self._request, error)

    def refused_seconds(self) -> float:
        """
        Return for how many seconds the service has refused this, as of the last refusal, while no other task of this
        client was running; 0.0 if one was running, since its end may free enough slots.

        A request for more slots than were ever granted counts from the first refusal of any such request, so that only
        one of them waits until it is given up.
        """
        return max(0.0, asyncio.get_running_loop().time() - self._request.refused_since)

    async def reacquire(self) -> None:
        """
        Wait for the slots that a refusal took away; returns at once if none did. Cancelling this gives them up.
        """
        if self._bucket is None or self._request.state is RequestState.HOLDING:
            return
        try:
            await self._bucket.acquire(self._request)
        except BaseException:
            self._bucket = None
            raise


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
        return self._bucket(bucket).has_room(n)

    def acquire_now(self, bucket: str, n: int, *, owner: object = None) -> SlotLease | None:
        """
        Take *n* slots of *bucket* if that is possible without waiting; else return None.
        """
        lease = self._lease(bucket, n, owner)
        return lease if lease.take_now() else None

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
        found = self._bucket(bucket)
        return SlotLease(SlotRequest(n, owner, next(found.numbers)), found)

    def _bucket(self, name: str) -> Bucket:
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = Bucket(self.limit, AdaptiveLimit(self.policy))
        return bucket
