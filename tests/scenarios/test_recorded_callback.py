"""
A callback that was recorded at the vendor's, byte for byte but for the id, settles the task that it reports.
"""

import json
from pathlib import Path
from typing import Final

import aiohttp

from kling_async import OFFICIAL, CallbackReceiver, PollPolicy, TextToVideo
from kling_async.emulator import faults
from tests.fakes.clients import client_of, emulator

SAMPLE: Final = Path(__file__).parents[1] / "samples" / "vendor-callback-video"

RARELY: Final = PollPolicy(first_delay=60.0, max_delay=60.0)


async def test_recorded_callback_of_a_video() -> None:
    """
    It has no signature: the receiver takes it as a hint, and one read shows that the task is done.
    """
    about = json.loads((SAMPLE / "answer.json").read_text())
    recorded = (SAMPLE / "body.json").read_bytes()
    receiver = CallbackReceiver("http://127.0.0.1/kling")
    silent = emulator(OFFICIAL, faults.callback_lost(), latency=(0.0, 0.0))
    async with receiver.serve() as served, silent as server:
        async with client_of(server, callbacks=receiver, polling=RARELY) as client, aiohttp.ClientSession() as session:
            handle = await client.submit(TextToVideo("a boat", duration=3))
            assert client.core._router is not None
            (subscription,) = client.core._router._subscriptions.values()
            address = subscription.address.replace("http://127.0.0.1/kling", served.url)
            body = recorded.replace(about["expect"]["task_id"].encode(), handle.task_id.encode())
            async with session.post(address, data=body, headers=about["headers"]) as response:
                assert 200 == response.status
            result = await handle.wait(30.0)

    assert (1, 0, 0) == (len(result.videos), len(result.images), len(result.audios))
    assert 1 == receiver.counts.received
    assert 1 == server.ledger.reads + server.ledger.list_reads
