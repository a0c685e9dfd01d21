"""
The command that goes on where another has ended: ready to be copied, and asking the same service.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kling_async.cli.service_options import ServiceOptions
from kling_async.media.storage import Storage

__all__ = ["resume_command"]

SHOWN: Final = 20
"""
Ids that a command line holds and can still be read.
"""


def resume_command(verb: str, task_ids: Sequence[str], access: ServiceOptions, folder: Path | Storage | None) -> str:
    """
    Return the command that does *verb* ("wait" or "save") with *task_ids*, saving to *folder* unless that is None.
    """
    given = task_ids if len(task_ids) <= SHOWN else ["-"]
    looks_like_options = given is task_ids and any(task_id.startswith("-") for task_id in given)
    words = ["kling-async", verb, *([] if looks_like_options else given)]
    if folder is not None:
        words += ["--save"] if verb == "wait" else []
        words += ["--out", str(folder)]
    if access.base_url is not None:
        words += ["--base-url", access.base_url]
    if access.dialect is not None:
        words += ["--dialect", access.dialect.value]
    if looks_like_options:
        words += ["--", *given]
    hint = "" if len(task_ids) <= SHOWN else f"   (give it these {len(task_ids)} ids, one per line)"
    return shlex.join(words) + hint
