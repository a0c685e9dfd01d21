"""
The emulator as an HTTP server.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final, Self, Unpack

from aiohttp import web

from kling_async.emulator.account import Account
from kling_async.emulator.app import EmulatorApp
from kling_async.emulator.fault_plan import FaultPlan
from kling_async.emulator.file_rendering import require_pillow
from kling_async.emulator.ledger import Ledger
from kling_async.emulator.settings import Settings, SettingsByName
from kling_async.emulator.webhook_queue import WebhookQueue
from kling_async.emulator.webhook_sender import WebhookSender
from kling_async.wire.async_with import UsedWithAsyncWith
from kling_async.wire.auth import AccessKey
from kling_async.wire.dialects import Dialect

_SHUTDOWN_TIMEOUT: Final = 0.05  # seconds to finish running answers; waits inside them end at once


class Emulator(UsedWithAsyncWith):
    """
    An emulated Kling service on a real socket, with real files.

        async with Emulator(slots=5, latency=(0.1, 0.5)) as server:
            ...  # server.url, server.api_key

    Its tasks are in `account` and outlive the socket. A server that was closed can be opened again at the same port,
    like a service that was down for a while; it then sends the callbacks of changes that happened meanwhile. Callbacks
    go to any `callback_url`, this machine included.

    Args:
        clock: Epoch seconds; replace it to let simulated time pass.
        settings: The fields of `Settings`.

    Attributes:
        account: The emulated account as values: running and ended tasks, and their cost.

    Raises:
        ImportError: Pillow is missing.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time, **settings: Unpack[SettingsByName]) -> None:
        require_pillow()
        self.settings: Settings = Settings(**settings)
        self.account: Final = Account(self.settings)
        self._clock = clock
        self._plan = FaultPlan(self.settings.faults, self.settings.seed)
        self._webhook_queue = WebhookQueue(self.account, self._plan)
        self._webhook_sender: WebhookSender | None = None
        self._port = self.settings.port
        self._app: EmulatorApp | None = None
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None

    def __repr__(self) -> str:
        host = self._origin() if self._listener else "closed"
        now = self._clock()
        return (
            f"<Emulator {self.dialect.name} {host}: {len(self.account.ledger.tasks)} tasks, "
            f"{self.account.running(now)} running, {sum(self.account.ledger.arrivals.values())} requests>"
        )

    @property
    def url(self) -> str:
        """
        The `base_url` for clients.
        """
        if self._listener is None:
            raise RuntimeError("this emulator is not open: use `async with`")
        return self._origin() + self.settings.prefix

    @property
    def api_key(self) -> str:
        """
        The Bearer key of the account.
        """
        return self.settings.api_key

    @property
    def access_key(self) -> AccessKey | None:
        """
        The pair of keys whose tokens are accepted too; None if none was set.
        """
        return self.settings.access_key

    @property
    def dialect(self) -> Dialect:
        """
        The emulated service. A client needs the same dialect, because the host does not imply it.
        """
        return self.settings.dialect

    @property
    def ledger(self) -> Ledger:
        """
        What was created, billed and requested up to now.
        """
        self.account.settle(self._clock())
        return self.account.ledger

    async def __aenter__(self) -> Self:
        if self._listener is not None:
            raise RuntimeError("this emulator is already open")
        webhook_sender = self._webhook_sender = WebhookSender(self._webhook_queue, self.account.ledger, self._clock)
        self._app = EmulatorApp(self.account, self._plan, self._clock, webhook_sender.wake)
        application = self._app.application()
        application.cleanup_ctx.append(webhook_sender.run)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT)
        await self._runner.setup()
        try:
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(self._accept, self.settings.host, self._port, backlog=1024)
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._listener.sockets[0].getsockname()[1]
        self.account.urls.origin = self._origin()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        Stop listening, and close all connections. A second call does nothing.
        """
        if self._listener is None or self._runner is None or self._app is None:
            return
        listener, self._listener = self._listener, None
        await _stop_accepting(listener)
        listener.close()
        await self._app.shut_down()
        await self._runner.cleanup()

    def _accept(self) -> asyncio.Protocol:
        # Called by the loop once for each connection.
        self.account.ledger.connections += 1
        if self._runner is None or self._runner.server is None:
            raise AssertionError("a connection without a running server")
        return self._runner.server()

    def _origin(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.settings.host, self.settings.host)  # noqa: S104 (undone)
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"


async def _stop_accepting(listener: asyncio.Server) -> None:
    # A connection that the loop accepts while its server closes would never be closed.
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # on Windows
        for listening in listener.sockets:
            loop.remove_reader(listening)
    for _ in range(3):  # the steps of the loop until the runner has the connection, and can close it
        await asyncio.sleep(0)
