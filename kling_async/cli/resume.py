"""
Tasks of earlier runs, brought to their end: what `wait` and `save` have in common.
"""

from collections.abc import Sequence
from pathlib import Path

from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.request_checks import make_ready
from kling_async.cli.screen import open_screen_beside
from kling_async.cli.service_options import ServiceOptions
from kling_async.cli.task_board import TaskBoard
from kling_async.cli.task_runner import TaskRunner
from kling_async.media.storage import Storage

__all__ = ["resume_tasks"]


async def resume_tasks(
    task_ids: Sequence[str],
    access: ServiceOptions,
    folder: Path | Storage | None,
    *,
    as_json: bool,
    name: str = "{task_id}-{index}{ext}",
    timeout: float | None = None,
    looks_once: bool = False,
) -> ExitCode:
    """
    Bring tasks to their end as `Work` does, and return how it went.
    """
    client = access.make_client(None)
    board = TaskBoard.of_tasks([client.handle(task_id) for task_id in task_ids])
    if folder is not None:
        await make_ready(folder)
    work = TaskRunner(
        client,
        board,
        open_screen_beside(board, as_json=as_json),
        access,
        folder,
        timeout=timeout,
        looks_once=looks_once,
        name=lambda _: name,
        as_json=as_json,
    )
    await work.run()
    return work.sum_up({})
