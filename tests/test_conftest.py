"""
Simulated time, which the tests of waiting stand on.
"""

import asyncio
import threading

from tests.fakes.simulated_loop import simulated


@simulated
async def test_time_stands_still_while_threads_work() -> None:
    """
    A thread that is quick in real time is not overtaken by a timer, however soon that is.
    """
    loop = asyncio.get_running_loop()
    has_slept = asyncio.ensure_future(asyncio.sleep(0.001))
    await asyncio.to_thread(threading.Event().wait, 0.05)

    assert loop.time() == 0.0
    assert not has_slept.done()
    await has_slept


@simulated
async def test_bytes_arrive_before_time_passes() -> None:
    """
    What one socket sends to another of the same loop takes no time, though an hour is next.
    """
    loop = asyncio.get_running_loop()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server, asyncio.timeout(3600):
        host, port = server.sockets[0].getsockname()
        for _ in range(20):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"a lighthouse\n")
            assert b"a lighthouse\n" == await reader.read()
            writer.close()
            await writer.wait_closed()

    assert loop.time() == 0.0
