"""
Runs a command's work and ends the process with its exit code; signals cancel it, errors are printed.
"""

import asyncio
import contextlib
import functools
import signal
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import typer

from kling_async.cli.exit_codes import OS_ERROR_ADVICE, ExitCode, advice_for, exit_code
from kling_async.cli.terminal import print_error
from kling_async.errors import KlingError

__all__ = ["end", "exit_code_of", "run"]


def run(work: Coroutine[Any, Any, ExitCode]) -> NoReturn:
    """
    Run *work* and end the command with its exit code. Ctrl-C, SIGTERM and a closed terminal cancel it.
    """
    main = _cancelled_by_signals(work)

    def begin() -> ExitCode:
        try:
            return asyncio.run(main)
        finally:  # an interrupt may come before they have begun
            main.close()
            work.close()

    end(begin)


def end(work: Callable[[], ExitCode]) -> NoReturn:
    """
    Call *work* and end the command with its exit code.
    """
    raise typer.Exit(exit_code_of(work))


def exit_code_of(work: Callable[[], ExitCode]) -> ExitCode:
    """
    Call *work* and return its exit code; if it raises an error, print that and return the error's exit code.
    """
    try:
        return work()
    except (KeyboardInterrupt, asyncio.CancelledError):
        return ExitCode.INTERRUPTED
    except KlingError as error:
        print_error(f"{type(error).__name__}: {error}", *([advice] if (advice := advice_for(error)) else []))
        return exit_code([error])
    except OSError as error:
        print_error(f"{type(error).__name__}: {error}", OS_ERROR_ADVICE)
        return ExitCode.STORAGE


async def _cancelled_by_signals(work: Coroutine[Any, Any, ExitCode]) -> ExitCode:
    # Without this a terminated command would not print the ids of paid tasks.
    loop, aio_task = asyncio.get_running_loop(), asyncio.current_task()
    loop.set_exception_handler(_ignore_ours)
    if aio_task is not None:
        for number, cancel in (("SIGTERM", aio_task.cancel), ("SIGHUP", functools.partial(_hang_up, aio_task))):
            _listen_to(getattr(signal, number, None), cancel)
    return await work


def _listen_to(number: signal.Signals | None, cancel: Callable[[], object]) -> None:
    # A signal that is ignored at the start stays ignored: `nohup` depends on that.
    if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
        with contextlib.suppress(NotImplementedError):  # on Windows
            asyncio.get_running_loop().add_signal_handler(number, cancel)


def _hang_up(aio_task: asyncio.Task[Any]) -> None:
    # When a terminal closes, the kernel and the shell both send SIGHUP, and systemd sends it after SIGTERM: a second
    # signal must not interrupt the closing that the first one started.
    if not aio_task.cancelling():
        aio_task.cancel()


def _ignore_ours(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # A second Ctrl-C cancels submits that are no longer awaited. The library has logged them; asyncio would add traces.
    # It may come while a task runs, which then ends with it: it ends the command too, and is no fault.
    if not isinstance(context.get("exception"), KlingError | KeyboardInterrupt):
        loop.default_exception_handler(context)
