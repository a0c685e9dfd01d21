"""
The transport: what is sent how often, against aioresponses in simulated time; and what only sockets show.
"""

import asyncio
import copy
import datetime as dt
import email.utils
import json
import logging
import shutil
import ssl
import subprocess
import time
import traceback
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import jwt
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aioresponses import CallbackResult, aioresponses
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from kling_async.client import transport as module
from kling_async.client.exchange import Deadline, Deadlines, RequestBody
from kling_async.errors import (
    AccountProblem,
    ClientClosed,
    ContentRefused,
    InvalidRequest,
    KlingError,
    NotAllowed,
    NotAuthenticated,
    NotSent,
    RateLimited,
    ServiceFailure,
    SubmissionUncertain,
    UnexpectedAnswer,
    Unreachable,
)
from kling_async.policy.http import USER_AGENT, HttpOptions
from kling_async.policy.policies import RetryPolicy
from kling_async.wire.auth import AccessKey, ApiKey, Credentials
from kling_async.wire.http_answer import Answer
from kling_async.wire.responses import read_snapshot
from tests.fakes.deliveries import delivery, submit
from tests.fakes.mocked_http import BridgedResponse
from tests.fakes.scripted_server import ReceivedRequest, Server, http_response, scripted_server
from tests.fakes.simulated_loop import now, simulated
from tests.fakes.transports import BASE, KEY, PATH, TASK, transport_to

PAIR = AccessKey("access-key-0123456789", "secret-key-0123456789-0123456789")
BROKEN = ApiKey("two\r\nlines")
FOUND = {
    "code": 0,
    "data": {"task_id": "t-9", "task_status": "processing", "task_info": {"external_task_id": "ours"}},
    "request_id": "r-9",
}
EVERY_TEN = RetryPolicy(first_delay=10.0, max_delay=10.0)
MISSING = {"code": 1203, "message": "task not found", "request_id": "r-8"}
DUPLICATE = {"code": 1201, "message": "external_task_id already exists", "request_id": "r-7"}


def count(service: aioresponses, method: str, path: str = PATH) -> int:
    return len(service.requests.get((method, URL(BASE + path)), ()))


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """
    The wall clock follows the loop's, which is simulated in most tests here; `shift` moves it.
    """
    clock = types.SimpleNamespace(shift=time.time())
    clock.time = lambda: asyncio.get_running_loop().time() + clock.shift
    monkeypatch.setattr(module, "time", clock)
    return clock


def connection_key(host: str = "kling.example") -> ConnectionKey:
    return ConnectionKey(host, 443, True, True, None, None, None)


def request_info() -> aiohttp.RequestInfo:
    headers = CIMultiDictProxy(CIMultiDict({"Authorization": f"Bearer {KEY.key}"}))
    return aiohttp.RequestInfo(URL(BASE), "POST", headers, URL(BASE))


REFUSED_CONNECTION = ConnectionRefusedError(111, "refused")

NEVER_SENT: list[Exception] = [
    aiohttp.ClientConnectorError(connection_key(), REFUSED_CONNECTION),
    aiohttp.ClientConnectorDNSError(connection_key(), OSError("no such host")),
    aiohttp.ClientProxyConnectionError(connection_key("proxy.example"), REFUSED_CONNECTION),
    aiohttp.ClientSSLError(connection_key(), OSError("handshake failed")),
    aiohttp.ClientConnectorSSLError(connection_key(), OSError("handshake failed")),
    aiohttp.ClientConnectorCertificateError(connection_key(), ValueError("not known")),
    aiohttp.client_exceptions.UnixClientConnectorError("/run/socket", connection_key(), REFUSED_CONNECTION),
    aiohttp.ClientHttpProxyError(request_info(), (), status=407, message="log in first"),
    aiohttp.ConnectionTimeoutError("Connection timeout to host"),
    aiohttp.ServerFingerprintMismatch(b"1", b"2", "kling.example", 443),
    aiohttp.InvalidURL("nonsense"),
    aiohttp.InvalidUrlClientError("nonsense"),
    aiohttp.NonHttpUrlClientError("ftp://kling.example"),
]

MAY_HAVE_ARRIVED: list[Exception] = [
    aiohttp.ClientError("something new"),
    aiohttp.ClientConnectionError("Connector is closed."),
    aiohttp.ClientConnectionResetError("Cannot write to closing transport"),
    aiohttp.ClientOSError(104, "reset by peer"),
    aiohttp.ServerConnectionError("?"),
    aiohttp.ServerDisconnectedError(),
    aiohttp.ServerTimeoutError("too slow"),
    aiohttp.SocketTimeoutError("too slow"),
    aiohttp.ClientPayloadError("not all of it"),
    aiohttp.ClientResponseError(request_info(), (), status=400, message="bad status line"),
    aiohttp.ContentTypeError(request_info(), (), status=200, message="?"),
    TimeoutError(),
    ConnectionResetError(104, "reset by peer"),
    BrokenPipeError(32, "broken pipe"),
    OSError("of the network"),
    ssl.SSLError(1, "bad record"),
]

NOT_MET = {
    aiohttp.TooManyRedirects,  # redirects are not followed
    aiohttp.WSServerHandshakeError,
    aiohttp.InvalidUrlRedirectClientError,
    aiohttp.NonHttpUrlRedirectClientError,
    aiohttp.client_exceptions.RedirectClientError,
    getattr(aiohttp, "UploadAbortedError", None),  # 3.14.4; only a caller of its UploadTracker meets it
}


class TestBridge:
    async def test_bridge_is_still_needed(self) -> None:
        """
        Once this fails, aioresponses works with aiohttp by itself: take the bridge out of `conftest.py`.
        """
        with aioresponses() as service:
            service.get(BASE, payload={})
            async with aiohttp.ClientSession() as session:
                with pytest.raises(TypeError, match="stream_writer"):
                    await session.get(BASE)

    async def test_bridge_carries(self, service: aioresponses) -> None:
        """
        With the bridge, status, headers and body arrive.
        """
        service.get(BASE, status=418, payload={"short": "stout"}, headers={"X-Pot": "tea"})
        async with aiohttp.ClientSession() as session, session.get(BASE) as response:
            assert isinstance(response, BridgedResponse)
            assert (418, "tea", {"short": "stout"}) == (
                response.status,
                response.headers["X-Pot"],
                await response.json(),
            )


class TestHttpOptions:
    def test_usual_options(self) -> None:
        """
        Sixteen requests at a time, no proxy, certificates checked.
        """
        http = HttpOptions()

        assert (16, None, True, False) == (http.max_connections, http.proxy, http.ssl, http.trust_env)
        assert http.user_agent.startswith("kling-async/")

    @pytest.mark.parametrize("name", ["connect_timeout", "read_timeout"])
    @pytest.mark.parametrize("seconds", [0, -1.0, float("inf"), float("nan"), True, "10"])
    def test_seconds_are_checked(self, name: str, seconds: Any) -> None:
        """
        A limit that would mean none, or at once, is refused with its name.
        """
        with pytest.raises(ValueError, match=f"{name}=.*: must be a finite number of seconds above 0"):
            HttpOptions(**{name: seconds})

    @pytest.mark.parametrize("number", [0, -1, 1.5, True])
    def test_at_least_one_connection(self, number: Any) -> None:
        """
        A gate that lets nobody in is refused.
        """
        with pytest.raises(ValueError, match=r"max_connections=.*: must be a whole number of at least 1"):
            HttpOptions(max_connections=number)

    @pytest.mark.parametrize("proxy", ["", " ", "http://", "socks5://pw@h:1", "http://pw@h:0", "http://[pw", "pw@"])
    def test_proxy_has_a_host(self, proxy: str) -> None:
        """
        A proxy that would be passed by in silence, or spoken to in the wrong protocol, is refused and not shown.
        """
        with pytest.raises(InvalidRequest, match=r"proxy='.*': must be an absolute http\(s\) URL") as caught:
            HttpOptions(proxy=proxy)

        assert "pw" not in str(caught.value)

    def test_proxy_is_not_shown(self) -> None:
        """
        A proxy's password stays out of the repr.
        """
        assert "secret" not in repr(HttpOptions(proxy="http://user:secret@proxy.example:3128"))

    @pytest.mark.parametrize(
        ("given", "used"),
        [("http://p.example:1", "http://p.example:1"), ("p.example:1", "http://p.example:1")],
    )
    def test_named_proxy_is_used_always(self, given: str, used: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A proxy given here wins over the environment; without a scheme it is an http proxy.
        """
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setenv("https_proxy", "http://other.example:1")

        http = HttpOptions(proxy=given, trust_env=True)

        assert (used, used) == (http.proxy, http.proxy_for(BASE))

    def test_environment_s_proxy_is_used_if_trusted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        `HTTPS_PROXY` and `NO_PROXY` count with `trust_env` only.
        """
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUEST_METHOD"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.setenv("HTTPS_PROXY", "p.example:1")
        monkeypatch.setenv("NO_PROXY", "near.example")
        trusting = HttpOptions(trust_env=True)

        assert HttpOptions().proxy_for(BASE) is None
        assert trusting.proxy_for(BASE) == "http://p.example:1"
        assert trusting.proxy_for("https://near.example/kling") is None
        assert trusting.proxy_for("http://kling.example/kling") is None


class TestErrors:
    @pytest.mark.parametrize("theirs", NEVER_SENT, ids=lambda error: type(error).__name__)
    def test_connection_never_made(self, theirs: Exception, service: aioresponses) -> None:
        """
        Nothing reached the service.
        """
        assert NotSent is type(self.fate_of(theirs, service))

    @pytest.mark.parametrize("theirs", MAY_HAVE_ARRIVED, ids=lambda error: type(error).__name__)
    def test_connection_broke_on_the_way(self, theirs: Exception, service: aioresponses) -> None:
        """
        The request may have arrived.
        """
        assert Unreachable is type(self.fate_of(theirs, service))

    @staticmethod
    def fate_of(theirs: Exception, service: aioresponses) -> KlingError:
        service.post(BASE + PATH, exception=theirs)
        caught: list[KlingError] = []

        @simulated
        async def story() -> None:
            async with transport_to() as transport:
                try:
                    await transport.send("POST", f"{PATH}?token=signed", RequestBody(b"{}"))
                except KlingError as error:
                    caught.append(error)

        service.post(f"{BASE}{PATH}?token=signed", exception=theirs)
        story()
        [error] = caught
        assert f"POST {BASE}{PATH}" in str(error)
        assert "signed" not in str(error)
        return error

    def test_every_class_of_aiohttp_is_judged(self) -> None:
        """
        A class that aiohttp may raise and that no table here knows is one to think about.
        """
        judged = {type(error) for error in (*NEVER_SENT, *MAY_HAVE_ARRIVED)} | NOT_MET

        assert set() == set(subclasses(aiohttp.ClientError)) - judged

    async def test_other_exceptions_are_not_hidden(self) -> None:
        """
        A fault of ours is not taken for one of the network.
        """
        async with scripted_server(lambda _: None) as server, transport_to(server.url, credentials=BROKEN) as transport:
            with pytest.raises(ValueError, match="detected in headers"):
                await transport.send("GET", PATH)

    @pytest.mark.parametrize("credentials", [KEY, PAIR], ids=["key", "pair"])
    def test_no_secret_is_told(
        self, credentials: Credentials, service: aioresponses, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Neither errors nor reprs nor the log at DEBUG show a key, a token or a URL's query, whatever is said to us.
        """
        caplog.set_level(logging.DEBUG)
        tokens: list[str] = []
        texts: list[str] = []
        secrets = " ".join(attrs.astuple(credentials))

        def echo(_: URL, **request: Any) -> CallbackResult:
            tokens.append(request["headers"]["Authorization"].removeprefix("Bearer "))
            says = f"not accepted: {secrets} {tokens[-1]} at https://relay.example/x?signature=signed"
            body = says if len(tokens) % 2 else json.dumps({"code": 1002, "message": says})
            return CallbackResult(status=401, body=body)

        @simulated
        async def story() -> None:
            async with transport_to(credentials=credentials, retry=RetryPolicy(give_up_after=1)) as transport:
                for trouble in (None, *NEVER_SENT, *MAY_HAVE_ARRIVED, aiohttp.ClientOSError(1, secrets), None):
                    service.clear()
                    for url in (f"{BASE}{PATH}?signature=signed", BASE + PATH):
                        for method in (service.get, service.post):
                            method(url, exception=trouble, callback=None if trouble else echo, repeat=True)
                    for deed in (
                        transport.read(f"{PATH}?signature=signed", read_snapshot),
                        submit(transport, delivery()),
                    ):
                        with pytest.raises(KlingError) as caught:
                            await deed
                        for error in (caught.value, caught.value.__cause__):
                            texts.extend([str(error), repr(error), *traceback.format_exception(error)])
                texts.extend([repr(transport), repr(delivery()), repr(transport.http)])

        story()

        told = "\n".join([*texts, caplog.text])
        assert tokens
        assert len(texts) > 100
        for secret in (*attrs.astuple(credentials), *tokens, "signature=signed"):
            assert secret not in told

    @simulated
    async def test_toy_key_does_not_garble_answers(self, service: aioresponses) -> None:
        """
        A key as short as a word is left where it stands.
        """
        service.get(BASE + PATH, payload=TASK)
        async with transport_to(credentials=ApiKey("task")) as transport:
            assert json.dumps(TASK).encode() == (await transport.send("GET", PATH)).body


def subclasses(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for each in kind.__subclasses__():
        yield from subclasses(each)


PASSING = [
    {"exception": NEVER_SENT[0]},
    {"exception": MAY_HAVE_ARRIVED[0]},
    {"status": 500, "payload": {"code": 5000, "message": "broken"}},
    {"status": 502, "body": "<html>"},
    {"status": 429, "payload": {"code": 1302, "message": "slow down"}},
    {"status": 200, "body": "<html>"},
    {"status": 200, "body": ""},
]

LASTING = [
    ({"status": 400, "payload": {"code": 1201, "message": "bad"}}, InvalidRequest),
    ({"status": 401, "payload": {"code": 1002, "message": "bad key"}}, NotAuthenticated),
    ({"status": 403, "payload": {"code": 1103, "message": "no right"}}, NotAllowed),
    ({"status": 429, "payload": {"code": 1102, "message": "no money"}}, AccountProblem),
    ({"status": 400, "payload": {"code": 1301, "message": "not this"}}, ContentRefused),
    ({"status": 302, "headers": {"Location": "https://elsewhere.example"}}, UnexpectedAnswer),
    ({"status": 404, "payload": {"detail": "Not Found"}}, UnexpectedAnswer),
]

REFUSED_BY_RELAYS = [  # before they sent anything
    ({"status": 503, "payload": {"error": {"code": "model_not_found", "message": "no channel"}}}, NotAllowed),
    ({"status": 503, "payload": {"code": "provider_not_found", "message": "no channel"}}, NotAllowed),
    ({"status": 500, "payload": {"error": {"code": "sensitive_words_detected", "message": "?"}}}, ContentRefused),
]


def words(answer: Any) -> str:
    return str(answer.get("status") or type(answer["exception"]).__name__) if isinstance(answer, dict) else ""


class TestRead:
    @pytest.mark.parametrize("trouble", PASSING, ids=words)
    def test_passing_trouble_is_repeated(self, trouble: dict[str, Any], service: aioresponses) -> None:
        """
        A read goes on until it is answered.
        """
        service.get(BASE + PATH, **trouble, repeat=3)
        service.get(BASE + PATH, payload=FOUND)

        @simulated
        async def story() -> None:
            async with transport_to() as transport:
                assert (await transport.read(PATH, read_snapshot)).task_id == "t-9"

        story()
        assert count(service, "GET") == 4

    @pytest.mark.parametrize(("refusal", "kind"), LASTING, ids=words)
    def test_lasting_trouble_is_raised(
        self, refusal: dict[str, Any], kind: type[KlingError], service: aioresponses
    ) -> None:
        """
        What will not change is asked once.
        """
        service.get(BASE + PATH, **refusal, repeat=True)

        @simulated
        async def story() -> None:
            async with transport_to() as transport:
                with pytest.raises(kind):
                    await transport.read(PATH, read_snapshot)

        story()
        assert count(service, "GET") == 1

    @simulated
    async def test_patience_has_an_end(self, service: aioresponses) -> None:
        """
        After `give_up_after` seconds the last error is raised; the pauses grow to `max_delay` and no further.
        """
        service.get(BASE + PATH, status=503, repeat=True)
        async with transport_to(retry=RetryPolicy(first_delay=1.0, max_delay=8.0, give_up_after=60.0)) as transport:
            with pytest.raises(ServiceFailure):
                await transport.read(PATH, read_snapshot)

        assert 60 < asyncio.get_running_loop().time() <= 68
        assert 9 <= count(service, "GET") <= 18

    def test_first_failed_connection_is_a_warning(
        self, service: aioresponses, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        It names the host and the seconds until giving up: few while the host was never reached. So does the first of
        each later outage.
        """
        nobody = NEVER_SENT[0]
        service.get(BASE + PATH, exception=nobody, repeat=2)
        service.get(BASE + PATH, payload=FOUND)
        service.get(BASE + PATH, exception=nobody, repeat=2)
        service.get(BASE + PATH, payload=FOUND)

        @simulated
        async def story() -> None:
            async with transport_to() as transport:
                await transport.read(PATH, read_snapshot)
                await transport.read(PATH, read_snapshot)

        story()
        assert [
            "no connection to kling.example; giving up in 15 s",
            "no connection to kling.example; giving up in 120 s",
        ] == [
            record.getMessage().partition(":")[0]
            for record in caplog.records
            if record.name == module.__name__ and record.levelno == logging.WARNING
        ]

    @pytest.mark.parametrize(
        ("retry", "seconds"),
        [
            (RetryPolicy(), 15.0),
            (RetryPolicy(connect_for=40.0), 40.0),
            (RetryPolicy(give_up_after=5.0), 5.0),
        ],
    )
    def test_host_that_never_answered_is_given_up_in_time(
        self, retry: RetryPolicy, seconds: float, service: aioresponses
    ) -> None:
        """
        After `connect_for` seconds, also if each attempt takes as long as it may; a later read has as much time.
        """

        @simulated
        async def story() -> None:
            loop = asyncio.get_running_loop()

            async def vanish(_: object, **options: Any) -> CallbackResult:
                await asyncio.sleep(options["timeout"].connect)
                raise NEVER_SENT[0]

            service.get(BASE + PATH, callback=vanish, repeat=True)
            async with transport_to(retry=retry) as transport:
                for _ in range(2):
                    since = loop.time()
                    with pytest.raises(NotSent, match=f"the host was never reached in {seconds:g} s"):
                        await transport.read(PATH, read_snapshot)

                    assert seconds <= loop.time() - since <= seconds + 1.0
                    await asyncio.sleep(61)

        story()

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize("is_date", [False, True])
    def test_retry_after_is_slept(self, status: int, *, is_date: bool, service: aioresponses) -> None:
        """
        The service's own wish is the pause, in seconds or as a date by its own clock.
        """
        at = dt.datetime(2025, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
        until = email.utils.format_datetime(at + dt.timedelta(seconds=45), usegmt=True) if is_date else "45"
        headers = {"Date": email.utils.format_datetime(at, usegmt=True), "Retry-After": until}
        service.get(BASE + PATH, status=status, headers=headers)
        service.get(BASE + PATH, payload=FOUND)

        @simulated
        async def story() -> None:
            async with transport_to() as transport:
                await transport.read(PATH, read_snapshot)

            assert asyncio.get_running_loop().time() == 45.0

        story()

    @simulated
    async def test_retry_after_above_the_cap_is_told(self, service: aioresponses) -> None:
        """
        Nobody sleeps for an hour unasked: the error carries the number.
        """
        service.get(BASE + PATH, status=429, headers={"Retry-After": "3600"})
        async with transport_to() as transport:
            with pytest.raises(RateLimited) as caught:
                await transport.read(PATH, read_snapshot)

        assert caught.value.retry_after == 3600.0
        assert asyncio.get_running_loop().time() == 0.0


# What follows has real sockets, on loopback.


def held_up() -> tuple[Callable[[ReceivedRequest], Awaitable[bytes]], asyncio.Event, asyncio.Event]:
    """
    A service that answers once it is told to go on, an event that tells of the first request, and one to tell it.
    """
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def answer(_: ReceivedRequest) -> bytes:
        arrived.set()
        await go_on.wait()
        return http_response(TASK)

    return answer, arrived, go_on


class TestConnections:
    async def test_one_connection_is_kept_alive(self) -> None:
        """
        Requests one after the other share a connection.
        """
        async with scripted_server(lambda _: http_response(TASK)) as server, transport_to(server.url) as transport:
            for _ in range(3):
                assert (await transport.send("GET", PATH)).status == 200
            await transport.send("POST", PATH, RequestBody(b"{}"))

        assert {1} == {served.connection for served in server.served}

    async def test_what_is_sent(self) -> None:
        """
        A GET carries key and name, a POST a body and its type, and the path stands as it was given.
        """
        async with (
            scripted_server(lambda _: http_response(TASK)) as server,
            transport_to(f"{server.url}/kling") as transport,
        ):
            await transport.send("GET", f"{PATH}/a%2Fb?pageNum=1")
            await transport.send("POST", PATH, RequestBody(b'{"n":1}'))

        get, post = server.served
        assert get.line == f"GET /kling{PATH}/a%2Fb?pageNum=1 HTTP/1.1"
        assert get.headers["authorization"] == f"Bearer {KEY.key}"
        assert get.headers["user-agent"] == USER_AGENT
        assert "content-type" not in get.headers
        assert b'{"n":1}' == post.body
        assert post.headers["content-type"] == "application/json"

    @simulated
    async def test_gate_bounds_requests_and_stops_no_clock(self) -> None:
        """
        Forty requests over two connections, with a limit shorter than the whole: none times out at the gate.
        """

        async def slow(_: ReceivedRequest) -> bytes:
            await asyncio.sleep(0.02)
            return http_response(TASK)

        async with scripted_server(slow) as server, transport_to(server.url, max_connections=2) as transport:
            now = asyncio.get_running_loop().time
            start = now()
            await asyncio.gather(*(transport.send("POST", PATH, RequestBody(b"{}"), limit=0.3) for _ in range(40)))
            took = now() - start

        assert took > 0.3
        assert len(server.served) == 40
        assert server.connections == 2
        assert server.most_under_way == 2

    async def test_read_does_not_queue_behind_submits(self) -> None:
        """
        With five submits waiting before it, a read is the next request sent: else a gather of thousands is blind to
        its own tasks until the last of them is sent.
        """
        slow, arrived, go_on = held_up()
        async with scripted_server(slow) as server, transport_to(server.url, max_connections=1) as transport:
            submits = [asyncio.ensure_future(submit(transport, delivery())) for _ in range(6)]
            await arrived.wait()  # so that each other has come to the gate
            read = asyncio.ensure_future(transport.send("GET", PATH))
            await asyncio.sleep(0)
            go_on.set()
            await asyncio.gather(read, *submits)

        assert ["POST", "GET", "POST"] == [served.line.split()[0] for served in server.served[:3]]

    async def test_submit_at_the_gate_is_not_exposed(self) -> None:
        """
        What waits for its turn has not been sent: only the POST under way may have made a task.
        """
        slow, arrived, go_on = held_up()
        async with scripted_server(slow) as server, transport_to(server.url, max_connections=1) as transport:
            sent, waits = delivery(), delivery()
            sending, waiting = (asyncio.ensure_future(submit(transport, each)) for each in (sent, waits))
            await arrived.wait()
            assert (True, False) == (sent.is_exposed, waits.is_exposed)

            waiting.cancel()
            await asyncio.wait({waiting})
            go_on.set()
            await sending

        assert (False, False) == (sent.is_exposed, waits.is_exposed)
        assert len(server.served) == 1

    async def test_cancelled_request_gives_its_place_back(self) -> None:
        """
        After a cancelling the gate is open again, and the submit that was on its way stays exposed.
        """

        arrived = asyncio.Event()

        async def say(served: ReceivedRequest) -> bytes:
            arrived.set()
            await asyncio.sleep(0 if served.line.startswith("GET") else 60)
            return http_response(TASK)

        async with scripted_server(say) as server, transport_to(server.url, max_connections=1) as transport:
            sent = delivery()
            sending = asyncio.ensure_future(submit(transport, sent))
            await arrived.wait()
            sending.cancel()
            await asyncio.wait({sending})

            assert sent.is_exposed
            assert (await transport.send("GET", PATH)).status == 200

    async def test_borrowed_session_is_left_open(self) -> None:
        """
        A session of the caller's is used as it is, judged by our rules, and never closed.
        """
        say = http_response(MISSING, "404 Not Found")
        async with scripted_server(lambda _: say) as server, aiohttp.ClientSession(raise_for_status=True) as session:
            async with transport_to(server.url, session=session) as transport:
                assert (await transport.send("GET", PATH)).status == 404
            await transport.aclose()

            assert not session.closed
            with pytest.raises(ClientClosed):
                await transport.send("GET", PATH)

    async def test_borrowed_session_that_was_closed(self) -> None:
        """
        A session closed by its owner is told as such.
        """
        async with aiohttp.ClientSession() as session:
            transport = transport_to(session=session)
        with pytest.raises(ClientClosed):
            await transport.send("GET", PATH)

    async def test_own_session_is_closed(self) -> None:
        """
        An own session keeps no cookies, and is closed with the transport, which may be closed twice.
        """
        async with scripted_server(lambda _: http_response(TASK)) as server, transport_to(server.url) as transport:
            await transport.send("GET", PATH)
            [session] = transport._sessions.values()
            await transport.aclose()
            await transport.aclose()

            assert session.closed
            assert isinstance(session.cookie_jar, aiohttp.DummyCookieJar)
            with pytest.raises(ClientClosed):
                await transport.read(PATH, read_snapshot)

    async def test_unused_transport_opens_nothing(self) -> None:
        """
        A transport that sent nothing has no session to close.
        """
        async with transport_to() as transport:
            assert not transport._sessions

    def test_larger_bodies_have_longer_limits(self) -> None:
        """
        The time limit grows with what is to be sent.
        """
        assert [0, 1, 40] == [RequestBody(bytes(size)).extra_seconds for size in (0, 2, 10 * 2**20)]


class TestBrokenConnections:
    async def test_nobody_listens(self) -> None:
        """
        A refused connection was never made.
        """
        async with scripted_server(lambda _: None) as server:
            pass
        async with transport_to(server.url) as transport:
            with pytest.raises(NotSent):
                await transport.send("POST", PATH, RequestBody(b"{}"))

    async def test_handshake_without_end(self) -> None:
        """
        The limit of connecting covers TLS: nothing was sent yet.
        """
        async with (
            scripted_server(lambda _: None) as server,
            transport_to(server.url.replace("http", "https"), connect_timeout=0.1) as transport,
        ):
            with pytest.raises(NotSent):
                await transport.send("POST", PATH, RequestBody(b"{}"))

    async def test_reset_before_the_request_was_read(self) -> None:
        """
        A connection that was made and broke at once may have carried the request.
        """

        async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        listening = await asyncio.start_server(reset, "127.0.0.1", 0)
        host, port = listening.sockets[0].getsockname()
        async with listening, transport_to(f"http://{host}:{port}") as transport:
            with pytest.raises(Unreachable):
                await transport.send("POST", PATH, RequestBody(b"{}"))

    async def test_reset_after_the_request_was_read(self) -> None:
        """
        So one that broke before the answer.
        """
        async with scripted_server(lambda _: None) as server, transport_to(server.url) as transport:
            with pytest.raises(Unreachable):
                await transport.send("POST", PATH, RequestBody(b"{}"))

        assert len(server.served) == 1

    @pytest.mark.parametrize(
        "torn",
        [
            b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100\r\n\r\n{"code":0',
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Le",
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
            b"Connection: close, and no HTTP at all\r\n\r\n",
        ],
        ids=["length", "chunks", "head", "coding", "no HTTP"],
    )
    async def test_torn_answer(self, torn: bytes) -> None:
        """
        An answer that breaks off, or cannot be unpacked, says nothing about the request.
        """
        async with scripted_server(lambda _: torn) as server, transport_to(server.url) as transport:
            with pytest.raises(Unreachable):
                await transport.send("POST", PATH, RequestBody(b"{}"))

        assert len(server.served) == 1

    async def test_silent_service(self) -> None:
        """
        No byte for `read_timeout` seconds ends the request.
        """

        async def never(_: ReceivedRequest) -> bytes:
            await asyncio.sleep(60)
            return b""

        async with scripted_server(never) as server, transport_to(server.url, read_timeout=0.1) as transport:
            with pytest.raises(Unreachable, match="no answer in time"):
                await transport.send("POST", PATH, RequestBody(b"{}"))

    async def test_answer_without_end(self) -> None:
        """
        A limit in all ends what has begun and does not go on.
        """

        torn = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"
        async with scripted_server(lambda _: torn) as server, transport_to(server.url) as transport:
            with pytest.raises(Unreachable, match="no answer in time"):
                await transport.send("GET", PATH, limit=0.1)

    async def test_oversized_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        More than any sensible answer is not read into memory.
        """
        monkeypatch.setattr(module, "MAX_ANSWER", 100_000)

        def say(served: ReceivedRequest) -> bytes:
            return http_response(bytes(100_000 + ("more" in served.line)))

        async with scripted_server(say) as server, transport_to(server.url) as transport:
            assert len((await transport.send("GET", PATH)).body) == 100_000
            with pytest.raises(UnexpectedAnswer, match="larger than 100000 bytes") as caught:
                await transport.send("GET", "/more")

        assert caught.value.http_status == 200

    async def test_redirect_is_not_followed(self) -> None:
        """
        A redirect is an answer like any other, and the key goes nowhere else.
        """
        async with scripted_server(lambda _: http_response(TASK)) as elsewhere:
            say = http_response(b"", "307 Temporary Redirect", Location=f"{elsewhere.url}/stolen")
            async with scripted_server(lambda _: say) as server, transport_to(server.url) as transport:
                answer = await transport.send("POST", PATH, RequestBody(b"{}"))
                with pytest.raises(UnexpectedAnswer, match="redirects elsewhere"):
                    await submit(transport, delivery("ours"))

        assert answer.status == 307
        assert [] == elsewhere.served
        assert len(server.served) == 2


def claims(served: ReceivedRequest) -> dict[str, Any]:
    token = served.headers["authorization"].removeprefix("Bearer ")
    options = {"verify_exp": False, "verify_nbf": False}
    read: dict[str, Any] = jwt.decode(token, PAIR.secret_key, algorithms=["HS256"], options=options)  # type: ignore[arg-type]
    return read


class TestTokens:
    async def test_token_is_signed_and_kept(self, clock: types.SimpleNamespace) -> None:
        """
        Requests share a token until its margin; then a new one is signed.
        """
        async with (
            scripted_server(lambda _: http_response(TASK)) as server,
            transport_to(server.url, credentials=PAIR) as transport,
        ):
            await transport.send("GET", PATH)
            clock.shift += 1400
            await transport.send("GET", PATH)
            clock.shift += 200
            await transport.send("GET", PATH)

        first, second, third = (claims(served) for served in server.served)
        assert first["iss"] == PAIR.access_key
        assert 1795 <= first["exp"] - first["nbf"] <= 1806
        assert first == second
        assert 1600 == pytest.approx(third["exp"] - first["exp"], abs=2)

    @pytest.mark.parametrize("code", [1003, 1004])
    @pytest.mark.parametrize("ahead", [7200, -7200])
    async def test_wrong_clock_is_corrected_once(self, code: int, ahead: int, clock: types.SimpleNamespace) -> None:
        """
        "Not valid yet" and "expired" are answered with a token by the service's clock, and the offset is kept.
        """

        def say(served: ReceivedRequest) -> bytes:
            now = clock.time() + ahead
            token = claims(served)
            date = email.utils.formatdate(now, usegmt=True)
            if token["nbf"] <= now < token["exp"]:
                return http_response(TASK, Date=date)
            return http_response(
                {"code": code, "message": "authorization token is out of step"}, "401 Unauthorized", Date=date
            )

        async with scripted_server(say) as server, transport_to(server.url, credentials=PAIR) as transport:
            assert (await submit(transport, delivery("ours"))).task_id == "t-1"
            assert len(server.served) == 2
            await transport.send("GET", PATH)
            clock.shift += 1600
            await transport.send("GET", PATH)

        assert len(server.served) == 4

    async def test_refused_twice_is_refused(self) -> None:
        """
        A second "run out" is the caller's to know.
        """
        say = http_response({"code": 1004, "message": "token expired"}, "401 Unauthorized")
        async with scripted_server(lambda _: say) as server, transport_to(server.url, credentials=PAIR) as transport:
            with pytest.raises(NotAuthenticated):
                await submit(transport, delivery("ours"))

        assert len(server.served) == 2

    @pytest.mark.parametrize(
        ("credentials", "status", "body"),
        [
            (KEY, "401 Unauthorized", {"code": 1004, "message": "token expired"}),
            (PAIR, "401 Unauthorized", {"code": 1002, "message": "no such key"}),
            (PAIR, "403 Forbidden", {"code": 1004, "message": "token expired"}),
            (PAIR, "401 Unauthorized", TASK["data"]),
        ],
        ids=["a key has no clock", "another code", "another status", "no error at all"],
    )
    async def test_other_refusals_are_not_repeated(self, credentials: Credentials, status: str, body: Any) -> None:
        """
        Only a token out of step is signed anew.
        """
        say = http_response(body, status)
        async with (
            scripted_server(lambda _: say) as server,
            transport_to(server.url, credentials=credentials) as transport,
        ):
            await transport.send("GET", PATH)

        assert len(server.served) == 1


class TestProxies:
    async def test_named_proxy(self) -> None:
        """
        All requests go through the proxy that was named.
        """
        async with (
            scripted_server(lambda _: http_response(TASK)) as proxy,
            transport_to("http://kling.example/kling", proxy=proxy.url) as transport,
        ):
            assert (await transport.send("GET", PATH)).status == 200

        assert [f"GET http://kling.example/kling{PATH} HTTP/1.1"] == [served.line for served in proxy.served]

    async def test_environment_s_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The environment's proxy is used with `trust_env`, but for the hosts it excepts.
        """
        async with (
            scripted_server(lambda _: http_response(TASK)) as proxy,
            scripted_server(lambda _: http_response(FOUND)) as server,
        ):
            monkeypatch.setenv("http_proxy", proxy.url.removeprefix("http://"))
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            for base_url in ("http://kling.example", server.url):
                async with transport_to(base_url, trust_env=True) as transport:
                    await transport.send("GET", PATH)
            async with transport_to(server.url) as transport:
                await transport.send("GET", PATH)

        assert (1, 2) == (len(proxy.served), len(server.served))

    async def test_proxy_that_refuses(self) -> None:
        """
        A tunnel that was not opened carried nothing, and the proxy's password is not told.
        """
        say = http_response(b"", "407 Proxy Authentication Required", Connection="close")
        async with scripted_server(lambda _: say) as proxy:
            url = proxy.url.replace("http://", "http://user:password-of-proxy@")
            async with transport_to(BASE, proxy=url) as transport:
                with pytest.raises(NotSent) as caught:
                    await transport.send("POST", PATH, RequestBody(b"{}"))

        [served] = proxy.served
        assert served.line.startswith("CONNECT kling.example:443")
        assert "authorization" not in served.headers
        assert "password-of-proxy" not in "".join(traceback.format_exception(caught.value))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A file with a self-signed certificate for 127.0.0.1, and its key.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = (
        f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
        f"-addext subjectAltName=IP:127.0.0.1 -keyout {path} -out {path}.crt"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


class TestTls:
    @pytest.fixture
    async def server(self, certificate: Path) -> AsyncIterator[Server]:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        async with scripted_server(lambda _: http_response(TASK, Connection="close"), tls) as server:
            yield server

    async def test_unknown_certificate_is_refused(self, server: Server) -> None:
        """
        Certificates are checked, and nothing is sent to whom they do not prove.
        """
        async with transport_to(server.url) as transport:
            with pytest.raises(NotSent, match=r"(?i)certificate"):
                await transport.send("POST", PATH, RequestBody(b"{}"))

        assert [] == server.served

    async def test_context_brings_its_own_rules(self, server: Server, certificate: Path) -> None:
        """
        A context that knows the certificate is content.
        """
        async with transport_to(server.url, ssl=ssl.create_default_context(cafile=certificate)) as transport:
            assert (await transport.send("GET", PATH)).status == 200

    async def test_nothing_is_checked(self, server: Server) -> None:
        """
        False takes any certificate.
        """
        async with transport_to(server.url, ssl=False) as transport:
            assert (await transport.send("GET", PATH)).status == 200


async def test_doubt_leaves_no_cycle() -> None:
    """
    A submit's body goes with it, though its first error is remembered.
    """
    async with scripted_server(lambda _: None) as server, transport_to(server.url) as transport:
        sent = delivery()
        with pytest.raises(SubmissionUncertain):
            await submit(transport, sent)

        assert sent.submission.ambiguous_error is not None
        assert sent.submission.ambiguous_error.__traceback__ is None


def test_answers_are_values() -> None:
    """
    An answer does not show its body.
    """
    assert "lighthouse" not in repr(Answer(200, {}, b"lighthouse"))


def deadline_of(seconds: float, read_timeout: float, deadlines: Deadlines | None = None) -> Deadline:
    return Deadline(deadlines or Deadlines(), asyncio.get_running_loop(), seconds, read_timeout)


class TestDeadline:
    """
    The time limit of an exchange.
    """

    @pytest.mark.parametrize("sent_after", [1.0, 11.0, 25.0])
    @simulated
    async def test_silence_counts_from_the_end_of_the_upload(self, sent_after: float) -> None:
        """
        However long that took: neither longer nor shorter.
        """
        began = now()
        with pytest.raises(TimeoutError), deadline_of(100.0, 10.0) as deadline:
            await asyncio.sleep(sent_after)
            deadline.expect_answer()
            await asyncio.sleep(1000)

        assert pytest.approx(sent_after + 10, abs=0.1) == now() - began

    @simulated
    async def test_upload_may_take_the_whole_time(self) -> None:
        """
        Not only what the service may be silent.
        """
        began = now()
        with pytest.raises(TimeoutError), deadline_of(35.0, 10.0):
            await asyncio.sleep(1000)

        assert pytest.approx(35, abs=0.1) == now() - began

    @pytest.mark.parametrize("others", [[5.0, 70.0], [70.0, 5.0], [15.0, 15.0]])
    @simulated
    async def test_each_block_has_its_own_time(self, others: list[float]) -> None:
        """
        Although they share a timer: whether the others end sooner or later.
        """
        deadlines = Deadlines()

        async def seconds_of(limit: float) -> float:
            began = now()
            with pytest.raises(TimeoutError), deadline_of(limit, limit, deadlines):
                await asyncio.sleep(1000)
            return now() - began

        limits = [others[0], 20.0, others[1]]

        assert pytest.approx(limits, abs=0.1) == await asyncio.gather(*map(seconds_of, limits))

    @simulated
    async def test_block_that_ends_in_time_leaves_nothing(self) -> None:
        """
        The timer that it shared finds nothing to end, and a closed client has none unless a request still runs.
        """
        deadlines = Deadlines()
        with deadline_of(10.0, 10.0, deadlines):
            await asyncio.sleep(1)
        await asyncio.sleep(20)
        with deadline_of(10.0, 10.0, deadlines):
            await asyncio.sleep(1)
        deadlines.close()
        with pytest.raises(TimeoutError), deadline_of(10.0, 10.0, deadlines):
            deadlines.close()
            await asyncio.sleep(1000)

        assert pytest.approx(32, abs=0.1) == now()

    @simulated
    async def test_deadline_is_not_copied(self) -> None:
        """
        A mock of HTTP that copies what is sent would copy the event loop with it.
        """
        with deadline_of(10.0, 10.0) as deadline, pytest.raises(TypeError, match="cannot be copied"):
            copy.deepcopy(deadline)
