"""
Runs the tasks of a board, shows them on a screen, and prints the id of every task if it is interrupted.
"""

import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from kling_async.cli.exit_codes import ExitCode, advice_for, exit_code
from kling_async.cli.json_output import files_without_task, row_line
from kling_async.cli.log_forwarding import forwarding_logs
from kling_async.cli.resume_hint import resume_command
from kling_async.cli.screen import TaskScreen
from kling_async.cli.service_options import ServiceOptions
from kling_async.cli.standard_streams import is_lost
from kling_async.cli.task_board import TaskBoard, TaskRow, TaskStage
from kling_async.cli.terminal import print_error, write_line
from kling_async.client.handle import TaskHandle
from kling_async.errors import DownloadFailed, KlingError, StorageFull, TaskNotFound, WaitTimeout
from kling_async.media.naming import DEFAULT_NAME, NameTemplate
from kling_async.media.saved_files import FileKey
from kling_async.media.storage import Storage
from kling_async.wire.endpoints.base import TaskRequest
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT, caption_of
from kling_async.wire.redaction import one_line, shorten
from kling_async.wire.tasks import TaskResult

if TYPE_CHECKING:
    from kling_async.client.client import KlingClient

__all__ = ["NOTE", "TaskRunner"]

NOTE: Final = "unfinished.txt"
"""
The file in their folder to which task ids are written if they could not be printed, one per line, with the endpoint of
those that are no images: `kling-async wait --save - < unfinished.txt` reads it.
"""

_EMULATED: Final = "The emulator runs inside this command: its tasks end with it and cost nothing."


@attrs.define(eq=False)
class TaskRunner:
    """
    Runs all requests or tasks of a board at the same time.

    Attributes:
        service: An emulator ends with this command, and its tasks with it.
        folder: Where to save the files; None does not save them.
        timeout: Seconds to wait for each task, from acceptance; None waits forever.
        polls_once: Whether to read each task once rather than wait until it ends.
        name: Returns the template of a row's file names, once its files are known.
        following: Returns the row that a row which has ended makes possible, with its request; None if there is none.
            A row without a request or a handle waits for that.
        as_json: Whether to print each row that has ended as JSON to stdout, in addition to the screen.
    """

    client: "KlingClient"
    board: TaskBoard
    screen: TaskScreen
    service: ServiceOptions
    folder: Path | Storage | None
    timeout: float | None = 600.0
    polls_once: bool = False
    name: Callable[[TaskRow], str] = lambda _: DEFAULT_NAME
    following: Callable[[TaskRow], TaskRow | None] = lambda _: None
    as_json: bool = False

    async def run(self) -> None:
        """
        Generate and save all files, then close the client. Failures are recorded on the board; if it is interrupted,
        the ids of unfinished tasks are printed.
        """
        with forwarding_logs(
            self.screen.say, self.report_trouble
        ):  # until the client is closed: that may still log task ids
            printed: set[str] = set()
            try:
                async with self.client:
                    try:
                        await self._serve_all()
                    except BaseException:
                        printed = self._print_unfinished()
                        raise
            except BaseException:
                self._print_late(printed)
                raise

    def sum_up(self, facts: Mapping[str, str]) -> ExitCode:
        """
        Print the results, *facts* included, and advice about the errors; return the exit code.
        """
        is_saved = self.folder is not None
        folder = {"folder": str(self.folder)} if is_saved else {}
        self.screen.summary({**self.board.facts(is_saved=is_saved), **folder, **facts})
        for kind, advice in {type(error).__name__: advice_for(error) for error in self.board.errors}.items():
            self.screen.say(f"{kind}: {advice}")
        for url in itertools.chain.from_iterable(map(files_without_task, self.board.errors)):
            shown = url if len(url) <= 4000 else "in the answer itself, see --json"  # a longer URL holds it in Base64
            self.screen.say(f"A file without a task id, possibly paid for: {shown}")
        for line in (*self._resume_lines("wait", self._unfinished()), *self._resume_lines("save", self._unsaved())):
            self.screen.say(line)
        return exit_code(self.board.errors)

    async def _serve_all(self) -> None:
        async with self.screen, asyncio.TaskGroup() as group:
            for row in self.board.rows:
                if row.request is not None or row.handle is not None:
                    group.create_task(self._serve_in_turn(row))

    async def _serve_in_turn(self, row: TaskRow | None) -> None:
        while row is not None:
            await self._serve(row)
            row = self.following(row)

    async def _serve(self, row: TaskRow) -> None:
        try:
            handle = await self._submit(row.request, row) if row.request is not None else await self._resume(row)
            result = await handle.wait(self.timeout)
            self.board.succeed(row, result)
            self.board.finish(row, *await self._save(row, result))
        except KlingError as error:
            self.board.fail(row, error)
        self.screen.ended(row)
        if self.as_json:
            write_line(sys.stdout, row_line(row))

    async def _submit(self, request: TaskRequest, row: TaskRow) -> TaskHandle:
        handle = await self.client.submit(request)
        self.board.accept(row, handle)
        self.screen.accepted(row)
        return handle

    async def _resume(self, row: TaskRow) -> TaskHandle:
        # Read the task first: an unreachable service or a wrong id is then reported immediately.
        handle = self.client.handle(row.task_id or "", row.endpoint)
        try:
            snapshot = await self.client.get(handle.task_id)
        except TaskNotFound as error:
            if self.polls_once:
                raise
            self.report_trouble(str(error))  # a service may not know a new task immediately
            return handle
        if self.polls_once and not handle.done:
            what = f"the task has not ended: {snapshot.status_word}"
            raise WaitTimeout(what, handle.task_id, snapshot.request_id, snapshot=snapshot)
        return handle

    async def _save(self, row: TaskRow, result: TaskResult) -> tuple[dict[FileKey, Path | str], KlingError | None]:
        if self.folder is None:
            return {}, None
        names = NameTemplate(self.name(row), result.task_id, number=row.number, prompt=result.prompt)
        outcome = await self.client.core.files.save(result, self.folder, names)
        return {file.key: file.path or file.place for file in outcome.files}, outcome.error

    def report_trouble(self, text: str) -> None:
        self.board.trouble = text
        self.screen.trouble(text)

    def _print_unfinished(self) -> set[str]:
        if self.service.is_emulated:
            print_error("", f"Stopped. {_EMULATED}")
            return set()
        running = {handle.task_id: handle for handle in self.client.unfinished if not self.polls_once}
        unsaved = [row for row in self.board.at(TaskStage.RUNNING, TaskStage.SAVING) if row.task_id not in running]
        if running:
            print_error("", "Stopped. These tasks are still running at the service:")
        for handle in running.values():
            print_error(f"  {handle.task_id}  {_about(handle)}")
        if unsaved:
            ended = "may have ended" if self.polls_once else "have ended"
            print_error("", f"Stopped. These tasks {ended}; their files are not saved:")
        for row in unsaved:
            print_error(f"  {row.task_id}  {_about(row.handle)}")
        verb = "wait" if running else "save"
        task_ids = [*running, *(row.task_id for row in unsaved if row.task_id is not None)]
        for line in self._resume_lines(verb, task_ids):
            print_error(line)
        if self.board.at(TaskStage.WAITING):
            print_error(
                "", "Waiting requests are not sent. Submits in flight have up to 10 s to return their task ids."
            )
        return set(task_ids)

    def _print_late(self, printed: set[str]) -> None:
        late = {handle.task_id: handle for handle in self.client.unfinished if handle.task_id not in printed}
        if late and not self.polls_once and not self.service.is_emulated:
            print_error(
                "", "Accepted in the meantime:", *(f"  {task_id}  {_about(handle)}" for task_id, handle in late.items())
            )
            for line in self._resume_lines("wait", list(late)):
                print_error(line)
        ids = [*printed, *late]
        if ids and is_lost(sys.stderr) and not self.service.is_emulated:
            self._leave_note(ids)

    def _leave_note(self, task_ids: Sequence[str]) -> None:
        # The ids could not be printed: the terminal was closed, or the disk is full.
        folder = self.folder if isinstance(self.folder, Path) else Path()
        with contextlib.suppress(OSError), (folder / NOTE).open("a", encoding="utf-8") as note:
            kinds = self._kinds()
            note.writelines(f"{_note_of(task_id, kinds.get(task_id, DEFAULT_ENDPOINT.name))}\n" for task_id in task_ids)

    def _unfinished(self) -> list[str | None]:
        # Without a snapshot it is unknown whether there is such a task.
        errors = (error for error in self.board.errors if isinstance(error, WaitTimeout))
        return [error.task_id for error in errors if error.snapshot is not None]

    def _unsaved(self) -> list[str | None]:
        broken = [error.task_id for error in self.board.errors if isinstance(error, DownloadFailed | StorageFull)]
        return broken + [row.task_id for row in self.board.at(TaskStage.DONE) if self.folder is None]

    def _resume_lines(self, verb: str, task_ids: Sequence[str | None]) -> list[str]:
        known = [task_id for task_id in task_ids if task_id is not None]
        if not known:
            return []
        if self.service.is_emulated:
            return ["", _EMULATED]
        is_about_waiting = verb == "wait" and self.folder is None
        what = "To wait for them again:" if is_about_waiting else "They are paid for. To save their files:"
        kinds = self._kinds()
        by_kind: dict[str, list[str]] = {}
        for task_id in known:
            by_kind.setdefault(kinds.get(task_id, DEFAULT_ENDPOINT.name), []).append(task_id)
        commands = (
            resume_command(verb, ids, self.service, self.folder, kind, self._lasting_name())
            for kind, ids in by_kind.items()
        )
        return ["", what, *(f"  {command}" for command in commands)]

    def _lasting_name(self) -> str:
        # The template of file names, if it means the same in another command: that knows neither prompts, nor numbers,
        # nor how many files each task has.
        templates = {self.name(row) for row in self.board.rows}
        name = templates.pop() if len(templates) == 1 else DEFAULT_NAME
        return DEFAULT_NAME if "{number" in name or "{prompt" in name or "{index" not in name else name

    def _kinds(self) -> dict[str, str]:
        # The names of the endpoints of all tasks.
        handles = (*self.client.unfinished, *(row.handle for row in self.board.rows if row.handle is not None))
        return {handle.task_id: handle.endpoint.name for handle in handles}


def _note_of(task_id: str, endpoint: str) -> str:
    return task_id if endpoint == DEFAULT_ENDPOINT.name else json.dumps({"task_id": task_id, "endpoint": endpoint})


def _about(handle: TaskHandle | None) -> str:
    if handle is not None and handle.request is not None:
        return shorten(one_line(caption_of(handle.request)), 50)
    snapshot = handle.snapshot if handle is not None else None
    return one_line(snapshot.status_word) if snapshot is not None else "no status yet"
