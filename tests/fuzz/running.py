"""
Running cases: each is made from a seed, run, and judged by what it raises, by its CPU time and by the memory it takes.
"""

import asyncio
import contextlib
import ctypes
import gc
import io
import logging
import pickle
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs

from kling_async.errors import KlingError
from tests.fakes.simulated_loop import SimulatedLoop

__all__ = ["Case", "Failure", "Figures", "Kind", "Open", "run_part"]

MIB: Final = 1024 * 1024

SECONDS_PER_MIB: Final = 1.0
"""
CPU seconds that a case may take for each MiB of its input.
"""

SMALLEST: Final = 128 * 1024
"""
Bytes that any input counts as at least: a small one has costs that do not grow with it, such as a connection.
"""

MEMORY_MAX: Final = 200 * MIB
"""
Bytes above what it began with that the process may hold during a case.
"""

GROWTH_MAX: Final = 200 * MIB
"""
Bytes that the process of a part may hold at its end above what it began with.
"""

STUCK: Final = 120.0
"""
Seconds after which a case is taken to hang.
"""

FOREVER: Final = 30 * 24 * 3600.0
"""
Simulated seconds after which a case is taken to wait for nothing.
"""

TEXT_MAX: Final = 20_000
"""
Characters of an error's text: more than that was not shortened.
"""

TRIES: Final = 3
"""
How often a case is run that took too long: the machine may have been busy.
"""


def _cut(shown: str) -> str:
    return shown[:600]


@attrs.frozen
class Case:
    """
    One input, and what to do with it.

    Attributes:
        size: Of the input in bytes.
        run: Gives it to the code; raises what comes out of that, and AssertionError where its result is wrong.
        shown: The input, as a report of its failure shows it.
        taken: Tells afterwards how many bytes were taken in, where that can be more: an answer may be given repeatedly.
    """

    size: int
    run: Callable[[], Awaitable[None]] = attrs.field(repr=False)
    shown: str = attrs.field(default="", converter=_cut)
    taken: Callable[[], int] | None = None


@attrs.frozen
class Kind:
    """
    One way of making cases.

    Attributes:
        weight: Its share among the kinds of its part.
        documented: What may come out beside `KlingError`.
    """

    name: str
    weight: int
    make: Callable[[random.Random], Case]
    documented: tuple[type[BaseException], ...] = ()


Open: TypeAlias = Callable[[Path], "contextlib.AbstractAsyncContextManager[Sequence[Kind]]"]
"""
Opens a part, which may use a folder: its servers run for as long as the context lasts.
"""


@attrs.frozen
class Failure:
    """
    A case that broke a rule.
    """

    case: int
    kind: str
    what: str
    shown: str


@attrs.define
class Figures:
    """
    What came of a part.

    Attributes:
        seconds_per_mib: CPU seconds of the slowest case for each MiB of its input, and which that was.
        memory: Most bytes that the process held above what it began with, and the case in which it rose to that.
        seconds: How long the part took.
    """

    cases: int = 0
    failures: list[Failure] = attrs.field(factory=list)
    seconds_per_mib: float = 0.0
    slowest: str = ""
    memory: int = 0
    largest: str = ""
    seconds: float = 0.0


class Stuck(BaseException):
    """
    A case has taken so long that it is stopped.
    """


def run_part(name: str, opened: Open, folder: Path, *, seed: int, cases: range) -> Iterator[Failure | Figures]:
    """
    Run the *cases* of a part; each depends on *seed*, the part's name and its own number alone.

    Yields failures as they happen, and the figures last.
    """
    figures = Figures()
    complaints: list[str] = []
    began = time.monotonic()
    with _logged(complaints), asyncio.Runner(loop_factory=LoopbackLoop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(_complaint(context)))
        exits = contextlib.AsyncExitStack()
        kinds = runner.run(exits.enter_async_context(opened(folder)))
        gc.collect()
        gc.freeze()  # else now and then a case pays for a look at all that was imported
        held = _held()
        for number in cases:
            rng = random.Random(f"{seed} {name} {number}")
            kind = rng.choices(kinds, [each.weight for each in kinds])[0]
            state = rng.getstate()
            verdict = _judge(runner, kind, rng, complaints)
            for _ in range(TRIES - 1):
                if verdict.what is not None or verdict.seconds_per_mib <= SECONDS_PER_MIB:
                    break
                rng.setstate(state)
                verdict = _judge(runner, kind, rng, complaints)
            figures.cases += 1
            told = f"{kind.name} {number}"
            what, seconds = verdict.what, verdict.seconds_per_mib
            if seconds > figures.seconds_per_mib:
                figures.seconds_per_mib, figures.slowest = seconds, told
            if verdict.memory > figures.memory:
                figures.memory, figures.largest = verdict.memory, told
            if verdict.memory > MEMORY_MAX:
                what = what or f"it takes {verdict.memory // MIB} MiB"
            if seconds > SECONDS_PER_MIB:
                what = what or f"{seconds:.2f} CPU seconds per MiB"
            if what is not None:
                failure = Failure(number, kind.name, what, f"{verdict.case.size} bytes: {verdict.case.shown}")
                figures.failures.append(failure)
                yield failure
        _give_back()
        if (growth := _held() - held) > GROWTH_MAX:
            failure = Failure(
                cases.stop - 1, "all", f"the process holds {growth // MIB} MiB more than it began with", ""
            )
            figures.failures.append(failure)
            yield failure
        runner.run(exits.aclose())
    figures.seconds = time.monotonic() - began
    yield figures


@attrs.frozen
class _Verdict:
    # What is wrong with a case, if anything, and what it cost.
    case: Case
    what: str | None
    seconds_per_mib: float
    memory: int


def _judge(runner: asyncio.Runner, kind: Kind, rng: random.Random, complaints: list[str]) -> _Verdict:
    case = kind.make(rng)
    random.seed(rng.random())  # pauses are scattered by the module's own
    complaints.clear()
    held = _forget_peak()
    began = time.process_time()
    what = _run(runner, case, kind.documented)
    seconds = time.process_time() - began
    memory = _peak() - held
    if complaints and what is None:
        what = f"complaint: {complaints[0]}"
    taken = case.taken() if case.taken is not None else 0
    return _Verdict(case, what, seconds * MIB / max(case.size, taken, SMALLEST), memory)


def _run(runner: asyncio.Runner, case: Case, documented: tuple[type[BaseException], ...]) -> str | None:
    with _stopped_when_stuck():
        try:
            runner.run(_bounded(case))
        except KlingError as error:
            return _fault_of(error)
        except documented as error:
            return _fault_of_text(str(error))
        except (Exception, asyncio.CancelledError, Stuck) as error:  # noqa: BLE001 (finding what comes out is the purpose)
            return _told(error)
    return None


async def _bounded(case: Case) -> None:
    async with asyncio.timeout(FOREVER):
        await case.run()


@contextlib.contextmanager
def _stopped_when_stuck() -> Iterator[None]:
    # By the wall's clock: a timer of CPU time would make `time.process_time` as coarse as the kernel's ticks.
    def stop(*_: object) -> None:
        raise Stuck(f"more than {STUCK} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    timer = signal.setitimer(signal.ITIMER_REAL, STUCK)  # pytest-timeout has it, too
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, before)


def _fault_of(error: KlingError) -> str | None:
    # An error is shown, logged and sent to other processes.
    try:
        again = pickle.loads(_pickled(error))  # noqa: S301 (our own)
        said = (str(error), repr(error))
    except Exception as trouble:  # noqa: BLE001
        return f"{type(error).__name__} cannot be shown or pickled: {_told(trouble)}"
    if (str(again), repr(again)) != said:
        return f"{type(error).__name__} says something else once it was pickled"
    return _fault_of_text(said[0])


def _pickled(error: KlingError) -> bytes:
    # Without what others have registered: `distributed` makes causes go along, and aiohttp's cannot be pickled.
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer)
    pickler.dispatch_table = {}
    pickler.dump(error)
    return buffer.getvalue()


def _fault_of_text(said: str) -> str | None:
    if len(said) > TEXT_MAX:
        return f"the text of an error has {len(said)} characters: {said[:200]!r}"
    if any(character in "\r\n\0\x1b\x85\u2028\u2029" for character in said):
        return f"the text of an error breaks a line or controls a terminal: {said[:500]!r}"
    return None


def _told(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{type(error).__name__}: {str(error)[:500]} ({where})"


def _complaint(context: Mapping[str, Any]) -> str:
    error = context.get("exception")
    return f"{context['message']} {_told(error) if isinstance(error, BaseException) else ''}"


@contextlib.contextmanager
def _logged(complaints: list[str]) -> Iterator[None]:
    # All that is logged is written, to nowhere; what we log ourselves must keep to its line.
    handler, root = _Log(complaints), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


class _Log(logging.Handler):
    def __init__(self, complaints: list[str]) -> None:
        super().__init__()
        self._complaints = complaints

    def emit(self, record: logging.LogRecord) -> None:
        try:
            said = record.getMessage()
        except Exception as error:  # noqa: BLE001
            self._complaints.append(f"{record.msg!r} cannot be logged: {_told(error)}")
            return
        fault = _fault_of_text(said) if record.name.startswith("kling_async") else None
        if fault is not None:
            self._complaints.append(f"in the log, {fault}")


class LoopbackLoop(SimulatedLoop):
    """
    Simulated time, and no way to any other machine: names are not resolved, and only loopback is connected to.
    """

    async def getaddrinfo(self, host: Any, port: Any, **kwargs: Any) -> Any:
        if host not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"a fuzzer resolves no names: {host!r:.50}")
        return await super().getaddrinfo(host, port, **kwargs)

    async def sock_connect(self, sock: Any, address: Any) -> None:
        if str(address[0]) not in ("127.0.0.1", "::1"):
            raise OSError(f"a fuzzer connects to no other machine: {address[0]!r:.50}")
        await super().sock_connect(sock, address)


def _forget_peak() -> int:
    # What the process holds, from where its peak is counted again. Only Linux can: elsewhere it is the peak so far.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _give_back() -> None:
    # To the system: what is free in fragments is held by nobody.
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)


def _held() -> int:
    return _of_status("VmRSS:") or _peak()


def _peak() -> int:
    found = _of_status("VmHWM:")
    if found is not None:
        return found
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _of_status(name: str) -> int | None:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    line = next((line for line in status.splitlines() if line.startswith(name)), None)
    return None if line is None else int(line.split()[1]) * 1024
