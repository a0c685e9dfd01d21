"""
A program that saves one video, and prints its digest, and how much memory that took.

`python -m tests.fakes.saving_program BASE_URL VIDEO_URL FOLDER`
"""

import asyncio
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Final

from kling_async import OFFICIAL, KlingClient
from kling_async.wire.tasks import TaskResult, TaskSnapshot, TaskStatus, Video

__all__ = ["result_of"]

_STATUS: Final = Path("/proc/self/status")


def result_of(url: str) -> TaskResult:
    """
    The result of a task that has made one video.
    """
    snapshot = TaskSnapshot(task_id="t1", task_status=TaskStatus.SUCCEEDED)
    return TaskResult("t1", (), snapshot, videos=(Video(0, url),))


def _kib(name: str) -> int:
    (found,) = re.findall(rf"^{name}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    return int(found)


async def _main(base_url: str, url: str, folder: str) -> None:
    async with KlingClient("sk-1", base_url=base_url, dialect=OFFICIAL) as client:
        await client.save(result_of(f"{base_url}/small"), Path(folder) / "small")  # all that it needs is loaded
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
        idle = _kib("VmRSS")
        (path,) = await client.save(result_of(url), folder)
        kib = _kib("VmHWM") - idle
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    print(json.dumps({"sha256": digest, "kib": kib}))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
