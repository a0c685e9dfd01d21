"""
The command that continues where another one stopped, ready to copy.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kling_async.cli.service_options import ServiceOptions
from kling_async.media.naming import DEFAULT_NAME
from kling_async.media.storage import Storage
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT

__all__ = ["resume_command"]

SHOWN: Final = 20
"""
More ids than these would make the command line unreadable.
"""


def resume_command(
    verb: str,
    task_ids: Sequence[str],
    service: ServiceOptions,
    folder: Path | Storage | None,
    kind: str = DEFAULT_ENDPOINT.name,
    name: str = DEFAULT_NAME,
) -> str:
    """
    Return the command that runs *verb* ("wait" or "save") on *task_ids* of the endpoint *kind* at the same service, and
    saves to *folder* unless that is None, under names from the template *name*.
    """
    given = task_ids if len(task_ids) <= SHOWN else ["-"]
    looks_like_options = given is task_ids and any(task_id.startswith("-") for task_id in given)
    words = ["kling-async", verb, *([] if looks_like_options else given)]
    if kind != DEFAULT_ENDPOINT.name:
        words += ["--kind", kind]
    if folder is not None:
        words += ["--save"] if verb == "wait" else []
        words += ["--out", str(folder)]
        words += ["--name", name] if name != DEFAULT_NAME else []
    if service.base_url is not None:
        words += ["--base-url", service.base_url]
    if service.dialect is not None:
        words += ["--dialect", service.dialect.word]
    if looks_like_options:
        words += ["--", *given]
    hint = "" if len(task_ids) <= SHOWN else f"   (pass these {len(task_ids)} ids on stdin, one per line)"
    return shlex.join(words) + hint
