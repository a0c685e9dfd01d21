"""
Routes callbacks to tasks: a submit has an address before its task has an id.
"""

import asyncio
import secrets
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import attrs

from kling_async.client.callbacks.receiver import CallbackReceiver, Listener
from kling_async.client.handle import TaskHandle
from kling_async.client.polling.poller import Poller
from kling_async.wire.endpoints.base import stands_in_path
from kling_async.wire.status import is_final, merge
from kling_async.wire.tasks import TaskSnapshot, TaskStatus

__all__ = ["CallbackRouter", "CallbackSubscription"]

MAX_UNCLAIMED: Final = 256
"""
Maximum number of submits without a subscription whose callbacks are kept.
"""


@attrs.define(eq=False)
class CallbackSubscription:
    """
    The callbacks of one submit. Those that come before its task is known are kept for it.

    Attributes:
        address: Where the service sends them. It is a secret.
        key: Of the submit.
    """

    address: str = attrs.field(repr=False)
    _router: "CallbackRouter" = attrs.field(repr=False)
    key: str
    _handle: TaskHandle | None = attrs.field(default=None, init=False)
    _last: TaskSnapshot | None = attrs.field(default=None, init=False)  # trusted or not
    _early: dict[bool, TaskSnapshot] = attrs.field(factory=dict, init=False)  # the last one, by whether it is trusted
    _first: "asyncio.Future[None] | None" = attrs.field(default=None, init=False)
    _on_late_task: Callable[[TaskSnapshot], object] | None = attrs.field(default=None, init=False)
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)

    @property
    def is_reliable(self) -> bool:
        """
        Whether callbacks can be relied on now.
        """
        return self._router.is_reliable

    @property
    def received(self) -> TaskSnapshot | None:
        """
        What callbacks have said before the task was known; None if none has come.
        """
        return self._early.get(True) or self._early.get(False)

    @property
    def task(self) -> TaskSnapshot | None:
        """
        The task that a callback has reported, as if it had just been accepted; None if none has come.

        Only the service knows the address, so there is such a task; what else an unsigned callback says may be false.
        """
        received = self.received
        if received is None or not stands_in_path(received.task_id):  # a task with such an id could not be polled
            return None
        return TaskSnapshot(task_id=received.task_id, task_status=TaskStatus.SUBMITTED, status_word="submitted")

    async def wait(self, seconds: float) -> TaskSnapshot | None:
        """
        Wait until a callback has reported the task, and return `task`.
        """
        if self.task is None:
            self._first = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._first}, timeout=seconds)
        return self.task

    def expect_late(self, on_late_task: Callable[[TaskSnapshot], object], seconds: float) -> None:
        """
        Call *on_late_task* with `task` when a callback arrives for a submit that was given up; close after *seconds*.
        """
        self._on_late_task = on_late_task
        self._timer = asyncio.get_running_loop().call_later(seconds, self.close)

    def connect(self, handle: TaskHandle) -> None:
        """
        Pass callbacks on to *handle*, including earlier ones.
        """
        self._stop_timer()
        self._handle = handle
        for trusted in sorted(self._early, reverse=True):  # the untrusted one last, because it causes a poll
            self._router.apply(handle, self._early[trusted], trusted=trusted, is_change=True)

    def close(self) -> None:
        """
        Stop receiving callbacks. Safe to call twice.
        """
        self._stop_timer()
        self._router.remove(self)

    def note_callback(self, snapshot: TaskSnapshot, *, trusted: bool) -> None:
        """
        A callback came.
        """
        last, self._last = self._last, merge(self._last, snapshot)
        if self._handle is not None:
            is_change = self._last is snapshot and (last is None or last.status_word != snapshot.status_word)
            self._router.apply(self._handle, snapshot, trusted=trusted, is_change=is_change)
            return
        self._early[trusted] = merge(self._early.get(trusted), snapshot)
        task = self.task
        if task is not None and self._first is not None and not self._first.done():
            self._first.set_result(None)
        if task is not None and self._on_late_task is not None:
            self._on_late_task(task)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


@attrs.define(eq=False)
class CallbackRouter:
    """
    One client's part of a receiver, which several clients may share.
    """

    _receiver: CallbackReceiver
    _poller: Poller
    _subscriptions: dict[str, CallbackSubscription] = attrs.field(factory=dict, init=False)
    _listener: Listener | None = attrs.field(default=None, init=False)
    _has_received: bool = attrs.field(default=False, init=False)
    # Like `CallbackSubscription._early`, by the key of the submit.
    _unclaimed: "OrderedDict[str, dict[bool, TaskSnapshot]]" = attrs.field(factory=OrderedDict, init=False)

    @property
    def is_reliable(self) -> bool:
        """
        Whether callbacks have come, and since then none that should have reported an end was missing.
        """
        return self._has_received and not self._poller.health.has_missed_callbacks

    def attach(self) -> None:
        """
        Receive callbacks in the running event loop. The receiver keeps no reference to the client.
        """
        method = weakref.WeakMethod(self._route)
        receiver = self._receiver

        def listen(submit_key: str, snapshot: TaskSnapshot, trusted: bool) -> None:  # noqa: FBT001 (as listeners)
            if (route := method()) is not None:
                route(submit_key, snapshot, trusted)
            else:
                receiver.detach(listen)

        self._listener = listen
        self._receiver.attach(listen)

    def detach(self) -> None:
        """
        Stop receiving callbacks. Safe to call twice.
        """
        if self._listener is not None:
            self._receiver.detach(self._listener)
        for subscription in tuple(self._subscriptions.values()):
            subscription.close()

    def subscribe(self, submit_key: str | None = None) -> CallbackSubscription:
        """
        Make an address for the callbacks of one submit. With the key of an earlier submit, earlier callbacks
        are passed on.
        """
        key = submit_key or secrets.token_hex(16)
        subscription = self._subscriptions[key] = CallbackSubscription(self._receiver.address_of(key), self, key)
        for trusted, snapshot in self._unclaimed.pop(key, {}).items():
            subscription.note_callback(snapshot, trusted=trusted)
        return subscription

    def remove(self, subscription: CallbackSubscription) -> None:
        """
        End a subscription; no effect if it is unknown or replaced by a newer one of the same submit.
        """
        if self._subscriptions.get(subscription.key) is subscription:
            del self._subscriptions[subscription.key]

    def apply(self, handle: TaskHandle, snapshot: TaskSnapshot, *, trusted: bool, is_change: bool) -> None:
        """
        Apply what a callback said to *handle*; if it is not trusted and matters, poll the task now.

        *is_change* says that no earlier callback has reported the same.
        """
        if snapshot.task_id != handle.task_id:  # a gateway may use another id: the address identifies the task
            snapshot = attrs.evolve(snapshot, task_id=handle.task_id)
        if trusted:
            handle.apply(snapshot)
        else:
            handle.note_unconfirmed(attrs.evolve(snapshot, is_confirmed=False), asyncio.get_running_loop().time())
        if is_final(snapshot.task_status) and not handle.is_settled:  # not trusted, or without its result files
            self._poller.expedite(handle)
        elif handle.is_settled or (is_change and self.is_reliable):
            self._poller.note_callback(handle)

    def _route(self, submit_key: str, snapshot: TaskSnapshot, trusted: bool) -> None:  # noqa: FBT001 (as listeners)
        subscription = self._subscriptions.get(submit_key)
        if subscription is None:  # of another client, of a task that has ended, or of a run that is not resumed yet
            self._keep(submit_key, snapshot, trusted=trusted)
            return
        self._has_received = True
        if is_final(snapshot.task_status):
            self._poller.health.has_missed_callbacks = False
        subscription.note_callback(snapshot, trusted=trusted)

    def _keep(self, submit_key: str, snapshot: TaskSnapshot, *, trusted: bool) -> None:
        latest = self._unclaimed.setdefault(submit_key, {})
        latest[trusted] = merge(latest.get(trusted), snapshot)
        self._unclaimed.move_to_end(submit_key)
        if len(self._unclaimed) > MAX_UNCLAIMED:
            self._unclaimed.popitem(last=False)
