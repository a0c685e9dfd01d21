"""
Submits that have begun: each is finished, whatever becomes of its caller, and its task is known to somebody.
"""

import asyncio
import datetime as dt
import functools
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from kling_async.client.callbacks.router import CallbackRouter, CallbackSubscription
from kling_async.client.events import EventKind
from kling_async.client.handle import TaskHandle
from kling_async.client.limits.limiter import SlotLease
from kling_async.client.polling.poller import Poller
from kling_async.client.submission import Submission, may_be_task_of
from kling_async.client.telling import TaskEvents
from kling_async.client.transport import Transport, decode
from kling_async.errors import (
    ClientClosed,
    InvalidRequest,
    KlingError,
    RateLimited,
    SubmissionUncertain,
    TaskNotFound,
    UnexpectedAnswer,
    Unreachable,
)
from kling_async.media.references import Reference, with_texts
from kling_async.wire.answers import Answer
from kling_async.wire.codec import write_request
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION, ImageRequest
from kling_async.wire.headers import clock_of
from kling_async.wire.json_text import dumps
from kling_async.wire.redaction import shorten
from kling_async.wire.responses import read_sighting
from kling_async.wire.tasks import TaskSnapshot

__all__ = ["SubmitObserver", "Submitter"]

CLOSE_TIMEOUT: Final = 10.0
"""
Seconds that closing waits for submits whose task nobody would know of otherwise.
"""

LISTEN_FOR: Final = 3600.0
"""
Seconds for which a callback may still tell of the task of a submit that was given up as uncertain.
"""

_log = logging.getLogger(__name__)


class SubmitObserver:
    """
    Is told of each step of one submit: for whoever keeps a record of it. This one keeps none.

    Attributes:
        submit_key: By which its callbacks are known, None to make one; set before `intend` where there are callbacks.
        owns_id:
            Whether nobody else could have sent this `external_task_id`, so that a task of it is one of this request.
            The client sets it where it makes the id.
        is_in_doubt: Whether an earlier run has sent it, and did not learn what came of it.
        sent_at: When an earlier run has sent it, in Unix time; None where none has, or that is not known.
        key: What the caller knows it by, for the log; None without.
    """

    submit_key: str | None = None
    owns_id: bool = False
    is_in_doubt: bool = False
    sent_at: float | None = None
    key: str | None = None

    def judge(self, references: Mapping[str, Reference]) -> None:
        """
        Look at the picture that is to be sent along, and raise what keeps it from being sent.
        """

    async def intend(self) -> None:
        """
        It is about to be sent, and is once this returns; what this raises keeps it from being sent.
        """

    def withdraw(self) -> None:
        """
        Nothing came of what was intended, for sure. It may be intended again.
        """

    def accept(self, task_id: str) -> None:
        """
        It is a task now; also long after it ended in SubmissionUncertain.
        """

    def hear(self, told: TaskSnapshot) -> None:
        """
        A callback told of its task's pictures, and nothing has confirmed them yet.
        """

    def end(self) -> None:
        """
        It is over, whatever came of it.
        """


@attrs.frozen(eq=False)
class _Post:
    request: ImageRequest
    hold: SlotLease
    line: CallbackSubscription | None
    observer: SubmitObserver
    story: TaskEvents
    handle_of: Callable[[str], TaskHandle]
    begun_at: float  # in seconds of the loop's clock

    def sent_ago(self, now: float) -> float:
        """
        Return the seconds since an earlier run has sent it; 0 where that is not known. *now* is Unix time.
        """
        sent_at = self.observer.sent_at
        return 0.0 if sent_at is None else max(0.0, now - sent_at)

    async def intend(self, refusal: InvalidRequest | None) -> None:
        if refusal is not None:
            raise attrs.evolve(refusal)
        await self.observer.intend()
        self.story.tell(EventKind.SENDING)

    def refused(self, error: RateLimited) -> bool:
        is_queued = self.hold.note_refused(error)
        if is_queued:
            self.story.tell(EventKind.WAITING, error=error)
        return is_queued

    def retrying(self, error: KlingError, delay: float) -> None:
        self.story.tell(EventKind.RETRY, error=error, delay=delay)

    def give_up(self) -> None:
        # Nothing was made, or nobody will ever know.
        self.hold.release()
        if self.line is not None:
            self.line.close()


@attrs.define(eq=False)
class Submitter:
    """
    The submits of one client.

    Attributes:
        uncertain_for: Seconds for which one of unknown fate holds its slots: a task of it may be running.
        accepted: Keeps alive the handles that nobody else may hold, until they are final.
    """

    _transport: Transport
    _poller: Poller
    _router: CallbackRouter | None
    uncertain_for: float
    accepted: set[TaskHandle] = attrs.field(factory=set, init=False)
    _forget: Callable[[TaskHandle], object] = attrs.field(init=False)  # one for all that wait
    _posts: "dict[asyncio.Task[TaskHandle], Submission]" = attrs.field(factory=dict, init=False)
    _uncertain: dict[SlotLease, asyncio.TimerHandle] = attrs.field(factory=dict, init=False)
    _is_closed: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._forget = self.accepted.discard

    def __len__(self) -> int:
        return len(self._posts)

    async def deliver(
        self,
        request: ImageRequest,
        references: Mapping[str, Reference],
        hold: SlotLease,
        observer: SubmitObserver,
        story: TaskEvents,
        handle_of: Callable[[str], TaskHandle],
        refusal: InvalidRequest | None = None,
    ) -> TaskHandle:
        """
        Have the service accept *request*, and return the handle that *handle_of* makes for its task. *hold* is given
        back in any case, in time. With a *refusal* nothing is sent, and what an earlier run has sent is looked for.

        Cancelling this stops what surely has not arrived; what may have is found out, and its task's id logged.

        Raises:
            SubmissionUncertain: A task may have been made, and there is no way to find out.
            KlingError: Nothing was made.
        """
        line = self._open_line(observer) if request.callback_url is None else None
        post = _Post(request, hold, line, observer, story, handle_of, asyncio.get_running_loop().time())
        submission = Submission(
            path=IMAGE_GENERATION.path,
            body=_body(request, references, line),
            external_id=request.external_task_id,
            refused=post.refused,
            refused_for=hold.refused_seconds,
            regain=hold.reacquire,
            retrying=post.retrying,
            intend=functools.partial(post.intend, refusal),
            withdraw=observer.withdraw,
            owns_id=observer.owns_id,
        )
        if observer.is_in_doubt:
            what = "an earlier run has sent it, and did not learn what came of it"
            submission.mark_uncertain(Unreachable(what), post.begun_at)
            if observer.sent_at is not None:  # the service has had since then to show it
                submission.miss(post.begun_at - post.sent_ago(time.time()))
        return await self._shield(post, submission)

    def resume(
        self, handle: TaskHandle, request: ImageRequest, hold: SlotLease, observer: SubmitObserver, story: TaskEvents
    ) -> None:
        """
        Take over a task that an earlier run had accepted, as if it had been accepted just now.
        """
        line = self._open_line(observer) if request.callback_url is None else None
        story.learn(task_id=handle.task_id)
        story.tell(EventKind.RESUMED, snapshot=handle.snapshot)
        self._take_over(handle, request, hold, line, observer, story)

    async def aclose(self) -> None:
        """
        End what surely has not arrived, and give the rest 10 s to learn its task's id. Safe to call twice.
        """
        self._is_closed = True
        self._transport.retire()
        await asyncio.sleep(0)  # so that each has begun, and meets its cancelling inside
        for post, submission in self._posts.items():
            if submission.call_off():
                post.cancel()
        posts = set(self._posts)
        if posts:
            _, late = await asyncio.wait(posts, timeout=CLOSE_TIMEOUT)
            for post in late:
                post.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def release(self) -> None:
        """
        Give back all slots; nothing is watched from now on. Safe to call twice.
        """
        for handle in self.accepted:
            handle.release()
        for hold in tuple(self._uncertain):
            self._let_go(hold)

    def _open_line(self, observer: SubmitObserver) -> CallbackSubscription | None:
        if self._router is None:
            return None
        line = self._router.subscribe(observer.submit_key)
        observer.submit_key = line.key
        return line

    async def _shield(self, post: _Post, submission: Submission) -> TaskHandle:
        aio_task = asyncio.get_running_loop().create_task(self._finish(post, submission), name="kling_async submit")
        self._posts[aio_task] = submission
        aio_task.add_done_callback(self._posts.pop)
        try:
            await asyncio.wait({aio_task})
        except asyncio.CancelledError:
            submission.is_abandoned = True
            if aio_task.done():  # told at once: a loop that ends runs no more callbacks
                _tell_abandoned(aio_task)
                raise
            aio_task.add_done_callback(_tell_abandoned)
            if submission.call_off():
                aio_task.cancel()
            raise
        return aio_task.result()

    async def _finish(self, post: _Post, submission: Submission) -> TaskHandle:
        try:
            return self._adopt(post, await self._fate(post, submission))
        except BaseException as error:
            post.story.tell(EventKind.NO_TASK, error=error)
            raise
        finally:
            post.observer.end()

    async def _fate(self, post: _Post, submission: Submission) -> TaskSnapshot:
        try:
            return await self._accepted(post, submission)
        except asyncio.CancelledError:  # by `aclose` when its patience was over, or by the end of the loop
            post.give_up()
            if submission.is_exposed:
                what = "the client was closed before the service told whether it accepted the task"
                error = SubmissionUncertain(what, request=post.request)
                _tell_unknown(post, submission, error, "cancelled")
                raise error from None
            raise ClientClosed("the client is closed; make a new one") from None
        except SubmissionUncertain as error:
            self._hold_for_a_while(post.hold)
            if post.line is not None:
                post.line.expect_late(functools.partial(self._adopt_late, post), LISTEN_FOR)
            error.request = post.request
            if post.line is not None and (told := post.line.received) is not None:
                error.snapshot = told
                error.urls = error.urls or tuple(image.url for image in told.task_result.images)
            _tell_unknown(post, submission, error, "cancelled" if submission.is_abandoned else "given up")
            raise
        except BaseException:
            post.give_up()
            raise

    async def _accepted(self, post: _Post, submission: Submission) -> TaskSnapshot:
        error = SubmissionUncertain("an earlier run has sent it, and this service takes no id of ours to find it by")
        if submission.doubt is None or submission.external_id is not None:
            try:
                return await self._transport.submit(submission, lambda: self._look_up(post, submission))
            except SubmissionUncertain as uncertain:
                error = uncertain
        # There is no asking for it; but if there is a task, its callbacks come to an address of its own.
        found = await post.line.wait(self._transport.retry.hear_for) if post.line is not None else None
        if found is not None:
            return found
        try:
            raise error
        finally:
            del error  # else its traceback holds it

    async def _look_up(self, post: _Post, submission: Submission) -> TaskSnapshot:
        external_id = submission.external_id or ""
        try:
            answer = await self._transport.send("GET", IMAGE_GENERATION.one(external_id))
            found = await decode(answer, read_sighting)
            self._check_found(post, found, external_id, answer)
        except KlingError:
            told = post.line.task if post.line is not None else None
            if told is None:
                raise
            return told  # its callback has come, so it exists
        return found

    @staticmethod
    def _check_found(post: _Post, found: TaskSnapshot, external_id: str, answer: Answer) -> None:
        # Some services answer with whatever task they have.
        now = dt.datetime.now(dt.UTC)
        is_told_when = not post.observer.is_in_doubt or post.observer.sent_at is not None
        sent_ago = asyncio.get_running_loop().time() - post.begun_at + post.sent_ago(now.timestamp())
        made_ago = None
        if found.created_at is not None:
            made_ago = ((clock_of(answer.headers) or now) - found.created_at).total_seconds()
        is_ours = may_be_task_of(found, external_id, sent_ago=sent_ago if is_told_when else None, made_ago=made_ago)
        if is_ours is None:
            what = f"the service answered with task {found.task_id}, and does not tell whether it is this one"
            raise UnexpectedAnswer(what, None, found.request_id, http_status=answer.status)
        if not is_ours:
            what = f"the service answered with another task, {found.task_id}"
            raise TaskNotFound(what, None, found.request_id, http_status=answer.status)

    def _adopt(self, post: _Post, accepted: TaskSnapshot) -> TaskHandle:
        _log.info("task %s was accepted", accepted.task_id)  # whatever happens later, what is paid for can be found
        post.observer.accept(accepted.task_id)
        post.hold.note_accepted()
        handle = post.handle_of(accepted.task_id)
        post.story.learn(task_id=accepted.task_id)
        post.story.tell(EventKind.SUBMITTED, snapshot=accepted)
        self._take_over(handle, post.request, post.hold, post.line, post.observer, post.story, accepted)
        return handle

    def _take_over(
        self,
        handle: TaskHandle,
        request: ImageRequest,
        hold: SlotLease,
        line: CallbackSubscription | None,
        observer: SubmitObserver,
        story: TaskEvents,
        accepted: TaskSnapshot | None = None,
    ) -> None:
        self.accepted.add(handle)
        on_final = self._forget if line is None else functools.partial(self._ended, line)
        on_pictures_told = observer.hear if line is not None else None
        handle.accept(request, hold, on_final=on_final, on_pictures_told=on_pictures_told, story=story)
        if accepted is not None:
            handle.apply(accepted)
        if not self._is_closed:
            self._poller.watch(handle, expects_callbacks=line is not None and line.is_reliable)
        if line is not None:
            line.connect(handle)  # last: what it has heard already may be worth a look

    def _adopt_late(self, post: _Post, found: TaskSnapshot) -> None:
        timer = self._uncertain.pop(post.hold, None)
        if timer is not None:
            timer.cancel()
        handle = self._adopt(post, found)
        _log.warning("a submit of unknown fate made task %s, as its callback tells", handle.task_id)

    def _ended(self, line: CallbackSubscription, handle: TaskHandle) -> None:
        self._forget(handle)
        line.close()

    def _hold_for_a_while(self, hold: SlotLease) -> None:
        hold.note_running()
        self._uncertain[hold] = asyncio.get_running_loop().call_later(self.uncertain_for, self._let_go, hold)

    def _let_go(self, hold: SlotLease) -> None:
        self._uncertain.pop(hold).cancel()
        hold.release()


def _body(request: ImageRequest, references: Mapping[str, Reference], line: CallbackSubscription | None) -> bytes:
    body = write_request(with_texts(request, references))
    if line is not None:
        body["callback_url"] = line.address  # not in the request that the caller will see: it is a secret
    return dumps(body)


def _tell_unknown(post: _Post, submission: Submission, error: SubmissionUncertain, what: str) -> None:
    # Where the service takes no id of ours, the prompt and the times are all by which its console shows the task.
    now = time.time()
    began = post.observer.sent_at or now - (asyncio.get_running_loop().time() - post.begun_at)
    facts = (repr(shorten(post.request.prompt)), post.observer.key, submission.external_id)
    times = (_moment(began), _moment(now))
    _log.warning(
        "a submit was %s, and its fate is unknown (prompt %s, key %s, external_task_id %s, begun %s, ended %s): %s",
        *(what, *facts, *times, str(error)),  # a handler may keep its records, and an error holds its request
    )


def _moment(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds")


def _tell_abandoned(post: "asyncio.Task[TaskHandle]") -> None:
    if post.cancelled():  # before it began
        return
    if (error := post.exception()) is None:
        handle = post.result()
        prompt = shorten(handle.request.prompt) if handle.request is not None else ""
        _log.warning("a submit was cancelled, but its task %s was accepted and goes on: %r", handle.task_id, prompt)
    elif not isinstance(error, SubmissionUncertain):  # which was told when it came up
        _log.debug("a submit was cancelled, and ended with %r", error)
