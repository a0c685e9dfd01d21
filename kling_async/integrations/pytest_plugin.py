"""
Implements the fixtures `kling_emulator` and `kling_client`, which `pytest_kling_async` registers with pytest.

The emulator runs in its own event loop and thread, so that tests may use any event loop, several, or none.
"""

import asyncio
import concurrent.futures
import contextlib
import inspect
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, cast

import attrs
import pytest

from kling_async.client.client import KlingClient
from kling_async.emulator import Emulator, Ledger, Settings
from kling_async.policy.policies import PollPolicy, RetryPolicy

__all__ = ["lead_to", "make_client", "read_settings", "serve"]

QUICK: Final[dict[str, Any]] = {"latency": (0.0, 0.02), "pictures": "plain", "picture_scale": 0.1}
"""
The default settings: tasks take almost no time, and neither do their files.
"""

POLLING: Final = PollPolicy(first_delay=0.01)
RETRY: Final = RetryPolicy(first_delay=0.02)


def read_settings(node: pytest.Item) -> dict[str, Any]:
    """
    Return the settings that a test's markers ask for; if two set the same, the one closer to the test has priority.

    Fails the test if a marker has arguments that the emulator does not have.
    """
    settings = dict(QUICK)
    known = attrs.fields_dict(Settings).keys()
    for marker in reversed(list(node.iter_markers("kling"))):
        if marker.args:
            pytest.fail(f"pytest.mark.kling takes only keyword arguments, got {marker.args!r}", pytrace=False)
        if unknown := sorted(marker.kwargs.keys() - known):
            what = f"pytest.mark.kling knows no {', '.join(unknown)}; it takes {', '.join(sorted(known))}"
            pytest.fail(what, pytrace=False)
        settings.update(marker.kwargs)
    return settings


@contextlib.contextmanager
def serve(settings: dict[str, Any]) -> Iterator[Emulator]:
    """
    Run an emulator in its own thread. Fails the test if these *settings* are invalid.
    """
    try:
        server = _Housed(**settings)
    except (ImportError, TypeError, ValueError) as error:  # no Pillow, or an invalid setting
        raise pytest.fail.Exception(f"the emulator cannot be started: {error}", pytrace=False) from None
    opened: Future[Callable[[], object]] = Future()
    with ThreadPoolExecutor(1, "kling-emulator") as threads:
        life = threads.submit(asyncio.run, server.live(opened))
        either: list[Future[Any]] = [life, opened]
        concurrent.futures.wait(either, return_when=concurrent.futures.FIRST_COMPLETED)
        if life.done():
            life.result()  # raises the error that kept it from opening
        try:
            yield server
        finally:
            opened.result()()
            life.result()


def lead_to(server: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Make *server* the default of every client: by environment variables, as programs do, and by the defaults of
    arguments, because the dialect does not follow from the host here, and the usual delays would cost seconds.

    Real keys are hidden. If the service has an access key, it replaces the API key.
    """
    pair = server.access_key
    shown = {
        "KLING_BASE_URL": server.url,
        "KLING_API_KEY": None if pair else server.api_key,
        "KLING_ACCESS_KEY": pair.access_key if pair else None,
        "KLING_SECRET_KEY": pair.secret_key if pair else None,
    }
    for name, value in shown.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    defaults = cast("dict[str, Any]", inspect.unwrap(KlingClient.__init__).__kwdefaults__)
    for name, default in {"dialect": server.dialect, "polling": POLLING, "retry": RETRY}.items():
        monkeypatch.setitem(defaults, name, default)


@contextlib.contextmanager
def make_client(server: Emulator) -> Iterator[KlingClient]:
    """
    Make a client of *server* that is closed automatically.
    """
    client = _Mortal(
        server.access_key or server.api_key,
        base_url=server.url,
        dialect=server.dialect,
        slots=server.settings.slots,
        polling=POLLING,
        retry=RETRY,
    )
    try:
        yield client
    finally:
        client.end()


class _Housed(Emulator):
    # Its state is accessed only in its own event loop.

    _home: asyncio.AbstractEventLoop | None = None

    @property
    def ledger(self) -> Ledger:
        if self._home is None:
            return super().ledger
        return asyncio.run_coroutine_threadsafe(self._read_ledger(), self._home).result()

    async def _read_ledger(self) -> Ledger:
        return super().ledger

    async def live(self, opened: Future[Callable[[], object]]) -> None:
        """
        Run until the function that *opened* is set to is called.
        """
        loop, closing = asyncio.get_running_loop(), asyncio.Event()
        async with self:
            self._home = loop
            opened.set_result(lambda: loop.call_soon_threadsafe(closing.set))
            await closing.wait()
            self._home = None


class _Mortal(KlingClient):
    # Closes when the event loop ends in which it was used. Fixtures are torn down too late for that, or without a loop;
    # but event loops close the asynchronous generators that were started in them.

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._life: AsyncGenerator[None, None] | None = None
        self.core.on_open = self._begin

    def _begin(self) -> None:
        self._life = self._live()
        with contextlib.suppress(StopIteration):
            self._life.__anext__().send(None)  # up to its yield, where it waits for its end

    async def _live(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.aclose()

    def end(self) -> None:
        """
        Close it if its event loop outlives the test.
        """
        life, loop = self._life, self.core.loop
        if life is None or loop is None or loop.is_closed():
            return
        if loop.is_running():  # in another thread
            asyncio.run_coroutine_threadsafe(_finish(life), loop).result()
        else:
            loop.run_until_complete(_finish(life))


async def _finish(life: AsyncGenerator[None, None]) -> None:
    await life.aclose()
