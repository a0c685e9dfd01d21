"""
One submit, from its slots to its task: sends the request and determines its fate.
"""

import asyncio
import datetime as dt
import functools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from kling_async.client.events import EventKind, TaskEvents
from kling_async.client.exchange import RequestBody
from kling_async.client.limits.bucket import SlotLease
from kling_async.client.reservations import Reservation
from kling_async.client.retries import Step, find_in, may_exist, next_step, retry_after
from kling_async.client.spending import Charge
from kling_async.client.submission import Submission, may_be_task_of
from kling_async.client.transport import Transport, decode
from kling_async.errors import (
    BudgetExceeded,
    ClientClosed,
    KlingError,
    RateLimited,
    SubmissionUncertain,
    TaskNotFound,
    UnexpectedAnswer,
)
from kling_async.wire.endpoints.base import Endpoint, TaskRequest
from kling_async.wire.endpoints.registry import endpoint_named
from kling_async.wire.headers import clock_of
from kling_async.wire.http_answer import Answer
from kling_async.wire.responses import read_created, read_only_task, read_snapshot
from kling_async.wire.tasks import TaskSnapshot

if TYPE_CHECKING:
    from kling_async.client.callbacks.router import CallbackSubscription

__all__ = ["Delivery", "SubmitObserver"]

T = TypeVar("T")


class SubmitObserver:
    """
    Records each step of one submit, for a caller that keeps a record. This class keeps none.

    Attributes:
        key: What the caller calls the request, for the log; None without.
        has_budget: Whether the caller has a budget of its own, for which `reserve` is called.
    """

    key: str | None = None
    has_budget: bool = False

    def reserve(self) -> Reservation | None:
        """
        Reserve in the caller's own budget what the request may cost. It is about to be sent, or was sent by an earlier
        run.

        Raises:
            BudgetExceeded: It does not fit: the request is not sent.
        """
        return None

    async def sending(self, submit_key: str | None) -> None:
        """
        It is about to be sent, and is sent once this returns. If this raises, it is not sent, and the error goes to the
        caller.

        Args:
            submit_key: The key under which the receiver accepts its callbacks; None without callbacks.
        """

    def withdrawn(self) -> None:
        """
        Certainly no task was created. It may be sent again, after another `sending`.
        """

    def accepted(self, task_id: str) -> None:
        """
        It has become a task; this may be long after it ended in SubmissionUncertain.
        """

    def unconfirmed(self, snapshot: TaskSnapshot) -> None:
        """
        A callback brought its result, and the service has not confirmed it yet.
        """

    def ended(self) -> None:
        """
        It has ended, with any outcome.
        """


class _ObserverFailed(Exception):
    """
    Carries an observer's KlingError past the handling of the service's errors.
    """

    def __init__(self, error: KlingError) -> None:
        super().__init__()
        self.error = error


@attrs.define(eq=False, repr=False, kw_only=True)
class Delivery:
    """
    Brings one request to the service, as exactly once as the service makes that possible.

    Attributes:
        lease: The slots that it holds.
        charge: What is reserved for it in budgets.
        submission: What is known of its fate; decides whether it is sent again.
        counterpart: The endpoint in the other standard, in which an earlier run may have sent it; None if none has.
        has_paused: Whether it has waited for anything but its answer.
        on_pause: Called with it whenever it begins to wait for something else.
        body: What is sent; None until it is known that an earlier run's submit must be sent again.
    """

    request: TaskRequest
    endpoint: Endpoint[Any]
    lease: SlotLease
    charge: Charge
    subscription: "CallbackSubscription | None"
    observer: SubmitObserver
    events: TaskEvents
    submission: Submission
    counterpart: Endpoint[Any] | None = None
    has_paused: bool = attrs.field(default=False, init=False)
    on_pause: "Callable[[Delivery], object]" = attrs.field(default=bool, init=False)  # does nothing
    body: RequestBody | None = None
    _transport: Transport
    _is_announced: bool = attrs.field(default=False, init=False)  # to the observer, and not withdrawn

    @property
    def is_exposed(self) -> bool:
        """
        Whether the service may have created a task for it that is not known yet.
        """
        return self.submission.ambiguous_error is not None or (self.body is not None and self.body.has_left)

    def call_off(self) -> bool:
        """
        Keep it from being sent if no byte has left yet, and return whether that worked: then it may be cancelled. If
        this returns False, its fate must be determined.
        """
        if not self.is_exposed and self.body is not None:
            self.body.is_called_off = True
        return not self.is_exposed

    def send(self) -> Awaitable[TaskSnapshot]:
        """
        Send the request until it is a task.

        After an ambiguous attempt the task is looked up by its external id. It is sent again, under the same id, only
        if the service has said for `retry.look_for` seconds that there is none. If that attempt is rejected, it is only
        looked up from then on, since the reason may be the task that the first attempt created.

        Raises:
            SubmissionUncertain: A task may exist, and its fate could not be determined.
            KlingError: Certainly no task was created.
        """
        return self._retrying(self._post, self._look_up_or_post)

    async def find(self) -> TaskSnapshot | None:
        """
        Look up the task of a submit that an earlier run has sent. Return None if it may be sent again: the service has
        said for `retry.look_for` seconds that there is none.

        Raises:
            SubmissionUncertain: A task may exist, and its fate could not be determined.
        """
        if self.submission.external_id is None:
            what = "an earlier run has sent it, and this service takes no id of ours to find it by"
            raise SubmissionUncertain(what)
        return await self._retrying(self._look_up, self._look_up)

    def charge_anew(self) -> None:
        """
        Reserve what it may cost as for a new submit: certainly nothing was charged for that of an earlier run.

        Raises:
            BudgetExceeded: It does not fit.
        """
        if not self.charge.reservations:
            return
        self.charge.release()
        try:
            self.charge.reserve(self.request, self.observer.reserve)
        except BudgetExceeded:
            self.observer.withdrawn()
            raise

    async def wait_for_callback(self) -> TaskSnapshot | None:
        """
        Return the task that a callback shows within `retry.hear_for` seconds; None without callbacks, or if none comes.
        """
        if self.subscription is None:
            return None
        return await self.subscription.wait(self._transport.retry.hear_for)

    async def _retrying(self, first: Callable[[], Awaitable[T]], again: Callable[[], Awaitable[T]]) -> T:
        submission = self.submission
        try:
            try:
                return await first()
            except KlingError as error:
                failed = [error]
            return await retry_after(failed, again, self._transport.retry, self._is_over, self._on_retry)
        except _ObserverFailed as failed:
            raise failed.error from None
        except KlingError as error:
            if submission.ambiguous_error is not None:
                raise submission.uncertain(submission.ambiguous_error) from error
            if submission.is_closing and next_step(error, can_look_up=False) is Step.RESEND:
                raise ClientClosed("the client is closed; create a new one") from error
            raise

    def _is_over(self, error: KlingError) -> bool:
        now = asyncio.get_running_loop().time()
        return self.submission.is_over(error, self._transport.retry, now, refused_for=self.lease.refused_seconds())

    def _on_retry(self, error: KlingError, delay: float) -> None:
        self.on_pause(self)
        self.events.publish(EventKind.RETRY, error=error, delay=delay)

    async def _look_up_or_post(self) -> TaskSnapshot:
        snapshot = await self._look_up() if self.submission.ambiguous_error is not None else None
        if snapshot is not None:
            return snapshot
        await self.lease.reacquire()  # a refusal may have taken the slots away
        return await self._post()

    async def _post(self) -> TaskSnapshot:
        submission = self.submission
        while True:
            if submission.ambiguous_error is not None and submission.is_last_try:  # since it was last looked up
                raise submission.uncertain(submission.ambiguous_error)
            try:
                return await self._post_once()
            except RateLimited as error:
                if submission.is_last_try or not self.lease.note_refused(error):
                    raise
                self.events.publish(EventKind.WAITING, error=error)
            self.on_pause(self)
            await self.lease.reacquire()

    async def _post_once(self) -> TaskSnapshot:
        body, submission = self.body, self.submission
        if body is None:
            raise AssertionError("there is nothing to send")
        submission.is_looking = False
        accepted: TaskSnapshot | None = None
        try:
            if not self._is_announced:
                self._is_announced = True
                try:
                    await self.observer.sending(self.subscription.key if self.subscription is not None else None)
                except KlingError as error:
                    raise _ObserverFailed(error) from None
                self.events.publish(EventKind.SENDING)
            answer = await self._transport.send("POST", self.endpoint.path, body)
            accepted = await decode(answer, read_created)
        except KlingError as error:
            raise await self._record_failure(error, body) from None
        finally:
            if accepted is None and not self.is_exposed:
                self._is_announced = False
                self.observer.withdrawn()
        body.has_left = False
        self._transport.is_kling_api = True
        return accepted

    async def _record_failure(self, error: KlingError, body: RequestBody) -> KlingError:
        # Record what *error* shows of the submit's fate; return the error to raise.
        if isinstance(error, UnexpectedAnswer) and error.is_other_api and may_exist(error):
            # A 2xx answer that no Kling API gives: if there is no Kling API here, certainly no task was created.
            path = endpoint_named(self.endpoint.name).path  # in the legacy standard, which every Kling API speaks
            error = attrs.evolve(error, is_confirmed=await self._transport.is_no_api(path))
        self.submission.record_failure(error, asyncio.get_running_loop().time())
        body.has_left = False
        return error

    async def _look_up(self) -> TaskSnapshot | None:
        # None if there is no such task, and the request may be sent again.
        submission = self.submission
        submission.is_looking = True
        try:
            snapshot = await find_in(self._look_up_at, self.endpoint, self.counterpart)
        except KlingError as error:
            shown = self.subscription.task if self.subscription is not None else None
            if shown is not None:
                return shown  # its callback has come, so it exists
            if not isinstance(error, TaskNotFound):
                raise
            now = asyncio.get_running_loop().time()
            submission.mark_missing(now)
            if not submission.may_be_sent_again(self._transport.retry, now):
                raise
            return None
        return snapshot

    async def _look_up_at(self, endpoint: Endpoint[Any]) -> TaskSnapshot:
        external_id = self.submission.external_id or ""
        answer = await self._transport.send("GET", endpoint.sent_as(external_id))
        read = read_snapshot if endpoint.legacy is None else functools.partial(read_only_task, external_id=external_id)
        snapshot = await decode(answer, read)
        self._check_found(snapshot, external_id, answer)
        return snapshot

    def _check_found(self, snapshot: TaskSnapshot, external_id: str, answer: Answer) -> None:
        # Some services answer with any task that they have.
        sent_at = self.submission.sent_at
        sent_ago = made_ago = None
        if sent_at is not None:
            sent_ago = asyncio.get_running_loop().time() - sent_at
        if snapshot.created_at is not None:
            now = clock_of(answer.headers) or dt.datetime.now(dt.UTC)
            made_ago = (now - snapshot.created_at).total_seconds()
        is_ours = may_be_task_of(snapshot, external_id, sent_ago=sent_ago, made_ago=made_ago)
        if is_ours is None:
            what = f"the service answered with task {snapshot.task_id}, and does not say whether it is this one"
            raise UnexpectedAnswer(what, None, snapshot.request_id, http_status=answer.status)
        if not is_ours:
            what = f"the service answered with another task, {snapshot.task_id}"
            raise TaskNotFound(what, None, snapshot.request_id, http_status=answer.status)
