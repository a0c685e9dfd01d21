"""
Requests to files through a client: shown while it goes on, and with every task's id on the screen if it is cut short.
"""

import asyncio
import contextlib
import functools
import itertools
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import attrs
import typer

from kling_async.cli.exit_codes import ADVICE_OF_SYSTEM, ExitCode, advice_for, exit_code
from kling_async.cli.json_output import pictures_without_task, row_line
from kling_async.cli.log_forwarding import forwarding_logs
from kling_async.cli.resume_hint import resume_command
from kling_async.cli.screen import Screen, print_error, write_line
from kling_async.cli.service_options import ServiceOptions
from kling_async.cli.standard_streams import is_lost
from kling_async.cli.task_board import TaskBoard, TaskRow, TaskStage
from kling_async.client.client import KlingClient
from kling_async.client.handle import TaskHandle
from kling_async.errors import DownloadFailed, KlingError, StorageFull, TaskNotFound, WaitTimeout
from kling_async.media.naming import Names
from kling_async.media.storage import Storage
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.redaction import one_line, shorten
from kling_async.wire.tasks import TaskResult

__all__ = ["NOTE", "TaskRunner", "end", "exit_code_of", "run"]

NOTE: Final = "unfinished.txt"
"""
The file beside the pictures that gets the ids of tasks where they could not be printed, one per line:
`kling-async wait --save - < unfinished.txt` reads it.
"""


LONGEST_ADDRESS: Final = 4000
"""
Characters of a picture's address that is shown; a longer one is the picture itself, in Base64.
"""


def run(story: Coroutine[Any, Any, ExitCode]) -> NoReturn:
    """
    Run *story* and end the command with its exit code; Ctrl-C, SIGTERM and a closed terminal cancel it.
    """
    end(lambda: asyncio.run(_cancelled_by_signals(story)))


def end(work: Callable[[], ExitCode]) -> NoReturn:
    """
    Do *work* and end the command with its exit code, or with that of the error in which it ended.
    """
    raise typer.Exit(exit_code_of(work))


def exit_code_of(work: Callable[[], ExitCode]) -> ExitCode:
    """
    Do *work* and return its exit code, or that of the error in which it ended, having told it.
    """
    try:
        return work()
    except (KeyboardInterrupt, asyncio.CancelledError):
        return ExitCode.INTERRUPTED
    except KlingError as error:
        print_error(f"{type(error).__name__}: {error}", *([advice] if (advice := advice_for(error)) else []))
        return exit_code([error])
    except OSError as error:
        print_error(f"{type(error).__name__}: {error}", ADVICE_OF_SYSTEM)
        return ExitCode.STORAGE


async def _cancelled_by_signals(story: Coroutine[Any, Any, ExitCode]) -> ExitCode:
    # Without this a terminated command would take the ids of paid tasks with it.
    loop, aio_task = asyncio.get_running_loop(), asyncio.current_task()
    loop.set_exception_handler(_ignore_ours)
    if aio_task is not None:
        for number, cancel in (("SIGTERM", aio_task.cancel), ("SIGHUP", functools.partial(_hang_up, aio_task))):
            _listen_to(getattr(signal, number, None), cancel)
    return await story


def _listen_to(number: signal.Signals | None, cancel: Callable[[], object]) -> None:
    # What is ignored from the start stays ignored: that is how `nohup` works.
    if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
        with contextlib.suppress(NotImplementedError):  # on Windows
            asyncio.get_running_loop().add_signal_handler(number, cancel)


def _hang_up(aio_task: asyncio.Task[Any]) -> None:
    # A closed terminal is told by the kernel and again by the shell, and systemd sends this after SIGTERM: the second
    # one must not cut short what the first one began.
    if not aio_task.cancelling():
        aio_task.cancel()


def _ignore_ours(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # A second Ctrl-C ends submits at once; the library's log has told of them, and asyncio would show traces.
    if not isinstance(context.get("exception"), KlingError):
        loop.default_exception_handler(context)


@attrs.define(eq=False)
class TaskRunner:
    """
    The requests or tasks of a board, side by side.

    Attributes:
        access: An emulated service ends with this command, and its tasks with it.
        folder: None leaves the pictures where they are.
        timeout: Seconds to wait for each task, from acceptance; None is for ever.
        looks_once: Whether a task that has not ended is left alone, rather than waited for.
        name: The template of a row's file names, asked for when its pictures are there.
        as_json: Whether each row is a line on stdout at its end, in addition to the screen.
    """

    client: KlingClient
    board: TaskBoard
    screen: Screen
    access: ServiceOptions
    folder: Path | Storage | None
    timeout: float | None = 600.0
    looks_once: bool = False
    name: Callable[[TaskRow], str] = lambda _: "{task_id}-{index}{ext}"
    as_json: bool = False

    async def run(self) -> None:
        """
        Make and save all pictures, and close the client. What fails is on the board; what is cut short is told.
        """
        with forwarding_logs(
            self.screen.say, self._tell_trouble
        ):  # to the end: closing may still learn the id of a task
            told: set[str] = set()
            try:
                async with self.client:
                    try:
                        await self._serve_all()
                    except BaseException:
                        told = self._tell_unfinished()
                        raise
            except BaseException:
                self._tell_late(told)
                raise

    def sum_up(self, facts: Mapping[str, str]) -> ExitCode:
        """
        Show what came of it all, *facts* included, and what to do about what went wrong.
        """
        unsaved = f"{self.board.pictures_made}, not saved"
        where = {"pictures": unsaved} if self.folder is None else {"folder": str(self.folder)}
        self.screen.summary({**self.board.facts(), **where, **facts})
        for kind, advice in {type(error).__name__: advice_for(error) for error in self.board.errors}.items():
            self.screen.say(f"{kind}: {advice}")
        for url in itertools.chain.from_iterable(map(pictures_without_task, self.board.errors)):
            shown = url if len(url) <= LONGEST_ADDRESS else "in the answer itself, see --json"
            self.screen.say(f"A picture that may be paid for, though no task tells of it: {shown}")
        for line in (*self._ways_on("wait", self._left()), *self._ways_on("save", self._unsaved())):
            self.screen.say(line)
        return exit_code(self.board.errors)

    async def _serve_all(self) -> None:
        async with self.screen, asyncio.TaskGroup() as group:
            for row in self.board.rows:
                group.create_task(self._serve(row))

    async def _serve(self, row: TaskRow) -> None:
        try:
            handle = await self._submit(row.request, row) if row.request is not None else await self._pick_up(row)
            result = await handle.wait(self.timeout)
            self.board.succeed(row, result)
            self.board.finish(row, *await self._save(row, result))
        except KlingError as error:
            self.board.fail(row, error)
        self.screen.ended(row)
        if self.as_json:
            write_line(sys.stdout, row_line(row))

    async def _submit(self, request: ImageRequest, row: TaskRow) -> TaskHandle:
        handle = await self.client.submit(request)
        self.board.accept(row, handle)
        self.screen.accepted(row)
        return handle

    async def _pick_up(self, row: TaskRow) -> TaskHandle:
        # A look of its own first: a dead service and a wrong id are told at once, where waiting would be patient.
        handle = self.client.handle(row.task_id or "")
        try:
            seen = await self.client.get(handle.task_id)
        except TaskNotFound as error:
            if self.looks_once:
                raise
            self._tell_trouble(str(error))  # a service may need a while to know a new task
            return handle
        if self.looks_once and not handle.done:
            what = f"the task has not ended: {seen.status_word}"
            raise WaitTimeout(what, handle.task_id, seen.request_id, snapshot=seen)
        return handle

    async def _save(self, row: TaskRow, result: TaskResult) -> tuple[dict[int, Path | str], KlingError | None]:
        if self.folder is None:
            return {}, None
        outcome = await self.client.save_each(result, self.folder, Names(self.name(row), result.task_id))
        return {file.index: file.path or file.place for file in outcome.files}, outcome.error

    def _tell_trouble(self, text: str) -> None:
        self.board.trouble = text
        self.screen.trouble(text)

    def _tell_unfinished(self) -> set[str]:
        running = {handle.task_id: handle for handle in self.client.unfinished if not self.looks_once}
        unsaved = [row for row in self.board.at(TaskStage.RUNNING, TaskStage.SAVING) if row.task_id not in running]
        if running:
            print_error("", "Stopped. These tasks go on at the service:")
        for handle in running.values():
            print_error(f"  {handle.task_id}  {_about(handle)}")
        if unsaved:
            ended = "may have ended" if self.looks_once else "have ended"
            print_error("", f"Stopped. These tasks {ended}, and their pictures are not saved:")
        for row in unsaved:
            print_error(f"  {row.task_id}  {_about(row.handle)}")
        verb = "wait" if running else "save"
        told = [*running, *(row.task_id for row in unsaved if row.task_id is not None)]
        for line in self._ways_on(verb, told):
            print_error(line)
        if self.board.at(TaskStage.WAITING):
            print_error("", "What waits is not sent; submits on their way get 10 s to learn their task's id.")
        return set(told)

    def _tell_late(self, told: set[str]) -> None:
        late = {handle.task_id: handle for handle in self.client.unfinished if handle.task_id not in told}
        if late and not self.looks_once:
            print_error(
                "", "Accepted meanwhile:", *(f"  {task_id}  {_about(handle)}" for task_id, handle in late.items())
            )
            for line in self._ways_on("wait", list(late)):
                print_error(line)
        ids = [*told, *late]
        if ids and is_lost(sys.stderr) and not self.access.is_emulated:
            self._leave_note(ids)

    def _leave_note(self, task_ids: Sequence[str]) -> None:
        # Nobody has seen the ids: the terminal has gone, or the disk is full.
        folder = self.folder if isinstance(self.folder, Path) else Path()
        with contextlib.suppress(OSError), (folder / NOTE).open("a", encoding="utf-8") as note:
            note.writelines(f"{task_id}\n" for task_id in task_ids)

    def _left(self) -> list[str | None]:
        # A task that was never seen may have been none.
        errors = (error for error in self.board.errors if isinstance(error, WaitTimeout))
        return [error.task_id for error in errors if error.snapshot is not None]

    def _unsaved(self) -> list[str | None]:
        broken = [error.task_id for error in self.board.errors if isinstance(error, DownloadFailed | StorageFull)]
        return broken + [row.task_id for row in self.board.at(TaskStage.DONE) if self.folder is None]

    def _ways_on(self, verb: str, task_ids: Sequence[str | None]) -> list[str]:
        known = [task_id for task_id in task_ids if task_id is not None]
        if not known:
            return []
        if self.access.is_emulated:
            return ["", "The emulator is inside this command: they end with it, and cost nothing."]
        is_about_waiting = verb == "wait" and self.folder is None
        what = "To wait for them again:" if is_about_waiting else "They are paid for. To get their pictures:"
        return ["", what, f"  {resume_command(verb, known, self.access, self.folder)}"]


def _about(handle: TaskHandle | None) -> str:
    if handle is not None and handle.request is not None:
        return shorten(one_line(handle.request.prompt), 50)
    seen = handle.snapshot if handle is not None else None
    return one_line(seen.status_word) if seen is not None else "not seen yet"
