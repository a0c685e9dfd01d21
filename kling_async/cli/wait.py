"""
`kling-async wait`: tasks of earlier runs, until they end.
"""

from pathlib import Path
from typing import Annotated, Final

import typer

from kling_async.cli.options import AsJson, BaseUrl, Patience, Service, Shelf, TaskIds, read_ids, timeout_of
from kling_async.cli.resume import resume_tasks
from kling_async.cli.service_options import ServiceOptions
from kling_async.cli.task_runner import run

__all__ = ["EXAMPLES", "wait"]

EXAMPLES: Final = """\
Examples:
  kling-async wait CjikY2gHPbcAAAAAAKJ0-A
  kling-async wait --out fetched - < ids.txt
  kling-async tasks --status processing --json | kling-async wait --save -
"""


def wait(
    *,
    task_ids: TaskIds,
    is_saved: Annotated[bool, typer.Option("--save", help="Save the pictures, as --out does.")] = False,
    out: Shelf = None,
    as_json: AsJson = False,
    base_url: BaseUrl = None,
    dialect: Service = None,
    timeout: Annotated[float, timeout_of(600)] = 600.0,
    give_up_after: Patience = 120.0,
) -> None:
    """
    Wait for tasks until they have ended.

    It costs nothing, and stopping it stops no task.
    """
    ids = read_ids(task_ids)
    access = ServiceOptions(base_url=base_url, dialect=dialect, give_up_after=give_up_after)
    folder = Path("pictures") if is_saved and out is None else out
    run(resume_tasks(ids, access, folder, as_json=as_json, timeout=timeout))
