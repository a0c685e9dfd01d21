"""
What arguments must be: refused in words before anything is sent, whichever verb they are given to.
"""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
import attrs
import pytest

from kling_async import (
    OFFICIAL,
    AccessKey,
    Batch,
    CallbackReceiver,
    HttpOptions,
    KlingClient,
    PollPolicy,
    RetryPolicy,
    SlotPolicy,
    Slots,
)
from kling_async.emulator import Emulator
from kling_async.errors import InvalidRequest, NotAuthenticated
from kling_async.policy.arguments import shown_url, url_rule
from tests.fakes.clients import EAGER

KEY: Final = "sk-a-key-that-nobody-may-see"
HUGE: Final = 10**400
NO_TIMES: Final[list[Any]] = ["60", math.nan, math.inf, -1, -0.001, HUGE, True, [5], b"5"]
NO_COUNTS: Final[list[Any]] = [0, -1, 1.5, "3", True, math.nan]


@pytest.fixture
async def server() -> AsyncIterator[Emulator]:
    async with Emulator(dialect=OFFICIAL, latency=(0.0, 0.0), pictures="plain", picture_scale=0.05) as server:
        yield server


@pytest.fixture
async def client(server: Emulator) -> AsyncIterator[KlingClient]:
    async with KlingClient(server.api_key, base_url=server.url, dialect=server.dialect, polling=EAGER) as client:
        yield client


async def drained(outcomes: AsyncIterator[Any]) -> list[Any]:
    return [outcome async for outcome in outcomes]


class TestConstructor:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("dialect", 5),
            ("session", object()),
            ("http", None),
            ("http", {"trust_env": True}),
            ("retry", 3),
            ("retry", None),
            ("polling", 1.0),
            ("callbacks", "https://example.org/kling"),
            ("slots", "9"),
            ("slots", 0),
            ("slots", 9.0),
            ("base_url", 5),
            ("base_url", ""),
        ],
    )
    def test_arguments_of_wrong_type_are_refused_by_name(self, name: str, value: Any) -> None:
        """
        In the constructor, not in the middle of a submit.
        """
        with pytest.raises(InvalidRequest, match=f"^{name}=.*: must be ") as caught:
            KlingClient(KEY, **{name: value})

        assert [name] == [rule.field for rule in caught.value.broken]

    @pytest.mark.parametrize(
        "name", ["base_url", "dialect", "session", "http", "retry", "polling", "callbacks", "slots"]
    )
    def test_a_key_in_the_wrong_place_is_not_shown(self, name: str) -> None:
        """
        Neither one of the usual form nor any other.
        """
        for key in (KEY, "0123456789abcdef0123456789abcdef"):
            given: dict[str, Any] = {name: key}
            with pytest.raises(InvalidRequest) as caught:
                KlingClient("sk-1", **given)

            assert key not in repr(caught.value)

    @pytest.mark.parametrize("listener", [5, "print", [print]])
    def test_a_listener_that_cannot_be_called_is_refused(self, listener: Any) -> None:
        """
        It would fail at the first step of the first task.
        """
        with pytest.raises(TypeError, match="on_event must be a function"):
            KlingClient(KEY, on_event=listener)

    async def test_a_session_that_repeats_by_itself_is_refused(self) -> None:
        """
        As wrappers of sessions do: it would pay twice. A class derived from aiohttp's own is taken.
        """

        class Retrying:
            closed = False

            def __init__(self, session: aiohttp.ClientSession) -> None:
                self.request = session.request

        async with aiohttp.ClientSession() as session:
            KlingClient(KEY, session=session)
            with pytest.raises(
                InvalidRequest, match=r"session=<Retrying>: must be of the class aiohttp\.ClientSession"
            ):
                KlingClient(KEY, session=Retrying(session))  # type: ignore[arg-type]

    @pytest.mark.parametrize("limit", NO_COUNTS)
    def test_slots_are_a_whole_number(self, limit: Any) -> None:
        """
        Also where they are shared.
        """
        with pytest.raises(InvalidRequest, match="slots="):
            Slots(limit)
        with pytest.raises(InvalidRequest, match="policy=<dict>: must be a SlotPolicy"):
            Slots(3, policy={"start": 5})  # type: ignore[arg-type]


class TestHttpOptions:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(("user_agent", text) for text in ("two\r\nlines", "a\x00b", "tab\t", "ключ", "agent/1 \u2713", "", " ")),
            ("user_agent", 5),
            ("user_agent", None),
            ("user_agent", b"bytes/1"),
            ("trust_env", "no"),
            ("trust_env", 1),
            ("ssl", None),
            ("ssl", "false"),
            ("connect_timeout", HUGE),
            ("read_timeout", 1e300),
            ("max_connections", "16"),
            ("max_download_bytes", 0),
            ("max_download_bytes", 1.5),
            ("proxy", 3128),
            ("allow_downloads_from", 5),
            ("allow_downloads_from", [5]),
            ("reuse_within", math.nan),
        ],
    )
    def test_values_that_aiohttp_rejects_are_refused(self, name: str, value: Any) -> None:
        """
        Also values that it would misread: the text "no" is true.
        """
        with pytest.raises(InvalidRequest, match=f"^{name}[=:]"):
            HttpOptions(**{name: value})

    @pytest.mark.parametrize(
        ("proxy", "rule"),
        [
            ("http://a..b:3128", "valid host name"),
            (f"http://{'a' * 64}.example", "valid host name"),
            ("http://p\u200dr.example", "without whitespace"),
            ("http://[1::2::3]:1", "absolute http"),
            ("http://p.example:1\r\nX: y", "without whitespace"),
            ("http://p.example:99999", "absolute http"),
            ("socks5://p.example:1080", "SOCKS and other kinds are not supported"),
            ("SOCKS5h://p.example:1080", "SOCKS and other kinds are not supported"),
            ("http://us%3Aer:secret@p.example:1", "without a colon"),
            ("http://%E6%97%A5:secret@p.example:1", "Latin-1"),
            ("http://user:sec/ret@p.example:1", "must be"),
            ("http://user:secret@@p.example:port", "must be"),
            ("${PROXY}", "was not substituted"),
            ('"http://p.example:1"', "quotation marks"),
        ],
    )
    def test_unsupported_proxy_is_refused(self, proxy: str, rule: str) -> None:
        """
        The error shows no password.
        """
        with pytest.raises(InvalidRequest, match=rule) as caught:
            HttpOptions(proxy=proxy)

        assert not re.search("sec/?ret", str(caught.value))

    @pytest.mark.parametrize("proxy", ["http://bücher.example:1", "http://us%40er:p%FC@[::1]:1", "p_1.example.:3128"])
    def test_proxy_that_can(self, proxy: str) -> None:
        """
        Hosts in other scripts, users with escapes, and addresses are.
        """
        assert HttpOptions(proxy=proxy).proxy_for("https://kling.example") is not None

    def test_key_is_not_sent_unencrypted(self) -> None:
        """
        Plain http is for loopback, so such requests do not go to a proxy elsewhere.
        """
        with pytest.raises(
            InvalidRequest, match=r"^proxy='http://p.example:1': must be on loopback because base_url is"
        ):
            KlingClient(KEY, base_url="http://127.0.0.1:8080", http=HttpOptions(proxy="http://u:p@p.example:1"))

        KlingClient(KEY, base_url="http://127.0.0.1:8080", http=HttpOptions(proxy="http://localhost:8888"))
        KlingClient(KEY, base_url="https://kling.example", http=HttpOptions(proxy="http://p.example:1"))


class TestPolicies:
    @pytest.mark.parametrize("policy", [RetryPolicy, PollPolicy, SlotPolicy])
    def test_every_field_is_judged(self, policy: Any) -> None:
        """
        By kind and bounds, with its name; whatever passes can be doubled and added to a clock.
        """
        values: list[Any] = [HUGE, math.nan, math.inf, -1, 0, True, "5", None, [], 1e308]
        for field in attrs.fields_dict(policy):
            for wrong in values:
                if field in {"width", "start"} and wrong == HUGE:
                    continue  # a whole number has no upper bound
                if field == "max_rate" and wrong is None:
                    continue  # it is found
                with pytest.raises(InvalidRequest, match=f"^{field}=.*: must be "):
                    policy(**{field: wrong})

    async def test_longest_times_work(self, server: Emulator) -> None:
        """
        Sums and doubles of them stay finite.
        """
        polling = PollPolicy(max_delay=1e9, max_rest=1e9, answer_timeout=1e9, max_rate=1e-9)
        retry = RetryPolicy(max_delay=1e9, give_up_after=1e9)
        http = HttpOptions(connect_timeout=1e9, read_timeout=1e9)

        async with KlingClient(server.api_key, base_url=server.url, polling=polling, retry=retry, http=http) as client:
            handle = await client.submit("a lighthouse")
            assert handle.task_id == (await client.get(handle.task_id)).task_id


class TestVerbs:
    @pytest.mark.parametrize("timeout", NO_TIMES)
    async def test_timeout_is_checked_before_anything_is_paid_for(
        self, timeout: Any, server: Emulator, client: KlingClient, tmp_path: Path
    ) -> None:
        """
        In every verb that has one, and also if there is nothing to wait for.
        """
        ended = client.handle((await client.submit("a fox")).task_id)
        await ended.wait()
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(["a lighthouse"])
            verbs: list[Callable[[], Awaitable[Any]]] = [
                lambda: client.generate("a lighthouse", timeout=timeout),
                lambda: client.handle("t-1").wait(timeout),
                lambda: ended.wait(timeout),
                lambda: drained(batch.run(timeout=timeout)),
            ]
            for verb in verbs:
                with pytest.raises(InvalidRequest, match="^timeout=.*: must be a number of seconds from 0 to"):
                    await verb()

            assert 1 == (await batch.summary()).queued
        assert ["a fox"] == [task.prompt for task in server.ledger.tasks]

    @pytest.mark.parametrize("timeout", [None, 60, 60.0, 1e9])
    async def test_times_to_wait(self, timeout: float | None, client: KlingClient) -> None:
        """
        Whole and broken numbers of seconds, and None.
        """
        assert (await client.generate("a lighthouse", timeout=timeout)).images

    @pytest.mark.parametrize("count", NO_COUNTS)
    async def test_counts_are_checked_before_anything_is_paid_for(
        self, count: Any, server: Emulator, client: KlingClient, tmp_path: Path
    ) -> None:
        """
        The number at a time, the number of attempts, and the tasks on a page.
        """
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(["a lighthouse"])
            with pytest.raises(InvalidRequest, match="^concurrency="):
                client.stream(["a lighthouse"], concurrency=count)
            with pytest.raises(InvalidRequest, match="^max_attempts="):
                await drained(batch.run(max_attempts=count))
            with pytest.raises(InvalidRequest, match="^page_size="):
                await drained(client.tasks(page_size=count))
        assert [] == server.ledger.tasks

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("resend_uncertain", "no"),
            ("resend_uncertain", 0),
            ("name", 5),
            ("save_to", 5),
            ("save_to", ["pictures"]),
            ("executor", "dask"),
        ],
    )
    async def test_arguments_of_run_are_checked(
        self, name: str, value: Any, server: Emulator, client: KlingClient, tmp_path: Path
    ) -> None:
        """
        The text "no" would resend uncertain rows, which may be paid for twice.
        """
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(["a lighthouse"])
            with pytest.raises(InvalidRequest, match=f"^{name}=.*: must be "):
                await drained(batch.run(**{"save_to": tmp_path, name: value}))
        assert [] == server.ledger.tasks

    async def test_fields_of_one_request_are_not_many_requests(self, client: KlingClient, tmp_path: Path) -> None:
        """
        Neither the letters of a prompt nor the names of fields are prompts.
        """
        async with Batch(tmp_path / "run.kling", client) as batch:
            for one in ({"prompt": "a fox"}, "a fox", b"a fox", bytearray(b"a fox"), None, 5):
                with pytest.raises(TypeError, match="stream takes an iterable of requests"):
                    client.stream(one)  # type: ignore[arg-type]
                with pytest.raises(TypeError, match="add takes an iterable of requests"):
                    await batch.add(one)  # type: ignore[arg-type]
            assert 0 == (await batch.summary()).rows

    @pytest.mark.parametrize("task_id", [None, 5, ["t-1"], b"t-1"])
    async def test_an_id_is_text(self, task_id: Any, client: KlingClient) -> None:
        """
        It says so, instead of what Python makes of it.
        """
        with pytest.raises(InvalidRequest, match="^task_id=<.*>: must be the id of a task, as text"):
            client.handle(task_id)
        with pytest.raises(InvalidRequest, match="^task_id="):
            await client.get(task_id)

    async def test_what_is_saved_is_a_result(self, client: KlingClient, tmp_path: Path) -> None:
        """
        A handle is none, and neither is an address a picture.
        """
        result = await client.generate("a lighthouse")
        wrong: list[tuple[str, Awaitable[Any]]] = [
            ("result", client.save(client.handle("t-1"), tmp_path)),  # type: ignore[call-overload]
            ("destination", client.save(result, 5)),  # type: ignore[call-overload]
            ("name", client.save(result, tmp_path, name=None)),  # type: ignore[call-overload]
            ("file", client.read(result.images[0].url)),  # type: ignore[arg-type]
        ]
        for name, verb in wrong:
            with pytest.raises(InvalidRequest, match=f"^{name}=<.*>: must be "):
                await verb
        assert 1 == len(await client.save(result, tmp_path))

    async def test_a_batch_needs_a_client_and_a_path(self, client: KlingClient, tmp_path: Path) -> None:
        """
        In words, before a journal is made.
        """
        wrong: list[tuple[str, tuple[Any, Any]]] = [("path", (5, client)), ("client", (tmp_path / "run.kling", None))]
        for name, arguments in wrong:
            with pytest.raises(InvalidRequest, match=f"^{name}="):
                Batch(*arguments)
        with pytest.raises(InvalidRequest, match="^clock=<int>"):
            Batch(tmp_path / "run.kling", client, clock=5)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest, match="^rebind=.no.: must be True or False"):
            Batch(tmp_path / "run.kling", client, rebind="no")  # type: ignore[arg-type]
        assert [] == list(tmp_path.iterdir())

    async def test_a_receiver_is_judged(self) -> None:
        """
        Its address like that of a service, its secrets, and where it is to listen.
        """
        for url in ("https://a..b/kling", "https://ho\nst", 5, '"https://example.org"'):
            with pytest.raises(InvalidRequest, match="^public_url="):
                CallbackReceiver(url)  # type: ignore[arg-type]
        for secret in (5, b"whsec_dGVzdA==", [5]):
            with pytest.raises(InvalidRequest, match="^secret=…: must be Base64 text"):
                CallbackReceiver("https://example.org", secret=secret)  # type: ignore[arg-type]
        receiver = CallbackReceiver("https://example.org")
        for port in ("8080", 70_000, -1, True):
            with pytest.raises(InvalidRequest, match="^port=.*: must be a whole number from 0 to 65535"):
                async with receiver.serve(port=port):  # type: ignore[arg-type]
                    pass


def test_nothing_that_is_no_time_reaches_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A timer at NaN would upset the order of all others.
    """

    async def story() -> None:
        loop = asyncio.get_running_loop()
        timers: list[float] = []
        call_at = loop.call_at

        def noted(when: float, *rest: Any, **context: Any) -> asyncio.TimerHandle:
            timers.append(when)
            return call_at(when, *rest, **context)

        monkeypatch.setattr(loop, "call_at", noted)
        async with (
            Emulator(latency=(0.0, 0.0)) as server,
            KlingClient(server.api_key, base_url=server.url, polling=EAGER) as client,
        ):
            for timeout in NO_TIMES:
                with pytest.raises(InvalidRequest):
                    await client.generate("a lighthouse", timeout=timeout)
                with pytest.raises(InvalidRequest):
                    await client.handle("t-1").wait(timeout)
            await client.generate("a lighthouse", timeout=30)
        assert timers
        assert all(map(math.isfinite, timers))

    asyncio.run(story())


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("https://a..b", "valid host name"),
        ("https://.", "valid host name"),
        (f"https://{'a' * 64}.example/x", "valid host name"),
        (f"https://{'.'.join(['a' * 60] * 5)}", "valid host name"),
        ("https://a%20b.example", "valid host name"),
        ("https://*.example", "valid host name"),
        ("https://ex\u00adample.org", "without whitespace"),
        ("https://[v1.a]:1", "absolute|brackets"),
        ("https://host/a b", "without whitespace"),
        ("https://host/a\nb", "without whitespace"),
        ("https://ho\tst", "without whitespace"),
        ("https://${HOST}/kling", "was not substituted"),
        ("%BASE_URL%", "was not substituted"),
        ("'https://host'", "quotation marks"),
        ("https:///path", "absolute"),
        ("https://host:0", "absolute"),
        (None, "as text"),
    ],
)
def test_rules_of_addresses(url: Any, rule: str) -> None:
    """
    Whatever aiohttp, IDNA or the name look-up would fail at is refused.
    """
    assert re.search(rule, url_rule(url) or "it passes")


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example",
        "http://[::1]:1/x",
        "https://a_b.example./",
        "https://bücher.example",
        "https://1.2.3.4:5/[x]",
    ],
)
def test_addresses_that_pass(url: str) -> None:
    """
    Names, numbers, and names in other scripts.
    """
    assert url_rule(url) is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:secret@host/x?secret#secret", "'https://host/x?…'"),
        ("https://u:se/cret@host", "'…'"),
        ("https://u:se@cret@host", "'…'"),
        ("http://[secret@host", "'…'"),
        ("a-secret-without-a-dot", "'…'"),
        ("sk-secret1.x", "'….x'"),
        (5, "<int>"),
    ],
)
def test_what_is_shown_of_an_address(url: object, shown: str) -> None:
    """
    Never a password, a query or a key.
    """
    assert shown == shown_url(url)


@pytest.mark.parametrize("pair", [AccessKey("a", None), AccessKey(5, "s")])  # type: ignore[arg-type]
def test_a_pair_of_keys_is_text(pair: AccessKey) -> None:
    """
    A variable of the environment that is not set is None.
    """
    with pytest.raises(NotAuthenticated, match="_key must be text, and is <"):
        KlingClient(pair)
