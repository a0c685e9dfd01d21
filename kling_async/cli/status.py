"""
`kling-async status`: how tasks are just now, one look at each.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from kling_async.cli.exit_codes import ExitCode, advice_for, exit_code
from kling_async.cli.log_forwarding import logging_to_stderr
from kling_async.cli.options import AsJson, BaseUrl, Patience, Service, TaskIds, read_ids
from kling_async.cli.screen import print_error
from kling_async.cli.service_options import ServiceOptions
from kling_async.cli.task_listing import ListedTask, TaskListing
from kling_async.cli.task_runner import run
from kling_async.client.client import KlingClient
from kling_async.errors import KlingError, TaskFailed
from kling_async.wire.redaction import one_line

__all__ = ["EXAMPLES", "status"]

EXAMPLES: Final = """\
Examples:
  kling-async status CjikY2gHPbcAAAAAAKJ0-A
  kling-async status - < ids.txt
  kling-async tasks --json | kling-async status --json -
"""


def status(
    *,
    task_ids: TaskIds,
    as_json: AsJson = False,
    base_url: BaseUrl = None,
    dialect: Service = None,
    give_up_after: Patience = 120.0,
) -> None:
    """
    Tell how tasks are: one look at each.

    Exit code 1 tells that one has failed, or that the service does not know it.
    """
    ids = read_ids(task_ids)
    run(_status(ids, ServiceOptions(base_url=base_url, dialect=dialect, give_up_after=give_up_after), as_json=as_json))


async def _status(task_ids: Sequence[str], access: ServiceOptions, *, as_json: bool) -> ExitCode:
    errors: dict[type[KlingError], KlingError] = {}
    with logging_to_stderr(), TaskListing(as_json=as_json) as listing:
        async with access.make_client(None) as client, asyncio.TaskGroup() as group:
            for look in [group.create_task(_look(client, task_id)) for task_id in task_ids]:
                told = await look
                listing.add(told)
                if told.error is not None:
                    errors.setdefault(type(told.error), told.error)
    for kind, error in errors.items():
        if not isinstance(error, TaskFailed):  # of which the listing has told already
            print_error(one_line(f"{kind.__name__}: {error}"))
        print_error(f"{kind.__name__}: {advice_for(error)}")
    return exit_code(errors.values())


async def _look(client: KlingClient, task_id: str) -> ListedTask:
    try:
        return ListedTask.of(await client.get(task_id))
    except KlingError as error:
        return ListedTask(task_id, None, error)
