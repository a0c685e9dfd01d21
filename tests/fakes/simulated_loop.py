"""
A simulated clock: an event loop whose timers take no real time.
"""

import asyncio
import functools
import gc
import logging
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, Final, ParamSpec, TypeVar, TypeVarTuple
from unittest import mock

import aiohttp

P = ParamSpec("P")


T = TypeVar("T")


Ts = TypeVarTuple("Ts")


DELIVERY: Final = 0.001
"""
Real seconds in which the kernel brings bytes from one socket of this machine to another.
"""


HARMLESS: Final = 0.1
"""
Simulated seconds that may pass though some bytes are on their way; mostly none are, and much waiting is saved.
"""


EPOCH: Final = 1_750_000_000.0
"""
When simulated time begins, for those who count from 1970.
"""


class _JumpingSelector(selectors.DefaultSelector):
    """
    Waits for no timer: its clock jumps to the moment for which it was asked to wait.

    `jobs` are those of the loop's threads that are under way.
    """

    now = 0.0
    jobs = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or (timeout > 0 and self.jobs):  # somebody outside must wake the loop
            events = super().select(60)
            assert events, "all wait for one another: nothing will ever happen again"
            return events
        events = super().select(0)
        if not events and timeout > HARMLESS and len(self.get_map()) > 1:  # not only the loop's own way of being woken
            events = super().select(DELIVERY)
        if not events:
            self.now += max(0.0, timeout)
        return events


class SimulatedLoop(asyncio.SelectorEventLoop):
    """
    An event loop whose minutes pass in microseconds: when nothing is ready, its time is that of the next timer.

    While its threads are at work no time passes, and neither while the kernel delivers what one of its sockets sends to
    another; it does not wait for sockets of other loops.
    """

    def __init__(self) -> None:
        self._clock = _JumpingSelector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> "asyncio.Future[T]":
        job = super().run_in_executor(executor, func, *args)
        self._clock.jobs += 1
        job.add_done_callback(self._end_job)
        return job

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        # Without a limit, which newer versions of Python have: simulated time would be over before the threads are.
        await super().shutdown_default_executor()

    def _end_job(self, _: object) -> None:
        self._clock.jobs -= 1


def now() -> float:
    """
    Return the loop's time: the simulated seconds since the test began.
    """
    return asyncio.get_running_loop().time()


def epoch_now() -> float:
    """
    Epoch seconds in simulated time: the `clock` of an emulator there.
    """
    return EPOCH + asyncio.get_running_loop().time()


def simulate(story: Coroutine[Any, Any, T]) -> T:
    """
    Run *story* in simulated time, and see to it that it leaves no `aio_task` behind and no exception unseen.
    """

    async def watched() -> T:
        result = await story
        await asyncio.sleep(0)
        assert {asyncio.current_task()} == asyncio.all_tasks()
        return result

    with quiet_loop(), asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        # aiohttp's timers are the loop's, but the age of an idle connection is not.
        with mock.patch.object(aiohttp.connector, "monotonic", runner.get_loop().time):
            return runner.run(watched())


def simulated(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """
    Run the coroutine function *test* by `simulate`.
    """

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        simulate(test(*args, **kwargs))

    return run


class quiet_loop:  # noqa: N801 (a context manager)
    """
    Fail where asyncio has something to complain of, such as an exception that nobody retrieved.
    """

    def __enter__(self) -> None:
        self._complaints: list[str] = []
        self._handler = logging.Handler(logging.ERROR)
        self._handler.emit = lambda record: self._complaints.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("asyncio").addHandler(self._handler)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        gc.collect(1)
        logging.getLogger("asyncio").removeHandler(self._handler)
        assert kind or not self._complaints, self._complaints
