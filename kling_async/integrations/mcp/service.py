"""
What the tools do, with one client for all calls: create tasks, wait, look, list and save.
"""

import asyncio
import contextlib
import functools
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult

from kling_async.client.budget import Budget
from kling_async.client.client import KlingClient
from kling_async.client.handle import TaskHandle
from kling_async.errors import InvalidRequest, KlingError, SubmissionUncertain
from kling_async.integrations.mcp.contents import contents_of
from kling_async.integrations.mcp.drafts import Drafts
from kling_async.integrations.mcp.reports import (
    TaskLine,
    TaskList,
    as_lines,
    line_of,
    line_of_snapshot,
    result_of,
    status_word,
    task_report,
)
from kling_async.integrations.mcp.spending import Spending
from kling_async.integrations.mcp.task_log import TaskLog
from kling_async.integrations.mcp.waiting import wait_for
from kling_async.wire.endpoints.base import TaskRequest
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT, endpoint_named
from kling_async.wire.request_fields import shown
from kling_async.wire.tasks import TaskResult, TaskSnapshot, TaskStatus

__all__ = ["STATUSES", "SUBMIT_FOR", "AgentService"]

AnyContext: TypeAlias = Context[Any, Any]

STATUSES: Final = ("submitted", "processing", "succeeded", "failed", "uncertain")
"""
The statuses by which tasks can be listed. Services may have others, which lists show as they are.
"""

SUBMIT_FOR: Final = 30.0
"""
Seconds that a request is given to find free slots and to be accepted, at least.
"""

_PAGE: Final = 100
"""
Tasks of the account that are asked for at a time.
"""


@attrs.frozen(eq=False)
class AgentService:
    """
    The operations behind the tools. The lifespan of the server opens and closes the client.

    Attributes:
        log: The listener of the client's events.
        folder: Where files are saved.
        stopping: Set it before the server is stopped: calls that wait end as if their time were over.
    """

    client: KlingClient
    drafts: Drafts
    spending: Spending
    log: TaskLog
    folder: Path
    stopping: asyncio.Event = attrs.field(factory=asyncio.Event)

    @classmethod
    def of(
        cls, client: KlingClient, budget: Budget, log: TaskLog, folder: Path, *, is_remote: bool = False
    ) -> "AgentService":
        """
        Return the operations of a client, which was made with *budget*, and with `log.note` as `on_event`.

        Args:
            folder: Where files are saved. It must exist.
            is_remote: Whether callers may be on other machines. They can then send no files but those in the folder.
        """
        log.open(client.base_url)
        drafts = Drafts(client.dialect, folder, is_remote=is_remote)
        return cls(client, drafts, Spending(budget, client.dialect), log, folder)

    async def create(
        self, request: TaskRequest, wait_seconds: float, context: AnyContext, *, is_on_top: bool = False
    ) -> CallToolResult:
        """
        Create a task, wait for it for so many seconds, and report on it.

        Cancelling this while nothing was sent sends nothing. A task that was accepted all the same is in the log.

        Args:
            is_on_top: Whether the user has agreed to pay for it on top of the limit.

        Raises:
            ToolError: There was no free slot in time.
            KlingError: What `submit` and `wait` raise.
        """
        began = asyncio.get_running_loop().time()
        if is_on_top:
            self.spending.allow(request)
        try:
            handle = await self._submit(request, max(wait_seconds, SUBMIT_FOR), context)
        except (KlingError, ToolError) as error:
            if is_on_top and not isinstance(error, SubmissionUncertain):
                self.spending.withdraw(request)
            raise
        if is_on_top:
            self.log.when_failed(handle.task_id, functools.partial(self.spending.withdraw, request))
        await context.report_progress(0, wait_seconds or None, f"accepted as task {handle.task_id}")
        return await self._outcome(handle, wait_seconds - (asyncio.get_running_loop().time() - began), context)

    async def wait(self, task_id: str, kind: str, wait_seconds: float, context: AnyContext) -> CallToolResult:
        """
        Wait for a task for so many seconds, save its files if it has ended, and report on it.

        Raises:
            KlingError: What `wait` and `save` raise.
        """
        handle = self.client.handle(task_id, self._kind_of(task_id, kind))
        return await self._outcome(handle, wait_seconds, context)

    async def look(self, task_id: str, kind: str) -> CallToolResult:
        """
        Read the state of a task once.

        Raises:
            KlingError: What `get` raises.
        """
        kind = self._kind_of(task_id, kind)
        snapshot = await self.client.get(task_id, kind)
        report = task_report(task_id, kind, snapshot, self._saved(task_id), _next_step(snapshot))
        return result_of(report.as_text(), report)

    async def save(self, task_id: str, kind: str, name: str) -> CallToolResult:
        """
        Save the files of a task that has ended, under names of the template.

        Raises:
            ToolError: It has not ended yet, or the template is wrong.
            KlingError: What `get` and `save` raise.
        """
        kind = self._kind_of(task_id, kind)
        snapshot = await self.client.get(task_id, kind)
        if snapshot.task_status is not TaskStatus.SUCCEEDED:
            raise ToolError(f"Task {task_id} has no files: it is {status_word(snapshot)}. {_next_step(snapshot)}")
        known = self.log.get(task_id)
        result = TaskResult.of(snapshot, task_id, endpoint=kind, prompt="" if known is None else known.prompt)
        try:
            paths = await self.client.save(result, self.folder, name=name)
        except InvalidRequest:
            raise
        except ValueError as error:  # the template
            raise ToolError(str(error)) from None
        return await self._with_files(result, kind, paths)

    async def tasks(self, source: str, kind: str, status: str, limit: int) -> CallToolResult:
        """
        List the tasks of this server, or those of the account.

        Raises:
            ToolError: There is no such status.
            KlingError: What `client.tasks` raises.
        """
        if status and status not in STATUSES:
            raise ToolError(f"status={shown(status)}: must be one of {', '.join(STATUSES)}")
        lines = [line_of(task) for task in self.log if kind in ("", task.kind)][::-1]
        if source == "account":
            lines = await self._account_lines(kind or DEFAULT_ENDPOINT.name, status, limit + 1)
        lines = [line for line in lines if status in ("", line.status)]
        listed = TaskList(lines[:limit], has_more=len(lines) > limit)
        return result_of(as_lines(listed.tasks) or "There are no such tasks.", listed)

    async def _submit(self, request: TaskRequest, seconds: float, context: AnyContext) -> TaskHandle:
        handle = await wait_for(
            self.client.submit(request), seconds, context, lambda: "waiting to be accepted", self.stopping
        )
        if handle is None:
            raise ToolError(
                f"The service did not accept the request within {seconds:g} s, mostly since all slots of the account "
                "are in use, or this server is being stopped. It was withdrawn. If it was just being sent, list_tasks "
                "will show its task. Wait for a running task first, or try again later."
            )
        return handle

    async def _outcome(self, handle: TaskHandle, seconds: float, context: AnyContext) -> CallToolResult:
        kind = handle.endpoint.name
        if not handle.is_settled and seconds > 0:
            await wait_for(
                handle.wait(timeout=None),
                seconds,
                context,
                lambda: f"task {handle.task_id} is {status_word(handle.snapshot)}",
                self.stopping,
            )
        if not handle.is_settled:
            report = task_report(handle.task_id, kind, handle.snapshot, next_step=_still_running(handle))
            return result_of(report.as_text(), report)
        result = await handle.wait(timeout=0)
        paths = self._saved(handle.task_id)
        if len(paths) < len(result.files):
            paths = tuple(await self.client.save(result, self.folder))
        return await self._with_files(result, kind, paths)

    async def _with_files(self, result: TaskResult, kind: str, paths: Any) -> CallToolResult:
        report = task_report(result.task_id, kind, result.snapshot, paths)
        return result_of(report.as_text(), report, *await contents_of(paths))

    async def _account_lines(self, kind: str, status: str, most: int) -> list[TaskLine]:
        lines: list[TaskLine] = []
        async with contextlib.aclosing(self.client.tasks(kind, page_size=_PAGE)) as snapshots:
            async for snapshot in snapshots:
                known = self.log.get(snapshot.task_id)
                line = line_of_snapshot(snapshot, kind, "" if known is None else known.prompt)
                if status in ("", line.status):
                    lines.append(line)
                if len(lines) == most:
                    break
        return lines

    def _kind_of(self, task_id: str, kind: str) -> str:
        known = self.log.get(task_id)
        return endpoint_named(kind or (DEFAULT_ENDPOINT.name if known is None else known.kind)).name

    def _saved(self, task_id: str) -> tuple[Path, ...]:
        known = self.log.get(task_id)
        paths = () if known is None else known.paths
        return paths if all(path.is_file() for path in paths) else ()


def _next_step(snapshot: TaskSnapshot) -> str:
    match snapshot.task_status:
        case TaskStatus.SUCCEEDED:
            return "wait_for_task returns its files."
        case TaskStatus.FAILED:
            return "It has failed; there is nothing to wait for."
        case _:
            return "It is still running: call wait_for_task."


def _still_running(handle: TaskHandle) -> str:
    return f"It is still running and is paid for: call wait_for_task with task_id {handle.task_id}."
