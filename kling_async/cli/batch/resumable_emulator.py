"""
A service inside the command that seems to outlive it: tasks of an earlier run are known to it from the journal.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import typer

from kling_async.batch.journal import Reader
from kling_async.batch.records import Row, State
from kling_async.cli.service_options import ServiceOptions
from kling_async.errors import JournalCorrupt
from kling_async.wire.endpoints.base import with_fields
from kling_async.wire.endpoints.registry import without_files

if TYPE_CHECKING:
    from kling_async.emulator import Emulator

__all__ = ["emulated"]


@contextlib.asynccontextmanager
async def emulated(access: ServiceOptions, journal: Path) -> AsyncIterator["Emulator"]:
    """
    Serve what takes up where the service of *journal* has ended: at its port, with its tasks.

    Raises:
        typer.BadParameter: The port is taken.
    """
    port, rows = _earlier(journal)
    server = access.make_emulator(port)
    for row in rows:
        request = with_fields(without_files(row.request), external_task_id=row.external_task_id)
        server.account.recall(row.task_id or "", cast("Any", request), row.accepted_at or 0.0)
    try:
        await server.__aenter__()
    except OSError:
        what = f"its service was emulated at port {port}, which is taken: does an earlier run still go on?"
        raise typer.BadParameter(what, param_hint="--journal") from None
    try:
        yield server
    finally:
        await server.aclose()


def _earlier(journal: Path) -> tuple[int, list[Row]]:
    # That it is the journal of another service, or none at all, is told when it is opened for work.
    try:
        with Reader(journal) as reader:
            parts = urlsplit(reader.account[0])
            if parts.hostname == "127.0.0.1":
                return parts.port or 0, list(reader.rows(State.ACCEPTED, State.FINISHED, State.SAVED))
    except (FileNotFoundError, JournalCorrupt):
        pass
    return 0, []
