"""
Proxies, name servers, pools and sessions that fail before a request is sent: nothing is uncertain.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, NoReturn

import aiohttp
import pytest
import uvloop

from kling_async import GATEWAY, HttpOptions, ImageRequest, KlingClient, PollPolicy, RetryPolicy
from kling_async.emulator import Emulator
from kling_async.errors import ClientClosed, InvalidRequest, KlingError, NotSent, SubmissionUncertain
from tests.fakes.deliveries import delivery
from tests.fakes.observers import Steps
from tests.fakes.scripted_server import Conversation, raw_server
from tests.fakes.simulated_loop import quiet_loop, simulated

FAR = "https://kling.example/kling"
BRISK = RetryPolicy(first_delay=1.0, max_delay=1.0, give_up_after=2.0)
LIGHTHOUSE = ImageRequest("a lighthouse")
KEY = "sk-0123456789abcdef"


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def talk_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"220 mail.example ESMTP\r\n\r\n")
    await writer.drain()


async def ask_for_a_login(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


async def hang_up_within_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await reader.read(1)


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


PROXIES: dict[str, Conversation] = {
    "hangs up": hang_up,
    "talks nonsense": talk_nonsense,
    "asks for a login": ask_for_a_login,
    "hangs up within TLS": hang_up_within_tls,
    "is silent": say_nothing,
}


def client_to(base_url: str, **options: Any) -> KlingClient:
    given: dict[str, Any] = {"dialect": GATEWAY, "retry": BRISK, "slots": 9}
    return KlingClient(KEY, base_url=base_url, **{**given, **options})


@pytest.mark.parametrize("talk", PROXIES.values(), ids=PROXIES)
def test_proxy_that_fails_has_carried_nothing(talk: Conversation) -> None:
    """
    Whatever a proxy does before there is a connection, the submit is `NotSent`, and withdrawn, in the time to connect.
    """

    @simulated
    async def story() -> None:
        steps = Steps()
        async with raw_server(talk) as proxy:
            async with client_to(FAR, http=HttpOptions(proxy=proxy, connect_timeout=3.0)) as client:
                since = asyncio.get_running_loop().time()
                with pytest.raises(NotSent):
                    await client.core.submit_observed(LIGHTHOUSE, steps)
                seconds = asyncio.get_running_loop().time() - since

            assert ["sending", "withdrawn"] == steps.taken[:2]
            assert "withdrawn" == steps.taken[-1]
            assert seconds < 15

    story()


def resolving_to(loop: asyncio.AbstractEventLoop, resolve: Callable[..., Awaitable[object]]) -> None:
    loop.getaddrinfo = resolve  # type: ignore[assignment, method-assign]


async def never(*_: object, **__: object) -> NoReturn:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("it is never set")


async def without_a_thread(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("can't start new thread")


async def without_a_name(*_: object, **__: object) -> NoReturn:
    raise socket.gaierror(-2, "Name or service not known")


async def with_a_bad_name(*_: object, **__: object) -> NoReturn:
    raise UnicodeError("label empty or too long")


@pytest.mark.parametrize(
    ("resolve", "kind"),
    [(never, NotSent), (without_a_thread, NotSent), (without_a_name, NotSent), (with_a_bad_name, InvalidRequest)],
)
def test_name_that_is_not_resolved_has_sent_nothing(
    resolve: Callable[..., Awaitable[object]], kind: type[KlingError]
) -> None:
    """
    A name server that hangs, a look-up without a thread, a name that is not known, or none at all: never uncertain.
    """

    @simulated
    async def story() -> None:
        resolving_to(asyncio.get_running_loop(), resolve)
        steps = Steps()
        async with client_to(FAR, http=HttpOptions(connect_timeout=3.0)) as client:
            with pytest.raises(kind):
                await client.core.submit_observed(LIGHTHOUSE, steps)

        assert "withdrawn" == steps.taken[-1]
        assert asyncio.get_running_loop().time() < 15

    story()


@simulated
async def test_client_that_is_closed_while_a_name_is_resolved_is_closed_at_once() -> None:
    """
    Nothing has left, so that there is nothing to find out.
    """
    resolving_to(asyncio.get_running_loop(), never)
    client = client_to(FAR)
    submit = asyncio.ensure_future(client.submit("a lighthouse"))
    await asyncio.sleep(1)
    await client.aclose()

    assert asyncio.get_running_loop().time() < 2
    with pytest.raises(ClientClosed):
        await submit


@simulated
async def test_submit_that_is_cancelled_while_a_name_is_resolved_is_withdrawn() -> None:
    """
    Cancelling it sends nothing, and leaves nothing to be found out.
    """
    resolving_to(asyncio.get_running_loop(), never)
    steps = Steps()
    async with client_to(FAR) as client:
        submit = asyncio.ensure_future(client.core.submit_observed(LIGHTHOUSE, steps))
        await asyncio.sleep(1)
        submit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submit
        await asyncio.sleep(0.1)

        assert ["sending", "withdrawn"] == steps.taken


# Sessions of others


@pytest.fixture(autouse=True)
def loop_that_does_not_complain() -> Iterator[None]:
    with quiet_loop():
        yield


@contextlib.asynccontextmanager
async def borrowing(server: Emulator, **of_session: Any) -> AsyncIterator[tuple[KlingClient, aiohttp.ClientSession]]:
    async with aiohttp.ClientSession(**of_session) as session:
        polling = PollPolicy(first_delay=0.05, max_delay=0.1)
        client = KlingClient(
            server.api_key, base_url=server.url, dialect=server.dialect, session=session, polling=polling, retry=BRISK
        )
        async with client:
            yield client, session


async def test_waits_end_when_the_session_is_closed_by_its_owner() -> None:
    """
    Every wait that is under way ends in `ClientClosed` with the task's id, and so does one that begins later.
    """
    async with Emulator(dialect=GATEWAY, latency=(60, 60)) as server, borrowing(server) as (client, session):
        handle = await client.submit("a lighthouse")
        wait = asyncio.ensure_future(handle.wait(None))
        await asyncio.sleep(0)
        await session.close()

        with pytest.raises(ClientClosed) as caught:
            await wait
        assert (handle.task_id,) == caught.value.task_ids
        with pytest.raises(ClientClosed):
            await handle.wait(None)
        with pytest.raises(ClientClosed):
            await client.get(handle.task_id)


async def test_read_under_way_is_told_that_its_session_was_closed() -> None:
    """
    Nobody has cancelled it, so that it ends in no `CancelledError`.
    """
    arrived = asyncio.Event()

    async def hold_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()

    async with raw_server(hold_up) as url, aiohttp.ClientSession() as session:
        async with client_to(url, session=session) as client:
            get = asyncio.ensure_future(client.get("17"))
            await arrived.wait()
            await session.close()
            with pytest.raises(ClientClosed):
                await get


async def test_submit_that_waits_for_a_connection_of_a_closed_session_was_not_sent() -> None:
    """
    One that was sent is uncertain at a gateway; one that waited in the pool behind it was not sent, and is withdrawn.
    """
    arrived = asyncio.Event()

    async def hold_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await reader.read()

    async with raw_server(hold_up) as url, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        async with client_to(url, session=session) as client:
            sent, waiting = Steps(), Steps()
            first = asyncio.ensure_future(client.core.submit_observed(LIGHTHOUSE, sent))
            await arrived.wait()
            second = asyncio.ensure_future(client.core.submit_observed(LIGHTHOUSE, waiting))
            while "sending" not in waiting.taken:
                await asyncio.sleep(0)
            await session.close()
            ended = await asyncio.gather(first, second, return_exceptions=True)

    assert [SubmissionUncertain, ClientClosed] == [type(error) for error in ended]
    assert (["sending"], ["sending", "withdrawn"]) == (sent.taken, waiting.taken)


# Loops that are blocked


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_complete_answer_counts_after_the_loop_was_blocked(
    loop_factory: Callable[[], asyncio.AbstractEventLoop], emulator_in_thread: Callable[..., Emulator]
) -> None:
    """
    A callback of the program blocks the loop for longer than the read timeout, while the answer arrives.
    """
    server = emulator_in_thread(dialect=GATEWAY)
    http = HttpOptions(connect_timeout=0.1, read_timeout=0.1)

    async def story() -> None:
        async with KlingClient(server.api_key, base_url=server.url, dialect=GATEWAY, http=http) as client:
            submit = asyncio.ensure_future(client.submit("a lighthouse"))
            while not any(delivery.is_exposed for delivery in client.core.submitter._deliveries.values()):
                await asyncio.sleep(0)
            while not server.ledger.tasks:
                time.sleep(0.01)  # noqa: ASYNC251 (the loop is to be blocked)
            time.sleep(0.5)  # noqa: ASYNC251
            assert (await submit).task_id == server.ledger.tasks[0].task_id

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(story())


def test_only_what_has_not_left_is_called_off() -> None:
    """
    A delivery that has left is exposed, and cannot be called off.
    """
    waiting, sent = delivery(), delivery()
    assert sent.body is not None
    sent.body.has_left = True

    assert waiting.call_off()
    assert not sent.call_off()
