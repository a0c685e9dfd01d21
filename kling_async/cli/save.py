"""
`kling-async save`: the pictures of tasks that have ended.
"""

from pathlib import Path
from typing import Annotated, Final

import typer

from kling_async.cli.options import AsJson, BaseUrl, Patience, Service, Shelf, TaskIds, check_names, name_of, read_ids
from kling_async.cli.resume import resume_tasks
from kling_async.cli.service_options import ServiceOptions
from kling_async.cli.task_runner import run
from kling_async.media.naming import Names

__all__ = ["EXAMPLES", "save"]

EXAMPLES: Final = """\
Examples:
  kling-async save CjikY2gHPbcAAAAAAKJ0-A
  kling-async save CjikY2gHPbcAAAAAAKJ0-A --name "lighthouse-{index}{ext}"
  kling-async save --out fetched - < ids.txt
"""

_MOST: Final = 9  # pictures of a task


def save(
    *,
    task_ids: TaskIds,
    out: Shelf = Path("pictures"),
    name: Annotated[str, name_of("{task_id} {index} {ext}")] = "{task_id}-{index}{ext}",
    as_json: AsJson = False,
    base_url: BaseUrl = None,
    dialect: Service = None,
    give_up_after: Patience = 120.0,
) -> None:
    """
    Save the pictures of tasks that have ended.

    Which have not is told, and is exit code 1: wait --save waits for them.
    """
    ids = read_ids(task_ids)
    check_names(Names(name, "0"), _MOST)
    if len(ids) > 1 and "{task_id}" not in name:
        raise typer.BadParameter("it needs {task_id}: tasks would replace each other's", param_hint="--name")
    access = ServiceOptions(base_url=base_url, dialect=dialect, give_up_after=give_up_after)
    run(resume_tasks(ids, access, out, as_json=as_json, name=name, looks_once=True))
