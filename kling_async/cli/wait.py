"""
`kling-async wait`: wait for tasks of earlier runs.
"""

from pathlib import Path
from typing import Annotated, Final

import typer

from kling_async.cli.command_runner import run
from kling_async.cli.option_groups import with_option_groups
from kling_async.cli.options import AsJson, OutOrStorage, TaskIds, read_ids, timeout_option
from kling_async.cli.resume import resume_tasks
from kling_async.cli.service_options import ServiceOptions

__all__ = ["EXAMPLES", "wait"]

EXAMPLES: Final = """\
Examples:
  kling-async wait CjikY2gHPbcAAAAAAKJ0-A
  kling-async wait --out fetched - < ids.txt
  kling-async tasks --status processing --json | kling-async wait --save -
"""


@with_option_groups
def wait(
    *,
    task_ids: TaskIds,
    is_saved: Annotated[bool, typer.Option("--save", help="Save the pictures; --out implies it.")] = False,
    out: OutOrStorage = None,
    as_json: AsJson = False,
    service: ServiceOptions,
    timeout: Annotated[float, timeout_option(600)] = 600.0,
) -> None:
    """
    Wait until tasks end.

    Waiting is free. Ctrl-C stops the waiting, not the tasks.
    """
    ids = read_ids(task_ids)
    folder = Path("pictures") if is_saved and out is None else out
    run(resume_tasks(ids, service, folder, as_json=as_json, timeout=timeout))
