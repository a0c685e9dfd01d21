"""
`kling-async tasks`: the account's tasks, if the service lists them.
"""

import enum
from collections.abc import Collection
from typing import Annotated, Final

import typer

from kling_async.cli.command_runner import run
from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.json_output import status_of
from kling_async.cli.log_forwarding import logging_to_stderr
from kling_async.cli.option_groups import with_option_groups
from kling_async.cli.options import AsJson, Kind
from kling_async.cli.service_options import ServiceOptions
from kling_async.cli.task_listing import ListedTask, TaskListing
from kling_async.cli.terminal import print_error
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT
from kling_async.wire.tasks import TaskStatus

__all__ = ["EXAMPLES", "tasks"]

EXAMPLES: Final = """\
Examples:
  kling-async tasks --limit 5
  kling-async tasks --kind text-to-video
  kling-async tasks --status submitted --status processing
  kling-async tasks --status succeed --json | kling-async save -
"""

_PAGE_MAX: Final = 500  # the vendor's


class StatusWord(enum.StrEnum):
    """
    The values of `--status`.
    """

    SUBMITTED = TaskStatus.SUBMITTED.value
    PROCESSING = TaskStatus.PROCESSING.value
    SUCCEED = TaskStatus.SUCCEEDED.value
    FAILED = TaskStatus.FAILED.value


@with_option_groups
def tasks(
    *,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, help="Show at most N tasks (default 30)", show_default=False)
    ] = 30,
    words: Annotated[
        list[StatusWord] | None,
        typer.Option("--status", metavar="WORD", help="Only tasks with this status; repeatable."),
    ] = None,
    kind: Kind = DEFAULT_ENDPOINT.name,
    as_json: AsJson = False,
    service: ServiceOptions,
) -> None:
    """
    List the account's tasks of one kind, if the service can.

    The service decides the order. WORD is submitted, processing, succeed or failed.
    """
    run(_tasks(service, kind, limit, words or (), as_json=as_json))


async def _tasks(service: ServiceOptions, kind: str, limit: int, words: Collection[str], *, as_json: bool) -> ExitCode:
    client = service.make_client(None)
    if not client.dialect.lists:
        print_error(
            f"A {client.dialect.name} service does not list tasks. Use kling-async status with task ids instead.",
            "generate prints the ids, and the journal of a batch contains them.",
            "If this service lists tasks as the vendor does, use --dialect official.",
        )
        return ExitCode.USAGE
    count = 0
    # with --status, tasks that are not shown take room on a page too
    page_size = 100 if words else min(limit, _PAGE_MAX)
    with logging_to_stderr(), TaskListing(as_json=as_json) as listing:
        async with client:
            async for snapshot in client.tasks(kind, page_size=page_size):
                if words and status_of(snapshot) not in words:
                    continue
                listing.add(ListedTask.of(snapshot, kind))
                count += 1
                if count == limit:
                    break
    if count == limit:
        print_error("There may be more tasks; use --limit to show them.")
    elif not count:
        print_error("No tasks have this status." if words else "The account has no tasks.")
    return ExitCode.SUCCESS
