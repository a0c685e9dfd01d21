"""
What a client hears by callbacks, and whom it concerns: a submit has an address before its task has an id.
"""

import asyncio
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import attrs

from kling_async.client.callbacks.receiver import CallbackReceiver, Listener
from kling_async.client.handle import TaskHandle
from kling_async.client.polling.poller import Poller
from kling_async.wire.endpoints.base import stands_in_path
from kling_async.wire.status import is_final, is_settled, merge
from kling_async.wire.tasks import TaskSnapshot, TaskStatus

__all__ = ["CallbackRouter", "CallbackSubscription"]

UNCLAIMED: Final = 256
"""
Submits for which callbacks are kept that nobody waits for yet.
"""


@attrs.define(eq=False)
class CallbackSubscription:
    """
    The callbacks of one submit. What comes before its task is known is kept for it.

    Attributes:
        address: Where the service is to call. It is a secret.
        key: Of the submit.
    """

    address: str = attrs.field(repr=False)
    _router: "CallbackRouter" = attrs.field(repr=False)
    key: str
    _handle: TaskHandle | None = attrs.field(default=None, init=False)
    _last: TaskSnapshot | None = attrs.field(default=None, init=False)  # of what was said, believed or not
    _early: dict[bool, TaskSnapshot] = attrs.field(factory=dict, init=False)  # the last by whether it is believed
    _first: "asyncio.Future[None] | None" = attrs.field(default=None, init=False)
    _adopt: Callable[[TaskSnapshot], object] | None = attrs.field(default=None, init=False)
    _clock: asyncio.TimerHandle | None = attrs.field(default=None, init=False)

    @property
    def works(self) -> bool:
        """
        Whether callbacks are to be relied on now.
        """
        return self._router.works

    @property
    def told(self) -> TaskSnapshot | None:
        """
        What callbacks have told before the task was known; None where none has come.
        """
        return self._early.get(True) or self._early.get(False)

    @property
    def found(self) -> TaskSnapshot | None:
        """
        The task that a callback has told of, as if it were just accepted; None where none has come.

        Nobody else knows the address, so there is such a task; how it is may be a lie.
        """
        told = self.told
        if told is None or not stands_in_path(told.task_id):  # by such an id nobody could ask for it
            return None
        return TaskSnapshot(task_id=told.task_id, task_status=TaskStatus.SUBMITTED, status_word="submitted")

    async def wait(self, seconds: float) -> TaskSnapshot | None:
        """
        Wait until a callback has told of the task, and return `found`.
        """
        if self.found is None:
            self._first = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._first}, timeout=seconds)
        return self.found

    def adopt(self, adopt: Callable[[TaskSnapshot], object], seconds: float) -> None:
        """
        Have *adopt* called with `found` where a callback comes to a submit that was given up; close after *seconds*.
        """
        self._adopt = adopt
        self._clock = asyncio.get_running_loop().call_later(seconds, self.close)

    def connect(self, handle: TaskHandle) -> None:
        """
        Tell *handle* of what comes, and of what came already.
        """
        self._stop_clock()
        self._handle = handle
        for trusted in sorted(self._early, reverse=True):  # a hint goes last, since it asks for a look
            self._router.tell(handle, self._early[trusted], trusted=trusted, is_news=True)

    def close(self) -> None:
        """
        Take in nothing more. Safe to call twice.
        """
        self._stop_clock()
        self._router.forget(self)

    def hear(self, seen: TaskSnapshot, *, trusted: bool) -> None:
        """
        Take in one callback.
        """
        last, self._last = self._last, merge(self._last, seen)
        if self._handle is not None:
            is_news = self._last is seen and (last is None or last.status_word != seen.status_word)
            self._router.tell(self._handle, seen, trusted=trusted, is_news=is_news)
            return
        self._early[trusted] = merge(self._early.get(trusted), seen)
        found = self.found
        if found is not None and self._first is not None and not self._first.done():
            self._first.set_result(None)
        if found is not None and self._adopt is not None:
            self._adopt(found)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()


@attrs.define(eq=False)
class CallbackRouter:
    """
    One client's part of a receiver, which it may share with others.
    """

    _receiver: CallbackReceiver
    _poller: Poller
    _lines: dict[str, CallbackSubscription] = attrs.field(factory=dict, init=False)
    _listener: Listener | None = attrs.field(default=None, init=False)
    _has_heard: bool = attrs.field(default=False, init=False)
    # As `CallbackSubscription._early`, by the key of the submit.
    _unclaimed: "OrderedDict[str, dict[bool, TaskSnapshot]]" = attrs.field(factory=OrderedDict, init=False)

    @property
    def works(self) -> bool:
        """
        Whether callbacks have come, and none that should have told of an end has been missing since.
        """
        return self._has_heard and not self._poller.has_missed_news

    def attach(self) -> None:
        """
        Listen from now on, in the loop that runs now; without keeping anybody alive.
        """
        hear = weakref.WeakMethod(self._hear)
        receiver = self._receiver

        def listen(submit_key: str, seen: TaskSnapshot, trusted: bool) -> None:  # noqa: FBT001 (as listeners)
            if (hears := hear()) is not None:
                hears(submit_key, seen, trusted)
            else:
                receiver.detach(listen)

        self._listener = listen
        self._receiver.attach(listen)

    def detach(self) -> None:
        """
        Listen no more. Safe to call twice.
        """
        if self._listener is not None:
            self._receiver.detach(self._listener)
        for line in tuple(self._lines.values()):
            line.close()

    def open_line(self, submit_key: str | None = None) -> CallbackSubscription:
        """
        Make an address for the callbacks of one submit; of an earlier one, whose key is given, with what came already.
        """
        key = submit_key or uuid.uuid4().hex
        line = self._lines[key] = CallbackSubscription(self._receiver.address_of(key), self, key)
        for trusted, seen in self._unclaimed.pop(key, {}).items():
            line.hear(seen, trusted=trusted)
        return line

    def forget(self, line: CallbackSubscription) -> None:
        """
        Take in nothing more for one submit; one that is not known, or has a newer line, is no error.
        """
        if self._lines.get(line.key) is line:
            del self._lines[line.key]

    def tell(self, handle: TaskHandle, seen: TaskSnapshot, *, trusted: bool, is_news: bool) -> None:
        """
        Bring *handle* what was heard, or where that is not to be believed and matters, what the service says now.

        With *is_news* it is not what another callback had said before.
        """
        told = attrs.evolve(seen, task_id=handle.task_id)  # a gateway may have another; the address tells whose it is
        if trusted:
            handle.apply(told)
        else:
            handle.note_unconfirmed(attrs.evolve(told, is_confirmed=False), asyncio.get_running_loop().time())
        is_over = handle.snapshot is not None and is_settled(handle.snapshot)
        if is_final(seen.task_status) and not is_over:  # not to be believed, or its pictures are not told yet
            self._poller.expedite(handle)
        elif is_over or (is_news and self.works):
            self._poller.heard(handle)

    def _hear(self, submit_key: str, seen: TaskSnapshot, trusted: bool) -> None:  # noqa: FBT001 (as listeners)
        line = self._lines.get(submit_key)
        if line is None:  # of another client, of a task whose end is known, or of an earlier run that is yet to go on
            self._keep(submit_key, seen, trusted=trusted)
            return
        self._has_heard = True
        if is_final(seen.task_status):
            self._poller.has_missed_news = False
        line.hear(seen, trusted=trusted)

    def _keep(self, submit_key: str, seen: TaskSnapshot, *, trusted: bool) -> None:
        kept = self._unclaimed.setdefault(submit_key, {})
        kept[trusted] = merge(kept.get(trusted), seen)
        self._unclaimed.move_to_end(submit_key)
        if len(self._unclaimed) > UNCLAIMED:
            self._unclaimed.popitem(last=False)
