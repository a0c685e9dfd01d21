"""
How long the way of one `generate` is: functions and calls of ours, and folders on the way, counted by a profile hook.
"""

import asyncio
import collections
import itertools
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import attrs
import pytest

import kling_async
from kling_async import GATEWAY, KlingClient, PollPolicy, TaskResult
from tests.fakes.simulated_loop import simulate
from tests.unit.test_imports import MAY_IMPORT, allowed_to

PACKAGE: Final = str(Path(kling_async.__file__).parent)

FUNCTIONS_MAX: Final = 110
CALLS_MAX: Final = 260
"""
By this counter there were 200 functions and 583 calls before a submit had one downward path.
"""

WITHIN_ANOTHER: Final = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}
"""
Code that is a part of the function around it. Python 3.12 makes no calls for most of it.
"""

STATUSES: Final = ("submitted", "processing", "succeed")


@attrs.define
class Profile:
    """
    Calls of functions of the package, in order: the module of each below the package, its name, and the folder of the
    function of ours that made it, None if the event loop did.
    """

    calls: list[tuple[str, str, str | None]] = attrs.field(factory=list)

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(PACKAGE) or code.co_name in WITHIN_ANOTHER:
            return
        # A coroutine that goes on after an `await` is no new call: only RESUME 0 begins a function.
        if code.co_code[frame.f_lasti + 1] & 3 == 0:
            self.calls.append((module_of(frame), code.co_qualname, self._caller_of(frame)))

    @staticmethod
    def _caller_of(frame: FrameType) -> str | None:
        above = frame.f_back
        while above is not None and not above.f_code.co_filename.startswith(PACKAGE):
            above = above.f_back
        return None if above is None else folder_of(module_of(above))

    @property
    def functions(self) -> collections.Counter[tuple[str, str]]:
        """
        How often each function was called.
        """
        return collections.Counter((module, name) for module, name, _ in self.calls)


def module_of(frame: FrameType) -> str:
    return Path(frame.f_code.co_filename).relative_to(PACKAGE).with_suffix("").as_posix()


def folder_of(module: str) -> str:
    return module.partition("/")[0]


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """
    A service that accepts a task and has made its picture when it is asked for the second time.
    """
    statuses, numbers = itertools.cycle(STATUSES), itertools.count()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"Content-Length: " in head:
                    await reader.readexactly(int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]))
                task: dict[str, Any] = {"task_id": f"t-{next(numbers) // 3}", "task_status": next(statuses)}
                if task["task_status"] == "succeed":
                    task["task_result"] = {"images": [{"index": 0, "url": "https://pictures.example/0.png"}]}
                body = json.dumps({"code": 0, "message": "SUCCEED", "request_id": "r-1", "data": task}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def generate_profiled(client: KlingClient) -> tuple[TaskResult, Profile]:
    profile = Profile()
    sys.setprofile(profile)
    try:
        return await client.generate("x"), profile
    finally:
        sys.setprofile(None)


@pytest.fixture
def profile() -> Profile:
    """
    The second `generate` of an open client, with two polls; in simulated time, or a busy machine would add timers.
    """

    async def story() -> Profile:
        polling = PollPolicy(first_delay=0.05, max_delay=0.1)
        async with (
            serving() as url,
            KlingClient("sk-0123456789", base_url=url, dialect=GATEWAY, polling=polling) as client,
        ):
            await client.generate("x")
            result, profile = await generate_profiled(client)
            assert 1 == len(result.images)
        return profile

    profile = simulate(story())
    assert 2 == profile.functions["wire/responses", "read_snapshot"]
    return profile


def test_way_of_one_task_is_short(profile: Profile) -> None:
    """
    Few functions of ours run from the call of `generate` to its return, and few calls are made.
    """
    functions = profile.functions

    assert len(functions) <= FUNCTIONS_MAX, sorted(functions)
    assert functions.total() <= CALLS_MAX, functions.most_common()


def test_way_of_one_task_leads_down(profile: Profile) -> None:
    """
    A folder is left only for one that it may import, so that the way comes back to it by return alone.
    """
    steps = {(caller, folder_of(module)) for module, _, caller in profile.calls if caller is not None}

    assert ("client", "wire") in steps
    assert set() == {(above, below) for above, below in steps if below != above and below not in allowed_to(above)}
    assert {folder for step in steps for folder in step} <= MAY_IMPORT.keys()
