"""
Submits that have begun: each is finished even if its caller is cancelled, and its task stays known to the client.
"""

import asyncio
import datetime as dt
import functools
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import attrs

from kling_async.client.delivery import Delivery
from kling_async.client.events import EventKind
from kling_async.client.handle import TaskHandle
from kling_async.client.known_tasks import KnownTasks
from kling_async.client.limits.bucket import SlotLease
from kling_async.client.polling.poller import Poller
from kling_async.client.turns import Turns
from kling_async.errors import ClientClosed, KlingError, SubmissionUncertain, UnexpectedAnswer
from kling_async.wire.endpoints.registry import caption_of
from kling_async.wire.redaction import shorten
from kling_async.wire.tasks import TaskSnapshot

if TYPE_CHECKING:
    from kling_async.client.callbacks.router import CallbackSubscription

__all__ = ["CLOSE_TIMEOUT", "Submitter"]

CLOSE_TIMEOUT: Final = 10.0
"""
Seconds that closing waits for submits whose task would otherwise stay unknown.
"""

LATE_CALLBACKS: Final = 3600.0
"""
Seconds for which a callback may still show the task of a submit that was given up as uncertain.
"""

_log = logging.getLogger(__name__)


@attrs.define(eq=False, repr=False)
class Submitter:
    """
    The submits of one client.

    Attributes:
        uncertain_for: Seconds for which one of unknown fate holds its slots, since its task may be running.
        turns: A submit waits for its turn before it is begun, if too many are.
    """

    _poller: Poller
    _tasks: KnownTasks
    uncertain_for: float
    turns: Turns
    _forget: Callable[[TaskHandle], object] = attrs.field(init=False)  # one bound method for all handles
    _deliveries: "dict[asyncio.Task[TaskHandle], Delivery]" = attrs.field(factory=dict, init=False)
    _uncertain: dict[SlotLease, asyncio.TimerHandle] = attrs.field(factory=dict, init=False)
    _is_closed: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._forget = self._tasks.forget

    def __len__(self) -> int:
        return len(self._deliveries)

    def pause(self, delivery: Delivery) -> None:
        """
        Let others have their turn, since *delivery* waits for longer; from then on it is not counted.
        """
        if not delivery.has_paused:
            delivery.has_paused = True
            self.turns.taken -= 1
            self.turns.admit()

    async def run(self, delivery: Delivery, work: Callable[[], Awaitable[TaskSnapshot]]) -> TaskHandle:
        """
        Await *work*, which brings *delivery* to the service, and return the handle of its task, which is polled from
        now on. The slots are given back in any case, in time.

        Cancelling this aborts the request if it has certainly not arrived. Otherwise its fate is determined, and its
        task's id logged.

        Raises:
            SubmissionUncertain: A task may exist, and its fate could not be determined.
            KlingError: No task was created.
        """
        loop, name = asyncio.get_running_loop(), "kling_async submit"
        end: asyncio.Future[None] = loop.create_future()
        self.turns.taken += 1
        delivery.on_pause = self.pause
        finishing = self._finish(delivery, work, end)
        if sys.version_info >= (3, 12) and loop.get_task_factory() is None:  # begins without a turn of the loop
            aio_task = asyncio.Task(finishing, loop=loop, name=name, eager_start=True)
        else:
            aio_task = loop.create_task(finishing, name=name)
        if not aio_task.done():
            self._deliveries[aio_task] = delivery
        try:
            await end
        except asyncio.CancelledError:
            delivery.submission.is_abandoned = True
            if aio_task.done():  # logged at once: a loop that ends runs no callbacks
                _log_abandoned(aio_task)
                raise
            aio_task.add_done_callback(_log_abandoned)
            if delivery.call_off():
                aio_task.cancel()
            raise
        return aio_task.result()

    def resume(self, delivery: Delivery, task_id: str) -> TaskHandle:
        """
        Take over a task that an earlier run had submitted, as if it had been accepted just now.
        """
        return self._adopt(delivery, task_id, None)

    async def aclose(self) -> None:
        """
        Abort what has certainly not arrived, and give the rest 10 s to learn its task's id. Safe to call twice.
        """
        self._is_closed = True
        self.turns.end_waits()
        for delivery in self._deliveries.values():
            delivery.submission.is_closing = True
        await asyncio.sleep(0)  # so that each has begun, and is cancelled inside its error handling
        for aio_task, delivery in self._deliveries.items():
            if delivery.call_off():
                aio_task.cancel()
        aio_tasks = set(self._deliveries)
        if aio_tasks:
            _, late = await asyncio.wait(aio_tasks, timeout=CLOSE_TIMEOUT)
            for aio_task in late:
                aio_task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def release(self) -> None:
        """
        Give back all slots; nothing is polled from now on. Safe to call twice.
        """
        for handle in self._tasks.running.values():
            handle.release()
        for lease in tuple(self._uncertain):
            self._release_uncertain(lease)

    async def _finish(
        self, delivery: Delivery, work: Callable[[], Awaitable[TaskSnapshot]], end: "asyncio.Future[None]"
    ) -> TaskHandle:
        # Resolves *end* last. It always begins: a caller that is cancelled runs after it.
        try:
            accepted = await self._fate(delivery, work)
            return self._adopt(delivery, accepted.task_id, accepted)
        except BaseException as error:
            delivery.events.publish(EventKind.NO_TASK, error=error)
            raise
        finally:
            self._deliveries.pop(asyncio.current_task(), None)  # type: ignore[arg-type]  # it is no other task
            if not end.done():
                end.set_result(None)  # its caller goes on when this asyncio task is done
            if not delivery.has_paused:
                self.turns.taken -= 1
            if self.turns.waiting:
                self.turns.admit()
            delivery.observer.ended()

    async def _fate(self, delivery: Delivery, work: Callable[[], Awaitable[TaskSnapshot]]) -> TaskSnapshot:
        try:
            try:
                return await work()
            except SubmissionUncertain:  # callbacks to its own address may still show the task
                self.pause(delivery)
                if (snapshot := await delivery.wait_for_callback()) is None:
                    raise
                return snapshot
        except asyncio.CancelledError:  # by `aclose` after its timeout, or by the end of the loop
            self._give_up(delivery)
            if not delivery.is_exposed:
                delivery.charge.release()
                raise ClientClosed("the client is closed; create a new one") from None
            what = "the client was closed before the service said whether it accepted the task"
            uncertain = SubmissionUncertain(what)
            if (ambiguous_error := delivery.submission.ambiguous_error) is not None:  # which may have URLs or an id
                uncertain = attrs.evolve(delivery.submission.uncertain(ambiguous_error), message=what)
            _add_known(uncertain, delivery)
            _log_unknown(delivery, uncertain, "cancelled")
            raise uncertain from None
        except SubmissionUncertain as error:
            self._hold_for_a_while(delivery.lease)
            delivery.body = None  # megabytes, which a late callback does not need
            if delivery.subscription is not None:
                delivery.subscription.expect_late(functools.partial(self._adopt_late, delivery), LATE_CALLBACKS)
            _add_known(error, delivery)
            _log_unknown(delivery, error, "cancelled" if delivery.submission.is_abandoned else "given up")
            raise
        except BaseException as error:
            self._give_up(delivery)
            _settle_without_task(delivery, error)
            raise

    def _give_up(self, delivery: Delivery) -> None:
        delivery.lease.release()
        if delivery.subscription is not None:
            delivery.subscription.close()

    def _adopt(self, delivery: Delivery, task_id: str, accepted: TaskSnapshot | None) -> TaskHandle:
        # *accepted* is None if an earlier run has submitted it.
        events, subscription = delivery.events, delivery.subscription
        if accepted is not None:
            # So that a paid task can be found later in any case.
            _log.info("%s task %s was accepted", delivery.endpoint.title, task_id)
            delivery.observer.accepted(task_id)
            delivery.lease.note_running(was_accepted_now=True)
        events.task_id = task_id
        handle = self._tasks.handle(task_id, delivery.endpoint, events, is_running=True)
        kind = EventKind.RESUMED if accepted is None else EventKind.SUBMITTED
        events.publish(kind, snapshot=accepted or handle.snapshot)
        on_unconfirmed, on_final = None, self._forget
        if subscription is not None:
            on_unconfirmed = delivery.observer.unconfirmed
            on_final = functools.partial(self._forget_with, subscription)
        handle.accept(
            delivery.request,
            delivery.lease,
            charge=delivery.charge,
            on_final=on_final,
            on_unconfirmed=on_unconfirmed,
            events=events,
        )
        if accepted is not None:
            handle.apply(accepted)
        if not self._is_closed:
            self._poller.watch(handle, expects_callbacks=subscription is not None and subscription.is_reliable)
        if subscription is not None:
            subscription.connect(handle)  # last: earlier callbacks may cause a poll at once
        return handle

    def _adopt_late(self, delivery: Delivery, snapshot: TaskSnapshot) -> None:
        timer = self._uncertain.pop(delivery.lease, None)
        if timer is not None:
            timer.cancel()
        handle = self._adopt(delivery, snapshot.task_id, snapshot)
        _log.warning("a submit of unknown fate created task %s, according to its callback", handle.task_id)

    def _forget_with(self, subscription: "CallbackSubscription", handle: TaskHandle) -> None:
        self._forget(handle)
        subscription.close()

    def _hold_for_a_while(self, lease: SlotLease) -> None:
        lease.note_running()
        timer = asyncio.get_running_loop().call_later(self.uncertain_for, self._release_uncertain, lease)
        self._uncertain[lease] = timer

    def _release_uncertain(self, lease: SlotLease) -> None:
        self._uncertain.pop(lease).cancel()
        lease.release()


def _settle_without_task(delivery: Delivery, error: BaseException) -> None:
    if isinstance(error, UnexpectedAnswer) and error.urls:  # files without a task may be charged
        delivery.charge.settle_call(None)
    elif delivery.is_exposed and not isinstance(error, KlingError):  # it says nothing about the task
        delivery.charge.keep()
    else:
        delivery.charge.release()


def _add_known(error: SubmissionUncertain, delivery: Delivery) -> None:
    # The last snapshot of the task: it may be paid for, and nothing else has the URLs of its files.
    error.request = delivery.request
    if delivery.charge.reservations:
        delivery.charge.keep()
        error.message = f"{error.message}; what it may cost stays reserved in the budget"
    shown = delivery.subscription.received if delivery.subscription is not None else None
    if shown is not None:
        error.snapshot = shown
        error.urls = error.urls or tuple(file.url for file in shown.task_result.files)


def _log_unknown(delivery: Delivery, error: SubmissionUncertain, what: str) -> None:
    # If the service takes no id of ours, its console shows the task by prompt and time only.
    now, sent_at = time.time(), delivery.submission.sent_at
    began = "unknown" if sent_at is None else _moment(now - (asyncio.get_running_loop().time() - sent_at))
    facts = (repr(shorten(caption_of(delivery.request))), delivery.observer.key, delivery.submission.external_id)
    _log.warning(
        "a submit was %s, and its fate is unknown (prompt %s, key %s, external_task_id %s, begun %s, ended %s): %s",
        *(what, *facts, began, _moment(now), str(error)),  # a handler may keep its records, and an error its request
    )


def _moment(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds")


def _log_abandoned(aio_task: "asyncio.Task[TaskHandle]") -> None:
    if aio_task.cancelled():  # before it began
        return
    if (error := aio_task.exception()) is None:
        handle = aio_task.result()
        caption = shorten(caption_of(handle.request))
        _log.warning("a submit was cancelled, but its task %s was accepted and is running: %r", handle.task_id, caption)
    elif not isinstance(error, SubmissionUncertain):  # which was logged when it came up
        _log.debug("a submit was cancelled, and ended with %r", error)
