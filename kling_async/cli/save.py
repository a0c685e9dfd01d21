"""
`kling-async save`: save the files of tasks that have ended.
"""

from typing import Final

from kling_async.cli.command_runner import run
from kling_async.cli.option_groups import with_option_groups
from kling_async.cli.options import AsJson, Kind, Name, OutByKind, TaskIds, check_name, read_ids
from kling_async.cli.resume import FILES_MAX, default_folder, resume_tasks
from kling_async.cli.service_options import ServiceOptions
from kling_async.media.naming import DEFAULT_NAME, TASK_FIELDS
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT

__all__ = ["EXAMPLES", "save"]

EXAMPLES: Final = """\
Examples:
  kling-async save CjikY2gHPbcAAAAAAKJ0-A
  kling-async save CjikY2gHPbcAAAAAAKJ0-A --name "lighthouse-{index}{ext}"
  kling-async save --kind text-to-video 867283741759111202 --out videos
  kling-async save --out fetched - < ids.txt
"""


@with_option_groups
def save(
    *,
    task_ids: TaskIds,
    kind: Kind = DEFAULT_ENDPOINT.name,
    out: OutByKind = None,
    name: Name = DEFAULT_NAME,
    as_json: AsJson = False,
    service: ServiceOptions,
) -> None:
    """
    Save the files of tasks that have ended.

    If a task is still running, the exit code is 1; to wait for it, use wait --save.
    """
    tasks = read_ids(task_ids, kind)
    check_name(name, TASK_FIELDS, files=FILES_MAX, is_one=len(tasks) == 1)
    folder = out or default_folder(tasks.values())
    run(resume_tasks(tasks, service, folder, as_json=as_json, name=name, polls_once=True))
