"""
`kling-async save`: save the pictures of tasks that have ended.
"""

from pathlib import Path
from typing import Annotated, Final

import typer

from kling_async.cli.command_runner import run
from kling_async.cli.option_groups import with_option_groups
from kling_async.cli.options import AsJson, OutOrStorage, TaskIds, check_names, name_option, read_ids
from kling_async.cli.resume import resume_tasks
from kling_async.cli.service_options import ServiceOptions
from kling_async.media.naming import TASK_FIELDS, NameTemplate

__all__ = ["EXAMPLES", "save"]

EXAMPLES: Final = """\
Examples:
  kling-async save CjikY2gHPbcAAAAAAKJ0-A
  kling-async save CjikY2gHPbcAAAAAAKJ0-A --name "lighthouse-{index}{ext}"
  kling-async save --out fetched - < ids.txt
"""


@with_option_groups
def save(
    *,
    task_ids: TaskIds,
    out: OutOrStorage = Path("pictures"),
    name: Annotated[str, name_option(TASK_FIELDS)] = "{task_id}-{index}{ext}",
    as_json: AsJson = False,
    service: ServiceOptions,
) -> None:
    """
    Save the pictures of tasks that have ended.

    If a task is still running, the exit code is 1; to wait for it, use wait --save.
    """
    ids = read_ids(task_ids)
    check_names(NameTemplate.trial(name, TASK_FIELDS), 9)  # a task has at most 9 pictures
    if len(ids) > 1 and "{task_id}" not in name:
        raise typer.BadParameter("with several tasks it must contain {task_id}", param_hint="--name")
    run(resume_tasks(ids, service, out, as_json=as_json, name=name, polls_once=True))
