"""
kling_async, with each way of waiting.
"""

import contextlib
import socket
from collections.abc import AsyncIterator

import attrs

from benchmarks.contenders import Job
from benchmarks.stand_in import SECRET
from kling_async import GATEWAY, OFFICIAL, CallbackReceiver, KlingClient, PollPolicy

DIALECTS = {"list": OFFICIAL, "ids": attrs.evolve(OFFICIAL, lists=False), "gateway": GATEWAY}


@contextlib.asynccontextmanager
async def contend(
    url: str,
    count: int,
    way: str,
    polling: PollPolicy = PollPolicy(),  # noqa: B008 (frozen)
    *,
    uses_callbacks: bool = False,
) -> AsyncIterator[Job]:
    """
    A client with as many slots as tasks, and defaults otherwise.

    Args:
        uses_callbacks: Whether to use signed callbacks, with the receiver's own server.
    """
    async with contextlib.AsyncExitStack() as stack:
        receiver = None
        if uses_callbacks:
            port = _free_port()
            receiver = CallbackReceiver(f"http://127.0.0.1:{port}/kling", secret=SECRET)
            await stack.enter_async_context(receiver.serve(port=port))
        client = await stack.enter_async_context(
            KlingClient("sk-x", base_url=url, dialect=DIALECTS[way], slots=count, polling=polling, callbacks=receiver)
        )

        async def job() -> str:
            handle = await client.submit("a lighthouse")
            assert (await handle).images
            return handle.task_id

        yield job


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
