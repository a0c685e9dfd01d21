"""
An emulator inside the command that continues where that of an earlier run ended: the journal has its tasks.
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

__all__ = ["resumable_emulator"]


@contextlib.asynccontextmanager
async def resumable_emulator(service: ServiceOptions, journal: Path) -> AsyncIterator["Emulator"]:
    """
    Start an emulator with the port and the tasks of the one with which *journal* was started.

    Raises:
        typer.BadParameter: The port is in use.
    """
    port, rows = _earlier(journal)
    server = service.make_emulator(port)
    for row in rows:
        request = with_fields(without_files(row.request), external_task_id=row.external_task_id)
        server.account.restore(row.task_id or "", cast("Any", request), row.accepted_at or 0.0)
    try:
        await server.__aenter__()
    except OSError:
        what = f"its emulator used port {port}, which is in use: is an earlier run still running?"
        raise typer.BadParameter(what, param_hint="--journal") from None
    try:
        yield server
    finally:
        await server.aclose()


def _earlier(journal: Path) -> tuple[int, list[Row]]:
    # Whether it is the journal of another service, or not a journal, is reported when the batch opens it.
    try:
        with Reader(journal) as reader:
            parts = urlsplit(reader.account[0])
            if parts.hostname == "127.0.0.1":
                return parts.port or 0, list(reader.rows(State.ACCEPTED, State.FINISHED, State.SAVED))
    except (FileNotFoundError, JournalCorrupt):
        pass
    return 0, []
