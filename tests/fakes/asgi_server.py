"""
ASGI applications served by uvicorn.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest


@contextlib.asynccontextmanager
async def served_by_uvicorn(app: Any, path: str = "/kling", **settings: Any) -> AsyncIterator[str]:
    uvicorn = pytest.importorskip("uvicorn")
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False, ws="none", **settings)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()  # rather than `serve`, which takes the signals that are pytest's
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}{path}"
    finally:
        await server.shutdown()
