"""
Runs the requests of a command: checks them all, generates at the same time, saves, and sums up.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from kling_async.cli.demo import request_counts
from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.options import check_name
from kling_async.cli.request_checks import check_requests, make_ready
from kling_async.cli.screen import open_screen_beside
from kling_async.cli.service_options import EmulatedServiceOptions
from kling_async.cli.spending import SpendingOptions
from kling_async.cli.task_board import TaskBoard
from kling_async.cli.task_runner import TaskRunner
from kling_async.media.naming import DEFAULT_NAME, TASK_FIELDS
from kling_async.media.storage import Storage
from kling_async.wire.endpoints.base import TaskRequest
from kling_async.wire.endpoints.registry import endpoint_of

__all__ = ["run_requests"]


async def run_requests(
    requests: Sequence[TaskRequest],
    service: EmulatedServiceOptions,
    spending: SpendingOptions,
    out: Path | Storage,
    *,
    name: str = DEFAULT_NAME,
    timeout: float | None,
    as_json: bool,
    has_options: bool = True,
) -> ExitCode:
    """
    Generate and save the files of all *requests*; return how the command ends.

    Args:
        name: The template of file names.
        timeout: Seconds for each task; None is the longest that an endpoint of theirs suggests.
        has_options: Whether the fields of requests are options of the command, by whose names errors call them.
    """
    board = TaskBoard.of(requests)
    screen = open_screen_beside(board, as_json=as_json)
    seconds = timeout or max(endpoint_of(type(request)).timeout for request in requests)
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(service.make_emulator()) if service.is_emulated else None
        client = service.make_client(server, budget=spending.make_budget())
        files = max(endpoint_of(type(request)).files(request) for request in requests)
        check_name(name, TASK_FIELDS, files=files, is_one=len(requests) == 1)
        await check_requests(client, requests, has_options=has_options)
        await make_ready(out)
        runner = TaskRunner(client, board, screen, service, out, timeout=seconds, name=lambda _: name, as_json=as_json)
        await runner.run()
    return runner.sum_up(request_counts(server.ledger) if server is not None else {})
