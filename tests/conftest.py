"""
What several test modules share: time that is simulated (over real sockets too), a loop that must not complain, and
aioresponses.
"""

import asyncio
import contextlib
import functools
import gc
import logging
import os
import selectors
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from typing import Any, Final, ParamSpec, TypeVar, TypeVarTuple
from unittest import mock

import aiohttp
import aioresponses.core
import pytest

from kling_async.emulator import Emulator
from kling_async.integrations.pytest_plugin import serve

pytest_plugins = ["pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """
    How long the torture test tortures; `nox -s torture` asks for more.
    """
    parser.addoption("--kills", type=int, default=20, help="how often the torture test kills a batch")


def pytest_xdist_auto_num_workers() -> int:
    """
    One process more than there are cores: half of the time a test waits for sockets, timers or programs.
    """
    return (os.cpu_count() or 1) + 1


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

    def _end_job(self, _: object) -> None:
        self._clock.jobs -= 1


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


class BridgedResponse(aiohttp.ClientResponse):
    """
    Made as aioresponses makes responses: without the `stream_writer` that aiohttp has asked for since 3.14.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"stream_writer": mock.Mock(output_size=0), **kwargs})


NO_CONNECTION: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)
"""
What aiohttp raises where it has no connection to which a body could be handed.
"""

_answer_as_asked = aioresponses.core.aioresponses._request_mock


async def _answer_and_take_the_body(mocked: Any, *args: Any, data: Any = None, **kwargs: Any) -> aiohttp.ClientResponse:
    # aioresponses never takes the body that it is given, which would mean that nothing was sent.
    try:
        answer = await _answer_as_asked(mocked, *args, data=data, **kwargs)
    except NO_CONNECTION:
        raise
    except BaseException:
        await take_body(data)
        raise
    await take_body(data)
    return answer


async def take_body(body: Any) -> bytes:
    """
    Take the body of a request as a connection does; empty where there is none.
    """
    if not isinstance(body, aiohttp.Payload):
        return b""
    writer = mock.AsyncMock()
    writer.transport.is_closing = lambda: False
    writer.protocol.should_close = False
    await body.write(writer)
    return b"".join(call.args[0] for call in writer.write.await_args_list)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses.aioresponses]:
    """
    An aioresponses that works with aiohttp 3.14 (pnuckowski/aioresponses issue 289), and takes bodies as servers do.
    """
    monkeypatch.setattr(aioresponses.core, "ClientResponse", BridgedResponse)
    monkeypatch.setattr(aioresponses.core.aioresponses, "_request_mock", _answer_and_take_the_body)
    with aioresponses.aioresponses() as service:
        yield service


@pytest.fixture
def emulator_in_thread() -> Iterator[Callable[..., Emulator]]:
    """
    Start emulators that live in a loop and a thread of their own.
    """
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(serve(settings))
