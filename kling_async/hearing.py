"""
What a client hears by callbacks, and whom it concerns: a submit has an address before its task has an id.
"""

import asyncio
import uuid
import weakref
from collections.abc import Callable

import attrs

from kling_async.callbacks import CallbackReceiver, Listener
from kling_async.task import TaskHandle
from kling_async.watcher import Watcher
from kling_async.wire.lifecycle import is_final, newer
from kling_async.wire.models import TaskSnapshot, TaskStatus

__all__ = ["Hearing", "Line"]


@attrs.define(eq=False)
class Line:
    """
    The callbacks of one submit. What comes before its task is known is kept for it.

    Attributes:
        address: Where the service is to call. It is a secret.
    """

    address: str = attrs.field(repr=False)
    _hearing: "Hearing" = attrs.field(repr=False)
    _key: str
    _handle: TaskHandle | None = attrs.field(default=None, init=False)
    _early: TaskSnapshot | None = attrs.field(default=None, init=False)
    _is_early_trusted: bool = attrs.field(default=False, init=False)
    _first: "asyncio.Future[None] | None" = attrs.field(default=None, init=False)
    _adopt: Callable[[TaskSnapshot], object] | None = attrs.field(default=None, init=False)

    @property
    def found(self) -> TaskSnapshot | None:
        """
        The task that a callback has told of, as if it were just accepted; None where none has come.

        Nobody else knows the address, so there is such a task; how it is may be a lie.
        """
        if self._early is None:
            return None
        return TaskSnapshot(task_id=self._early.task_id, task_status=TaskStatus.SUBMITTED, status_word="submitted")

    async def wait(self, seconds: float) -> TaskSnapshot | None:
        """
        Wait for a first callback, and return `found`.
        """
        if self._early is None:
            self._first = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._first}, timeout=seconds)
        return self.found

    def adopt(self, adopt: Callable[[TaskSnapshot], object]) -> None:
        """
        Have *adopt* called with `found` when a callback comes to a submit that was given up.
        """
        self._adopt = adopt

    def connect(self, handle: TaskHandle) -> bool:
        """
        Tell *handle* of what comes, and of what came already; return whether callbacks are to be relied on now.
        """
        self._handle, self._adopt = handle, None
        if self._early is not None:
            self._hearing.tell(handle, self._early, trusted=self._is_early_trusted)
        return self._hearing.works

    def close(self) -> None:
        """
        Take in nothing more. Safe to call twice.
        """
        self._hearing.forget(self._key)

    def hear(self, seen: TaskSnapshot, *, trusted: bool) -> None:
        """
        Take in one callback.
        """
        if self._handle is not None:
            self._hearing.tell(self._handle, seen, trusted=trusted)
            return
        if trusted or not self._is_early_trusted:
            self._early = newer(self._early if trusted is self._is_early_trusted else None, seen)
            self._is_early_trusted = trusted
        if self._first is not None and not self._first.done():
            self._first.set_result(None)
        if self._adopt is not None and self.found is not None:
            self._adopt(self.found)


@attrs.define(eq=False)
class Hearing:
    """
    One client's part of a receiver, which it may share with others.
    """

    _receiver: CallbackReceiver
    _watcher: Watcher
    _lines: dict[str, Line] = attrs.field(factory=dict, init=False)
    _listener: Listener | None = attrs.field(default=None, init=False)
    _has_heard: bool = attrs.field(default=False, init=False)

    @property
    def works(self) -> bool:
        """
        Whether callbacks have come, and none has been missing since.
        """
        return self._has_heard and not self._watcher.has_missed_news

    def attach(self) -> None:
        """
        Listen from now on, in the loop that runs now; without keeping anybody alive.
        """
        hear = weakref.WeakMethod(self._hear)

        def listen(submit_key: str, seen: TaskSnapshot, trusted: bool) -> None:  # noqa: FBT001 (as listeners)
            if (hears := hear()) is not None:
                hears(submit_key, seen, trusted)

        self._listener = listen
        self._receiver.attach(listen)

    def detach(self) -> None:
        """
        Listen no more. Safe to call twice.
        """
        if self._listener is not None:
            self._receiver.detach(self._listener)

    def open_line(self, submit_key: str | None = None) -> Line:
        """
        Make an address for the callbacks of one submit; of an earlier one, whose key is given.
        """
        key = submit_key or uuid.uuid4().hex
        line = self._lines[key] = Line(self._receiver.address_of(key), self, key)
        return line

    def forget(self, submit_key: str) -> None:
        """
        Take in nothing more for one submit; one that is not known is no error.
        """
        self._lines.pop(submit_key, None)

    def tell(self, handle: TaskHandle, seen: TaskSnapshot, *, trusted: bool) -> None:
        """
        Bring *handle* what was heard, or where that is not to be believed and matters, what the service says now.
        """
        if trusted:  # through a gateway it may carry another id: its address tells whose it is
            handle.see(attrs.evolve(seen, task_id=handle.task_id))
        if trusted or not is_final(seen.task_status):
            self._watcher.heard(handle)
        else:
            self._watcher.hurry(handle)

    def _hear(self, submit_key: str, seen: TaskSnapshot, trusted: bool) -> None:  # noqa: FBT001 (as listeners)
        line = self._lines.get(submit_key)
        if line is not None:  # else of another client, or of a task whose end is known
            self._has_heard = True
            self._watcher.has_missed_news = False
            line.hear(seen, trusted=trusted)
