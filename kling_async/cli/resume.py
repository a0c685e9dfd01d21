"""
Continue with tasks of earlier runs: what `wait` and `save` share.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.request_checks import make_ready
from kling_async.cli.screen import open_screen_beside
from kling_async.cli.service_options import ServiceOptions
from kling_async.cli.task_board import TaskBoard
from kling_async.cli.task_runner import TaskRunner
from kling_async.media.naming import DEFAULT_NAME
from kling_async.media.storage import Storage
from kling_async.wire.endpoints.registry import endpoint_named

__all__ = ["FILES_MAX", "default_folder", "resume_tasks"]

FILES_MAX: Final = 9
"""
The largest number of files of one kind that a task has.
"""

_FOLDERS: Final = {"images": "pictures", "videos": "videos", "audios": "sounds"}


def default_folder(kinds: Iterable[str]) -> Path:
    """
    Return the folder for the files of tasks of these endpoints, as `client.save` names it; `results` if the tasks make
    different kinds of files.
    """
    names = {_FOLDERS.get(endpoint_named(kind).results[0], "results") for kind in kinds}
    return Path(names.pop() if len(names) == 1 else "results")


async def resume_tasks(
    tasks: Mapping[str, str],
    service: ServiceOptions,
    folder: Path | Storage | None,
    *,
    as_json: bool,
    name: str = DEFAULT_NAME,
    timeout: float | None = None,
    polls_once: bool = False,
) -> ExitCode:
    """
    Wait for tasks and save their files as `TaskRunner` does, and return the exit code.

    Args:
        tasks: The name of the endpoint of each, by its id.
    """
    client = service.make_client(None)
    board = TaskBoard.of_tasks([client.handle(task_id, endpoint) for task_id, endpoint in tasks.items()])
    if folder is not None:
        await make_ready(folder)
    runner = TaskRunner(
        client,
        board,
        open_screen_beside(board, as_json=as_json),
        service,
        folder,
        timeout=timeout,
        polls_once=polls_once,
        name=lambda _: name,
        as_json=as_json,
    )
    await runner.run()
    return runner.sum_up({})
