"""
The emulator as a server: opened and closed with `async with`.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, Unpack

from aiohttp import web

from kling_async.emulator.app import Face
from kling_async.emulator.faults import FaultPlan
from kling_async.emulator.ledger import Ledger
from kling_async.emulator.renderer import require_pillow
from kling_async.emulator.settings import Settings, SettingsByName
from kling_async.emulator.webhook_queue import Outbox
from kling_async.emulator.webhook_sender import Postman
from kling_async.emulator.world import World
from kling_async.wire.auth import AccessKey
from kling_async.wire.dialects import Dialect

_PATIENCE = 0.05  # seconds that an answer under way has when the server closes; waits inside it end at once


class Emulator:
    """
    A Kling service of your own, on a real socket, with real pictures.

        async with Emulator(slots=5, latency=(0.1, 0.5)) as server:
            ...  # server.url, server.api_key

    Its tasks live in `world` and outlast the socket: a server that was closed can be opened again at the same port, as
    a service that was down for a while; of what changed meanwhile it sends callbacks then. Those go wherever a task's
    `callback_url` leads, this machine included.

    Args:
        clock: Epoch seconds; replace it to let simulated time pass.
        settings: The fields of `Settings`.

    Attributes:
        world: The service as values: what is running, what has ended, what it cost.

    Raises:
        ImportError: Pillow is missing.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time, **settings: Unpack[SettingsByName]) -> None:
        require_pillow()
        self.settings: Settings = Settings(**settings)
        self.world: Final = World(self.settings)
        self._clock = clock
        self._plan = FaultPlan(self.settings.faults, self.settings.seed)
        self._outbox = Outbox(self.world, self._plan)
        self._postman: Postman | None = None
        self._port = self.settings.port
        self._face: Face | None = None
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None

    def __repr__(self) -> str:
        host = self._origin() if self._listener else "closed"
        now = self._clock()
        return (
            f"<Emulator {self.dialect.name} {host}: {len(self.world.ledger.tasks)} tasks, "
            f"{self.world.running(now)} running, {sum(self.world.ledger.arrivals.values())} requests>"
        )

    @property
    def url(self) -> str:
        """
        What a client takes as its `base_url`.
        """
        if self._listener is None:
            raise RuntimeError("this emulator is not open: use `async with`")
        return self._origin() + self.settings.prefix

    @property
    def api_key(self) -> str:
        """
        The Bearer key that opens it.
        """
        return self.settings.api_key

    @property
    def access_key(self) -> AccessKey | None:
        """
        The pair of keys whose tokens open it too; None where none was set.
        """
        return self.settings.access_key

    @property
    def dialect(self) -> Dialect:
        """
        What it plays; a client of it needs the same one, since the host does not tell.
        """
        return self.settings.dialect

    @property
    def ledger(self) -> Ledger:
        """
        What was created, billed and asked up to now.
        """
        self.world.settle(self._clock())
        return self.world.ledger

    async def __aenter__(self) -> Self:
        if self._listener is not None:
            raise RuntimeError("this emulator is open already")
        postman = self._postman = Postman(self._outbox, self.world.ledger, self._clock)
        self._face = Face(self.world, self._plan, self._clock, postman.wake)
        application = self._face.application()
        application.cleanup_ctx.append(postman.at_work)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=_PATIENCE)
        await self._runner.setup()
        try:
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(self._accept, self.settings.host, self._port, backlog=1024)
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._listener.sockets[0].getsockname()[1]
        self.world.origin = self._origin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        Stop listening and cut what is still connected; a second call does nothing.
        """
        if self._listener is None or self._runner is None or self._face is None:
            return
        listener, self._listener = self._listener, None
        await _take_no_more(listener)
        listener.close()
        await self._face.retire()
        await self._runner.cleanup()

    def _accept(self) -> asyncio.Protocol:
        # Called by the loop once for each connection.
        self.world.ledger.connections += 1
        if self._runner is None or self._runner.server is None:
            raise AssertionError("a connection without a server")
        return self._runner.server()

    def _origin(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.settings.host, self.settings.host)  # noqa: S104 (undone)
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"


async def _take_no_more(listener: asyncio.Server) -> None:
    # A connection that the loop is taking while its server is closed would stay open, known to nobody.
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # on Windows
        for listening in listener.sockets:
            loop.remove_reader(listening)
    for _ in range(3):  # the loop's steps from a connection to the runner, which will cut it
        await asyncio.sleep(0)
