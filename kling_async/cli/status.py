"""
`kling-async status`: the current status of tasks, read once.
"""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from kling_async.cli.command_runner import run
from kling_async.cli.exit_codes import ExitCode, advice_for, exit_code
from kling_async.cli.log_forwarding import logging_to_stderr
from kling_async.cli.option_groups import with_option_groups
from kling_async.cli.options import AsJson, Kind, TaskIds, read_ids
from kling_async.cli.service_options import ServiceOptions
from kling_async.cli.task_listing import ListedTask, TaskListing
from kling_async.cli.terminal import print_error
from kling_async.errors import KlingError, TaskFailed
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT
from kling_async.wire.redaction import one_line

if TYPE_CHECKING:
    from kling_async.client.client import KlingClient

__all__ = ["EXAMPLES", "status"]

EXAMPLES: Final = """\
Examples:
  kling-async status CjikY2gHPbcAAAAAAKJ0-A
  kling-async status --kind text-to-video 867283741759111202
  kling-async status - < ids.txt
  kling-async tasks --json | kling-async status --json -
"""


@with_option_groups
def status(
    *, task_ids: TaskIds, kind: Kind = DEFAULT_ENDPOINT.name, as_json: AsJson = False, service: ServiceOptions
) -> None:
    """
    Show the current status of tasks.

    The exit code is 1 if a task has failed or the service does not know it.
    """
    run(_status(read_ids(task_ids, kind), service, as_json=as_json))


async def _status(tasks: Mapping[str, str], service: ServiceOptions, *, as_json: bool) -> ExitCode:
    errors: dict[type[KlingError], KlingError] = {}
    with logging_to_stderr(), TaskListing(as_json=as_json) as listing:
        async with service.make_client(None) as client, asyncio.TaskGroup() as group:
            for read in [group.create_task(_read(client, *each)) for each in tasks.items()]:
                task = await read
                listing.add(task)
                if task.error is not None:
                    errors.setdefault(type(task.error), task.error)
    for kind, error in errors.items():
        if not isinstance(error, TaskFailed):  # the listing shows the message of a failed task
            print_error(one_line(f"{kind.__name__}: {error}"))
        print_error(f"{kind.__name__}: {advice_for(error)}")
    return exit_code(errors.values())


async def _read(client: "KlingClient", task_id: str, endpoint: str) -> ListedTask:
    try:
        return ListedTask.of(await client.get(task_id, endpoint), endpoint)
    except KlingError as error:
        return ListedTask(task_id, None, error, endpoint)
