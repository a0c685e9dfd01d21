"""
`kling-async tasks`: the account's tasks, where the service lists them.
"""

import enum
from collections.abc import Collection
from typing import Annotated, Final

import typer

from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.json_output import status_of
from kling_async.cli.log_forwarding import logging_to_stderr
from kling_async.cli.options import AsJson, BaseUrl, Patience, Service
from kling_async.cli.screen import print_error
from kling_async.cli.service_options import ServiceOptions
from kling_async.cli.task_listing import ListedTask, TaskListing
from kling_async.cli.task_runner import run
from kling_async.wire.tasks import TaskStatus

__all__ = ["EXAMPLES", "tasks"]

EXAMPLES: Final = """\
Examples:
  kling-async tasks --limit 5
  kling-async tasks --status submitted --status processing
  kling-async tasks --status succeed --json | kling-async save -
"""

_PAGE_MAX: Final = 500  # the vendor's


class StatusWord(enum.StrEnum):
    """
    What tasks can be chosen by.
    """

    SUBMITTED = TaskStatus.SUBMITTED.value
    PROCESSING = TaskStatus.PROCESSING.value
    SUCCEED = TaskStatus.SUCCEEDED.value
    FAILED = TaskStatus.FAILED.value


def tasks(
    *,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Tasks at most; else 30.", show_default=False)] = 30,
    words: Annotated[
        list[StatusWord] | None,
        typer.Option("--status", metavar="WORD", help="Only such; repeatable."),
    ] = None,
    as_json: AsJson = False,
    base_url: BaseUrl = None,
    dialect: Service = None,
    give_up_after: Patience = 120.0,
) -> None:
    """
    List the account's tasks, where the service does.

    The order is its own. A WORD is submitted, processing, succeed or failed.
    """
    access = ServiceOptions(base_url=base_url, dialect=dialect, give_up_after=give_up_after)
    run(_tasks(access, limit, words or (), as_json=as_json))


async def _tasks(access: ServiceOptions, limit: int, words: Collection[str], *, as_json: bool) -> ExitCode:
    client = access.make_client(None)
    if not client.dialect.lists:
        print_error(
            f"A {client.dialect.name} service does not list tasks: ask for them by their ids.",
            "generate prints them, and a batch's journal has them all.",
            "A service that lists tasks as the vendor does is asked with --dialect official.",
        )
        return ExitCode.USAGE
    count = 0
    # what is left out takes room on a page as well
    page_size = 100 if words else min(limit, _PAGE_MAX)
    with logging_to_stderr(), TaskListing(as_json=as_json) as listing:
        async with client:
            async for seen in client.tasks(page_size=page_size):
                if words and status_of(seen) not in words:
                    continue
                listing.add(ListedTask.of(seen))
                count += 1
                if count == limit:
                    break
    if count == limit:
        print_error("There may be more: --limit N.")
    elif not count:
        print_error("There are no such tasks." if words else "There are no tasks.")
    return ExitCode.WELL
