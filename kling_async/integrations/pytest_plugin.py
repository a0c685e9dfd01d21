"""
What stands behind the fixtures `kling_emulator` and `kling_client`; pytest knows them by `pytest_kling_async`.

The emulator lives in a loop and a thread of its own, so that tests may use any loop, several, or none.
"""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, cast

import attrs
import pytest

from kling_async.client.client import KlingClient
from kling_async.emulator import Emulator, Ledger, Settings
from kling_async.policy.policies import PollPolicy, RetryPolicy

__all__ = ["lead_to", "make_client", "read_settings", "serve"]

QUICK: Final[dict[str, Any]] = {"latency": (0.0, 0.02), "picture_scale": 0.1}
"""
The settings of a test that names no others: its tasks take no time worth waiting for, its pictures are small.
"""

POLLING: Final = PollPolicy(first_delay=0.01)
RETRY: Final = RetryPolicy(first_delay=0.02)


def read_settings(node: pytest.Item) -> dict[str, Any]:
    """
    Return the settings that a test's markers ask for; of two markers the one closer to the test decides.

    Fails the test where a marker is none: with arguments that no emulator has.
    """
    settings = dict(QUICK)
    known = attrs.fields_dict(Settings).keys()
    for marker in reversed(list(node.iter_markers("kling"))):
        if marker.args:
            pytest.fail(f"pytest.mark.kling takes keyword arguments alone, got {marker.args!r}", pytrace=False)
        if unknown := sorted(marker.kwargs.keys() - known):
            what = f"pytest.mark.kling knows no {', '.join(unknown)}; it takes {', '.join(sorted(known))}"
            pytest.fail(what, pytrace=False)
        settings.update(marker.kwargs)
    return settings


@contextlib.contextmanager
def serve(settings: dict[str, Any]) -> Iterator[Emulator]:
    """
    Have an emulator open in a thread of its own. Fails the test where there can be none of these *settings*.
    """
    try:
        server = _Housed(**settings)
    except (ImportError, TypeError, ValueError) as error:  # no Pillow, or a setting that cannot be
        raise pytest.fail.Exception(f"there is no such emulator: {error}", pytrace=False) from None
    opened: Future[Callable[[], object]] = Future()
    with ThreadPoolExecutor(1, "kling-emulator") as threads:
        life = threads.submit(asyncio.run, server.live(opened))
        either: list[Future[Any]] = [life, opened]
        concurrent.futures.wait(either, return_when=concurrent.futures.FIRST_COMPLETED)
        if life.done():
            life.result()  # raises what kept it from opening
        try:
            yield server
        finally:
            opened.result()()
            life.result()


def lead_to(server: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Make every client that is given nothing else one of *server*: by the environment, as a program's would be, and by
    defaults, for its dialect follows from no host here, and patience would cost seconds.

    Real keys are hidden. An access key, where the service has one, is shown in place of the Bearer key.
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
    defaults = cast("dict[str, Any]", KlingClient.__init__.__kwdefaults__)
    for name, default in {"dialect": server.dialect, "polling": POLLING, "retry": RETRY}.items():
        monkeypatch.setitem(defaults, name, default)


@contextlib.contextmanager
def make_client(server: Emulator) -> Iterator[KlingClient]:
    """
    Make a client of *server* that needs no closing.
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
    # Its world is touched in its own loop alone.

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
        Be open until that is called which *opened* is given.
        """
        loop, closing = asyncio.get_running_loop(), asyncio.Event()
        async with self:
            self._home = loop
            opened.set_result(lambda: loop.call_soon_threadsafe(closing.set))
            await closing.wait()
            self._home = None


class _Mortal(KlingClient):
    # Closes when the loop ends in which it was used. Fixtures are torn down too late for that, or in no loop at all;
    # but loops close the asynchronous generators that were begun in them.

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
        Close it, where its loop goes on after the test.
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
