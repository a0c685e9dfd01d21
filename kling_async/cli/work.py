"""
Requests to files through a client: shown while it goes on, and with every task's id on the screen if it is cut short.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, NoReturn

import attrs
import typer

from kling_async.cli.board import Board, Row, Stage
from kling_async.cli.ear import listening
from kling_async.cli.exits import ExitCode, advice_for, exit_code
from kling_async.cli.screen import Screen, complain, printable
from kling_async.client import KlingClient
from kling_async.errors import DownloadFailed, KlingError, WaitTimeout
from kling_async.wire.redaction import shorten

__all__ = ["Work", "end", "run"]


def run(story: Coroutine[Any, Any, ExitCode]) -> NoReturn:
    """
    Run *story* and end the command with its exit code; Ctrl-C and SIGTERM cancel it.
    """
    end(lambda: asyncio.run(_heeding_sigterm(story)))


def end(work: Callable[[], ExitCode]) -> NoReturn:
    """
    Do *work* and end the command with its exit code, or with that of the error in which it ended.
    """
    try:
        code = work()
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = ExitCode.INTERRUPTED
    except KlingError as error:
        complain(f"{type(error).__name__}: {error}", *([advice] if (advice := advice_for(error)) else []))
        code = exit_code([error])
    raise typer.Exit(code)


async def _heeding_sigterm(story: Coroutine[Any, Any, ExitCode]) -> ExitCode:
    # Without this a terminated command would take the ids of paid tasks with it.
    loop, aio_task = asyncio.get_running_loop(), asyncio.current_task()
    loop.set_exception_handler(_ignore_ours)
    if aio_task is not None:
        with contextlib.suppress(NotImplementedError):  # on Windows
            loop.add_signal_handler(signal.SIGTERM, aio_task.cancel)
    return await story


def _ignore_ours(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # A second Ctrl-C ends submits at once; the library's log has told of them, and asyncio would show traces.
    if not isinstance(context.get("exception"), KlingError):
        loop.default_exception_handler(context)


@attrs.define(eq=False)
class Work:
    """
    The requests of a board, side by side.

    Attributes:
        is_emulated: Whether the service ends with this command, and its tasks with it.
        timeout: Seconds to wait for each task, from acceptance; None is for ever.
        name: The template of a row's file names, asked for when its pictures are there.
        on_end: Called for each row at its end, in addition to the screen.
    """

    client: KlingClient
    board: Board
    screen: Screen
    folder: Path
    is_emulated: bool
    timeout: float | None = 600.0
    name: Callable[[Row], str] = lambda _: "{task_id}-{index}{ext}"
    on_end: Callable[[Row], object] = lambda _: None

    async def run(self) -> None:
        """
        Make and save all pictures, and close the client. What fails is on the board; what is cut short is told.
        """
        with listening(self.screen.say, self._tell_trouble):  # to the end: closing may still learn the id of a task
            async with self.client:
                try:
                    await self._serve_all()
                except BaseException:
                    self._tell_unfinished()
                    raise

    def sum_up(self, facts: Mapping[str, str]) -> ExitCode:
        """
        Show what came of it all, *facts* included, and what to do about what went wrong.
        """
        self.screen.summary({**self.board.facts(), **facts, "folder": str(self.folder)})
        for kind, advice in {type(error).__name__: advice_for(error) for error in self.board.errors}.items():
            self.screen.say(f"{kind}: {advice}")
        left = [error.task_id for error in self.board.errors if isinstance(error, WaitTimeout | DownloadFailed)]
        for line in self._ways_on(left[0]) if left and left[0] is not None else ():
            self.screen.say(line)
        return exit_code(self.board.errors)

    async def _serve_all(self) -> None:
        async with self.screen, asyncio.TaskGroup() as group:
            for row in self.board.rows:
                group.create_task(self._serve(row))

    async def _serve(self, row: Row) -> None:
        try:
            handle = await self.client.submit(row.request)
            self.board.accept(row, handle)
            self.screen.accepted(row)
            result = await handle.wait(self.timeout)
            self.board.succeed(row, result)
            self.board.finish(row, await self.client.save(result, self.folder, name=self.name(row)))
        except KlingError as error:
            self.board.fail(row, error)
        self.screen.ended(row)
        self.on_end(row)

    def _tell_trouble(self, text: str) -> None:
        self.board.trouble = text
        self.screen.trouble(text)

    def _tell_unfinished(self) -> None:
        running = {handle.task_id: handle for handle in self.client.unfinished}
        unsaved = [row for row in self.board.at(Stage.RUNNING, Stage.SAVING) if row.task_id not in running]
        if running:
            complain("", "Stopped. These tasks go on at the service:")
        for handle in running.values():
            prompt = handle.request.prompt if handle.request is not None else ""
            complain(f"  {handle.task_id}  {shorten(printable(prompt), 50)}")
        if unsaved:
            complain("", "Stopped. These tasks have ended, and their pictures are not saved:")
        for row in unsaved:
            complain(f"  {row.task_id}  {shorten(printable(row.request.prompt), 50)}")
        if ids := [*running, *(row.task_id for row in unsaved)]:
            complain("", *self._ways_on(ids[0] or ""))
        if self.board.at(Stage.WAITING):
            complain("", "What waits is not sent; submits on their way get 10 s to learn their task's id.")

    def _ways_on(self, task_id: str) -> list[str]:
        if self.is_emulated:
            return ["The emulator is inside this command: they end with it, and cost nothing."]
        return [
            'They are paid for. To get their pictures, start "python -m asyncio", and give it for each id:',
            "  from kling_async import KlingClient",
            f"  client = KlingClient(base_url={self.client.base_url!r})",
            f"  await client.save(await client.handle({task_id!r}), {str(self.folder)!r})",
        ]
