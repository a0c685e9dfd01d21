"""
`kling-async wait`: wait for tasks of earlier runs.
"""

from typing import Annotated, Final

import typer

from kling_async.cli.command_runner import run
from kling_async.cli.option_groups import with_option_groups
from kling_async.cli.options import AsJson, Kind, Name, OutByKind, TaskIds, check_name, read_ids, timeout_option
from kling_async.cli.resume import FILES_MAX, default_folder, resume_tasks
from kling_async.cli.service_options import ServiceOptions
from kling_async.media.naming import DEFAULT_NAME, TASK_FIELDS
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT, endpoint_named

__all__ = ["EXAMPLES", "wait"]

EXAMPLES: Final = """\
Examples:
  kling-async wait CjikY2gHPbcAAAAAAKJ0-A
  kling-async wait --kind text-to-video 867283741759111202
  kling-async wait --out fetched - < ids.txt
  kling-async tasks --status processing --json | kling-async wait --save -
"""


@with_option_groups
def wait(
    *,
    task_ids: TaskIds,
    kind: Kind = DEFAULT_ENDPOINT.name,
    is_saved: Annotated[bool, typer.Option("--save", help="Save the files; --out implies it.")] = False,
    out: OutByKind = None,
    name: Name = DEFAULT_NAME,
    as_json: AsJson = False,
    service: ServiceOptions,
    timeout: Annotated[float | None, timeout_option("600 for images, 1800 for most videos")] = None,
) -> None:
    """
    Wait until tasks end.

    Waiting is free. Ctrl-C stops the waiting, not the tasks.
    """
    tasks = read_ids(task_ids, kind)
    if name != DEFAULT_NAME and not is_saved and out is None:
        raise typer.BadParameter("it needs --save or --out", param_hint="--name")
    check_name(name, TASK_FIELDS, files=FILES_MAX, is_one=len(tasks) == 1)
    folder = default_folder(tasks.values()) if is_saved and out is None else out
    seconds = timeout or max(endpoint_named(each).timeout for each in tasks.values())
    run(resume_tasks(tasks, service, folder, as_json=as_json, name=name, timeout=seconds))
