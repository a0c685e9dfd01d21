"""
A sample callback, to real receivers and to what is none.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

import attrs
import pytest
from aiohttp import web

from kling_async.cli.callback_test import check_response, hide_token
from kling_async.cli.exit_codes import ExitCode
from kling_async.client.callbacks.receiver import CallbackReceiver
from tests.cli.conftest import Command, Ended, Here

SECRET: Final = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
OTHER_SECRET: Final = "whsec_YW5vdGhlciBzZWNyZXQgb2YgMjQgYnl0"


@attrs.frozen
class Target:
    """
    A receiver at work, and an address that it made; `told` is what its listener hears.
    """

    receiver: CallbackReceiver
    address: str
    told: list[tuple[str, str, bool]] = attrs.field(factory=list)

    @property
    def token(self) -> str:
        return self.address.rpartition("/")[2]


@contextlib.asynccontextmanager
async def receiving(secret: str | None = None) -> AsyncIterator[Target]:
    receiver = CallbackReceiver("http://127.0.0.1/kling", secret=secret)
    async with receiver.serve() as server:
        target = Target(receiver, server.url + urlsplit(receiver.address_of("submit-1")).path)
        receiver.attach(lambda key, snapshot, trusted: target.told.append((key, snapshot.status_word, trusted)))
        yield target


@contextlib.asynccontextmanager
async def serving(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """
    Serve what is no receiver, and yield an address there.
    """
    app = web.Application()
    app.router.add_post("/hook", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


def check_discreet(ended: Ended, token: str) -> None:
    """
    Neither the token nor a secret was printed.
    """
    for secret in (token, SECRET, OTHER_SECRET):
        assert secret not in ended.out + ended.err
        assert secret[6:] not in ended.out + ended.err


@pytest.mark.parametrize("way", ["option", "environment"])
async def test_signed(command: Command, way: str) -> None:
    """
    A good address and a good secret: accepted, and who listens is told a change that changes nothing.
    """
    async with receiving(SECRET) as target:
        if way == "option":
            ended = await command("callback-test", target.address, "--secret", SECRET)
        else:
            ended = await command.with_env(KLING_CALLBACK_SECRET=SECRET)("callback-test", target.address)

    assert (0, "") == (ended.code, ended.err)
    assert "200: accepted." in ended.out
    assert "(signed)" in ended.out
    assert [("submit-1", "submitted", True)] == target.told
    check_discreet(ended, target.token)


async def test_unsigned(command: Command) -> None:
    """
    Without a secret it is accepted as a hint, and told how to test the signature too.
    """
    async with receiving(SECRET) as target:
        ended = await command("callback-test", target.address)

    assert (0, "") == (ended.code, ended.err)
    assert "--secret" in ended.out
    assert [("submit-1", "submitted", False)] == target.told
    check_discreet(ended, target.token)


async def test_json(command: Command) -> None:
    """
    With `--json` stdout has one object and nothing else, whatever came back; the address keeps its end to itself.
    """
    async with receiving(SECRET) as target:
        ended = await command("callback-test", target.address, "--secret", OTHER_SECRET, "--json")

    facts = json.loads(ended.out)
    assert (3, "") == (ended.code, ended.err)
    assert (True, False, 401) == (facts["is_signed"], facts["is_accepted"], facts["http_status"])
    assert "the signature is wrong" in facts["message"]
    assert "clocks" in facts["advice"]
    check_discreet(ended, target.token)


async def test_wrong_secret(command: Command) -> None:
    """
    401 from the receiver: the address is good, so it is secret or clock.
    """
    async with receiving(SECRET) as target:
        ended = await command("callback-test", target.address, "--secret", OTHER_SECRET)

    assert 3 == ended.code
    assert "the URL is valid, the signature is wrong" in ended.err
    assert "secret" in ended.err
    assert "clocks" in ended.err
    assert 1 == target.receiver.counts.forged
    check_discreet(ended, target.token)


async def test_token_of_another_run(command: Command) -> None:
    """
    404 from the receiver: it is there, and its program can tell an address that it made.
    """
    async with receiving(SECRET) as target:
        elsewhere = CallbackReceiver("http://127.0.0.1").address_of("submit-1").rpartition("/")[2]
        ended = await command("callback-test", target.address.replace(target.token, elsewhere), "--secret", SECRET)

    assert 2 == ended.code
    assert "did not create the token" in ended.err
    assert 'receiver.address_of("test")' in ended.err
    assert "token_key" in ended.err
    assert 1 == target.receiver.counts.forged
    check_discreet(ended, elsewhere)


async def test_no_receiver_at_this_path(command: Command) -> None:
    """
    404 with a page is some other web server's.
    """
    async with serving(never) as url:
        ended = await command("callback-test", url.replace("hook", "hock"))

    assert 2 == ended.code
    assert "no receiver at this path" in ended.err


async def test_redirect(command: Command) -> None:
    """
    A redirect is not followed, and told without what may be secret where it leads.
    """

    async def redirect(_: web.Request) -> web.StreamResponse:
        return web.Response(status=308, headers={"Location": "https://bots.example/kling/secret-token?key=x"})

    async with serving(redirect) as url:
        ended = await command("callback-test", url)

    assert 2 == ended.code
    assert "308: a redirect to https://bots.example/kling/secr…?…;" in ended.err


async def test_nobody_listens(command: Command) -> None:
    """
    A port that is closed is a service that is not reachable.
    """
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ended = await command("callback-test", f"http://127.0.0.1:{closed.getsockname()[1]}/a.token-that-is-secret")

    assert 5 == ended.code
    assert "No connection: Connection refused." in ended.err
    check_discreet(ended, "a.token-that-is-secret")


async def never(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def test_silence(command: Command) -> None:
    """
    Who takes the callback and does not answer is waited for no longer than was said.
    """
    async with serving(never) as url:
        ended = await command("callback-test", url, "--timeout", "0.3")

    assert 5 == ended.code
    assert "No response within 0.3 s." in ended.err


async def test_no_https_there(command: Command) -> None:
    """
    A receiver of plain http at an https address is told apart from one that is not there.
    """
    async with receiving() as target:
        ended = await command("callback-test", target.address.replace("http:", "https:"))

    assert 5 == ended.code
    assert "No secure connection" in ended.err


async def test_no_http_there(command: Command) -> None:
    """
    A server that hangs up, or speaks something else, is no receiver.
    """

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        ended = await command("callback-test", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x")

    assert 5 == ended.code
    assert "response is not HTTP" in ended.err


async def test_host_that_cannot_be(command: Command) -> None:
    """
    A host that has no address is wrong usage.
    """
    ended = await command("callback-test", "http://a..b/x")

    assert 2 == ended.code
    assert "must have a valid host name" in ended.err


@pytest.mark.parametrize(
    "words",
    [
        ["bots.example/kling/secret-token"],
        ["ftp://bots.example/secret-token"],
        ["https://[::1/secret-token"],
        ["https://bots.example/secret-token", "--secret", "secret-token!"],
    ],
)
def test_wrong_usage(here: Here, words: list[str]) -> None:
    """
    What cannot be sent is wrong usage, and shows neither address nor secret.
    """
    ended = here("callback-test", *words)

    assert 2 == ended.code
    assert "secret-token" not in ended.out + ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (200, ExitCode.SUCCESS),
        (204, ExitCode.SUCCESS),
        (301, ExitCode.USAGE),
        (400, ExitCode.SERVICE),
        (401, ExitCode.KEY),
        (403, ExitCode.KEY),
        (404, ExitCode.USAGE),
        (405, ExitCode.USAGE),
        (413, ExitCode.SERVICE),
        (502, ExitCode.SERVICE),
    ],
)
def test_every_status_has_its_words(status: int, code: ExitCode) -> None:
    """
    Whatever comes back is told by its number, and what is not well with an advice.
    """
    for is_signed in (True, False):
        verdict = check_response(status, is_signed=is_signed)

        assert code is verdict.code
        assert verdict.fact.startswith(f"{status}: ")
        assert verdict.advice or code is ExitCode.SUCCESS


def test_login_page_is_no_receivers_refusal() -> None:
    """
    A 401 with a page comes from what stands in front of the receiver, and says nothing of the signature.
    """
    assert "login" in check_response(401, is_signed=True, has_page=True).fact


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://bots.example/kling/6f1d0000.token", "https://bots.example/kling/6f1d…"),
        ("https://bots.example/abc", "https://bots.example/a…"),
        ("https://me:pw@bots.example/kling/?token=x", "https://bots.example/kling/?…"),
        ("https://bots.example", "https://bots.example"),
        ("https://[::1/x", "…"),
        ("", ""),
    ],
)
def test_addresses_are_shown_in_part(url: str, shown: str) -> None:
    """
    Of an address its end, its query and its user are never shown.
    """
    assert shown == hide_token(url)
