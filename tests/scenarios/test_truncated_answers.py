"""
Answers to creates that break off or never end: what they hold is used.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from kling_async.errors import SubmissionUncertain
from tests.fakes.observers import Steps
from tests.fakes.scripted_server import raw_server
from tests.fakes.simulated_loop import simulated
from tests.scenarios.test_connection_failures import LIGHTHOUSE, client_to

BODY = json.dumps({"code": 0, "data": {"task_id": "t-7", "task_status": "submitted"}}).encode()
TORN = b'{"code":0,"data":{"task_id":"t-7","task_st'
ANOTHER = b'{"code":0,"data":{"task_id":"t-'


def saying(
    head: str, body: bytes, *, hangs_up: bool
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        assert request.startswith(b"POST")
        writer.write(f"HTTP/1.1 200 OK\r\n{head.format(size=len(body))}".encode() + body)
        await writer.drain()
        if not hangs_up:
            await reader.read()

    return talk


NEVER_ENDING = pytest.mark.parametrize(
    "head",
    ["Content-Length: 5000\r\n\r\n", "\r\n", "Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n"],
    ids=["too long a length", "no length", "no last chunk"],
)
"""
How the head of an answer can promise more than comes.
"""


@pytest.mark.parametrize("hangs_up", [True, False], ids=["hangs up", "stays silent"])
@NEVER_ENDING
def test_id_in_a_truncated_answer_is_reported(head: str, *, hangs_up: bool) -> None:
    """
    The create is uncertain, and the error names the task, which is paid for.
    """

    @simulated
    async def story() -> None:
        async with raw_server(saying(head, TORN, hangs_up=hangs_up)) as url, client_to(url) as client:
            with pytest.raises(SubmissionUncertain) as caught:
                await client.submit(LIGHTHOUSE)

        assert ("t-7", True) == (caught.value.task_id, "t-7" in str(caught.value))

    story()


@pytest.mark.parametrize("hangs_up", [True, False], ids=["hangs up", "stays silent"])
@NEVER_ENDING
def test_complete_body_counts_without_its_end(head: str, *, hangs_up: bool) -> None:
    """
    JSON shows where it ends, so the body is known to be complete.
    """

    @simulated
    async def story() -> None:
        steps = Steps()
        async with raw_server(saying(head, BODY, hangs_up=hangs_up)) as url, client_to(url) as client:
            handle = await client.core.submit_observed(LIGHTHOUSE, steps)

        assert ("t-7", ["sending"]) == (handle.task_id, steps.taken)

    story()


@simulated
async def test_half_an_id_is_no_id() -> None:
    """
    An id that is cut is not told: it would be that of nothing, or of somebody else's task.
    """
    async with (
        raw_server(saying("Content-Length: 5000\r\n\r\n", ANOTHER, hangs_up=True)) as url,
        client_to(url) as client,
    ):
        with pytest.raises(SubmissionUncertain) as caught:
            await client.submit(LIGHTHOUSE)

    assert caught.value.task_id is None


@simulated
async def test_torn_id_forges_no_line_of_a_log() -> None:
    """
    It comes from outside, and is shown without its line breaks.
    """
    forged = b'{"data":{"task_id":"t-7\nERROR paid","task_st'
    async with (
        raw_server(saying("Content-Length: 5000\r\n\r\n", forged, hangs_up=True)) as url,
        client_to(url) as client,
    ):
        with pytest.raises(SubmissionUncertain) as caught:
            await client.submit(LIGHTHOUSE)

    assert "t-7 ERROR paid" == caught.value.task_id
