"""
Sessions of the program with middlewares: what was sent is known, whatever a middleware does with the request.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from kling_async import GATEWAY, ImageRequest, KlingClient, RetryPolicy
from kling_async.errors import AccountProblem, ClientClosed, NotSent, SubmissionUncertain, Unreachable
from tests.fakes.observers import Steps
from tests.fakes.scripted_server import ReceivedRequest, http_response, raw_server, scripted_server
from tests.fakes.simulated_loop import simulated
from tests.scenarios.test_connection_failures import KEY

LIGHTHOUSE = ImageRequest("a lighthouse")
CREATED = http_response({"code": 0, "data": {"task_id": "t-1", "task_status": "submitted"}})
BRISK = RetryPolicy(first_delay=1.0, max_delay=1.0, give_up_after=3.0)


async def leave_alone(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    return await handler(request)


async def replace_body(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """
    What a middleware does that signs or encrypts bodies.
    """
    body = request.body
    await request.update_body(body if isinstance(body, bytes) else await body.as_bytes())
    return await handler(request)


async def replace_body_and_try_twice(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    try:
        return await replace_body(request, handler)
    except aiohttp.ServerDisconnectedError as error:
        raise aiohttp.ClientConnectorDNSError(request.connection_key, OSError("no such name")) from error


@contextlib.asynccontextmanager
async def borrowing(url: str, *middlewares: Any, **of_session: Any) -> AsyncIterator[KlingClient]:
    async with aiohttp.ClientSession(middlewares=middlewares, **of_session) as session:
        client = KlingClient(KEY, base_url=url, dialect=GATEWAY, session=session, retry=BRISK, slots=1)
        async with client:
            yield client


def lose_the_answer(_: ReceivedRequest) -> None:
    return None


@pytest.mark.parametrize("middleware", [leave_alone, replace_body, replace_body_and_try_twice])
@simulated
async def test_create_whose_body_a_middleware_replaced_is_not_sent_again(middleware: Any) -> None:
    """
    Its answer is lost: a task may exist, whoever made the bytes that left.
    """
    steps = Steps()
    async with scripted_server(lose_the_answer) as server, borrowing(server.url, middleware) as client:
        with pytest.raises(SubmissionUncertain):
            await client.core.submit_observed(LIGHTHOUSE, steps)

    assert (1, ["sending"]) == (len(server.served), steps.taken)


@simulated
async def test_accepted_create_whose_body_was_replaced_is_not_withdrawn() -> None:
    """
    A journal never says of it that nothing came of it.
    """
    steps = Steps()
    async with scripted_server(lambda _: CREATED) as server, borrowing(server.url, replace_body) as client:
        handle = await client.core.submit_observed(LIGHTHOUSE, steps)

    assert ("t-1", ["sending"]) == (handle.task_id, steps.taken)


@pytest.mark.parametrize("middleware", [leave_alone, replace_body])
@simulated
async def test_create_that_finds_no_connection_was_not_sent(middleware: Any) -> None:
    """
    Replacing a body makes nothing uncertain by itself.
    """
    steps = Steps()
    async with scripted_server(lose_the_answer) as server:
        url = server.url
    async with borrowing(url, middleware) as client:
        with pytest.raises(NotSent):
            await client.core.submit_observed(LIGHTHOUSE, steps)

    assert "withdrawn" == steps.taken[-1]


@simulated
async def test_create_on_its_way_with_a_replaced_body_is_finished_when_its_caller_is_cancelled() -> None:
    """
    Its task is known to the client, as that of any other submit is.
    """
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def answer_late(served: ReceivedRequest) -> bytes:
        arrived.set()
        await go_on.wait()
        return CREATED

    async with scripted_server(answer_late) as server, borrowing(server.url, replace_body) as client:
        submit = asyncio.ensure_future(client.submit(LIGHTHOUSE))
        await arrived.wait()
        submit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submit
        go_on.set()
        while client.core.submitter._deliveries:
            await asyncio.sleep(0)
        assert ["t-1"] == [handle.task_id for handle in client.unfinished]


@simulated
async def test_create_that_was_called_off_before_a_middleware_let_it_go_is_not_sent() -> None:
    """
    The client is closed while a middleware waits, and nothing leaves after that.
    """
    waits, go_on = asyncio.Event(), asyncio.Event()

    async def wait(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        waits.set()
        with contextlib.suppress(asyncio.CancelledError):
            await go_on.wait()
        return await replace_body(request, handler)

    async with scripted_server(lambda _: CREATED) as server, borrowing(server.url, wait) as client:
        submit = asyncio.ensure_future(client.submit(LIGHTHOUSE))
        await waits.wait()
        await client.aclose()
        with pytest.raises(ClientClosed):
            await submit

    assert [] == server.served


@simulated
async def test_create_that_is_refused_by_its_head_is_refused() -> None:
    """
    With `Expect: 100-continue` the service may refuse before it has seen the body, and nothing else has left.
    """
    heads: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(http_response({"code": 1102, "message": "Account balance not enough"}, "429 Too Many Requests"))
        await writer.drain()

    steps = Steps()
    async with raw_server(refuse) as url, borrowing(url, headers={"Expect": "100-continue"}) as client:
        with pytest.raises(AccountProblem):
            await client.core.submit_observed(LIGHTHOUSE, steps)

    assert (1, ["sending", "withdrawn"]) == (len(heads), steps.taken)


@simulated
async def test_read_that_outlives_its_client_still_has_a_time_limit() -> None:
    """
    Closing the client leaves the program's session open, and with it a request that the service does not answer.
    """
    arrived, end = asyncio.Event(), asyncio.Event()

    async def keep_silent(_: ReceivedRequest) -> None:
        arrived.set()
        await end.wait()

    async with scripted_server(keep_silent) as server, borrowing(server.url) as client:
        read = asyncio.ensure_future(client.get("t-1"))
        await arrived.wait()
        await client.aclose()
        async with asyncio.timeout(600):
            with pytest.raises(Unreachable):
                await read
        end.set()
