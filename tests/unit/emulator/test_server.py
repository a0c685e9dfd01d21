"""
Opening and closing the emulator.
"""

import asyncio
import contextlib
import socket
import time
from urllib.parse import urlsplit

import aiohttp
import pytest

import kling_async.emulator
from kling_async.emulator import Emulator, faults
from kling_async.wire.dialects import GATEWAY, OFFICIAL

PATH = "/v1/images/generations"


async def create(server: Emulator) -> int:
    headers = {"Authorization": f"Bearer {server.api_key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(server.url + PATH, json={"prompt": "x"}) as answer,
    ):
        return answer.status


async def test_url_follows_the_dialect() -> None:
    """
    A gateway's address has its prefix, the vendor's none; both are loopback.
    """
    async with Emulator() as gateway, Emulator(dialect=OFFICIAL) as vendor:
        assert gateway.url.startswith("http://127.0.0.1:")
        assert gateway.url.endswith("/kling")
        assert vendor.url.count("/") == 2
        assert (GATEWAY, OFFICIAL) == (gateway.dialect, vendor.dialect)
        assert gateway.access_key is None


async def test_repr_shows_counts_and_no_key() -> None:
    """
    The repr tells address and counts, and whether it is open.
    """
    async with Emulator(slots=None) as server:
        await create(server)

        assert f"<Emulator gateway {server.url[:-6]}: 1 tasks, 1 running, 1 requests>" == repr(server)
        assert server.api_key not in repr(server)

    assert repr(server).startswith("<Emulator gateway closed: 1 tasks")


async def test_url_needs_an_open_server() -> None:
    """
    Before it is opened, and after, a server has no address.
    """
    server = Emulator()
    with pytest.raises(RuntimeError, match="not open"):
        server.url  # noqa: B018
    async with server:
        with pytest.raises(RuntimeError, match="already open"):
            await server.__aenter__()
    with pytest.raises(RuntimeError, match="not open"):
        server.url  # noqa: B018


async def test_closing_twice_is_fine() -> None:
    """
    A second close does nothing, nor does one of a server that was never open.
    """
    server = Emulator()
    await server.aclose()
    async with server:
        await server.aclose()


async def test_closing_is_fast() -> None:
    """
    Connections kept alive, delayed answers and stalled ones do not hold the server up; their clients see them break.
    """
    rules = [faults.delay_after("create", 60, times=1), faults.delay_before("query", 60), faults.stall("list")]
    async with Emulator(dialect=OFFICIAL, faults=rules) as server:
        headers = {"Authorization": f"Bearer {server.api_key}"}
        async with aiohttp.ClientSession(headers=headers) as session:

            async def ask(method: str, path: str) -> bytes:
                async with session.request(method, server.url + path, json={"prompt": "x"}) as answer:
                    return await answer.read()

            waiting = [
                asyncio.create_task(ask(method, path))
                for method, path in [("POST", PATH), ("GET", f"{PATH}/x"), ("GET", PATH)]
            ]
            async with asyncio.timeout(60):
                while sum(server.ledger.arrivals.values()) < 3:
                    await asyncio.sleep(0.005)
            await ask("POST", PATH)
            started = time.monotonic()
            await server.aclose()
            took = time.monotonic() - started
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)

    assert took < 30
    assert all(isinstance(outcome, aiohttp.ClientError) for outcome in outcomes)


@pytest.mark.parametrize("turns", range(6))
async def test_connection_in_the_moment_of_closing_is_cut(turns: int) -> None:
    """
    However far the loop has come with a new connection, none is left open.
    """
    async with Emulator() as server:
        port = urlsplit(server.url).port
        with socket.create_connection(("127.0.0.1", port)) as visitor:
            for _ in range(turns):
                await asyncio.sleep(0)
            await server.aclose()
            visitor.setblocking(False)
            async with asyncio.timeout(60):
                with contextlib.suppress(ConnectionResetError):
                    assert b"" == await asyncio.get_running_loop().sock_recv(visitor, 1)


async def test_service_that_was_down_for_a_while() -> None:
    """
    Opened again, a server has its old address and its tasks; in between nobody answers.
    """
    server = Emulator(slots=None)
    async with server:
        url = server.url
        await create(server)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(url)
    async with server:
        await create(server)

        assert url == server.url
        assert 2 == len(server.ledger.tasks)


async def test_port_that_is_taken() -> None:
    """
    A port in use is an OSError at opening, and the server can be asked again later.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = Emulator(port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            await server.__aenter__()
    async with server:
        assert server.url


async def test_address_of_the_sixth_kind() -> None:
    """
    An IPv6 host stands in brackets.
    """
    try:
        async with Emulator(host="::1") as server:
            assert server.url.startswith("http://[::1]:")
            assert 200 == await create(server)
    except OSError:
        pytest.skip("::1 cannot be listened at")


async def test_ledger_is_up_to_date() -> None:
    """
    Reading the ledger bills what has ended since.
    """
    now = 1_780_000_000.0
    async with Emulator(clock=lambda: now, latency=(5, 5)) as server:
        await create(server)
        before = server.ledger.units_billed
        now += 5

        assert (0, 1) == (before, server.ledger.units_billed)


def test_all_names_exist() -> None:
    """
    `__all__` is sorted and true.
    """
    names = kling_async.emulator.__all__

    assert sorted(names) == names
    assert all(hasattr(kling_async.emulator, name) for name in names)
