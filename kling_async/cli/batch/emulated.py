"""
A service inside the command that seems to outlive it: tasks of an earlier run are known to it from the journal.
"""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs

from kling_async.cli.access import Access
from kling_async.journal import Reader
from kling_async.rows import State

if TYPE_CHECKING:
    from kling_async.emulator import Emulator

__all__ = ["make_emulator"]


def make_emulator(access: Access, journal: Path) -> "Emulator":
    """
    Make a service that takes up where that of *journal* has ended: at its port, with its tasks.
    """
    if not journal.exists():
        return access.make_emulator()
    with Reader(journal) as reader:
        base_url, _ = reader.account
        server = access.make_emulator(_port_of(base_url))
        for row in reader.rows(State.ACCEPTED, State.FINISHED, State.SAVED):
            request = attrs.evolve(row.request, image=None, external_task_id=row.external_task_id)
            server.world.recall(row.task_id or "", request, row.accepted_at or 0.0)
    return server


def _port_of(base_url: str) -> int:
    # Of a journal that was begun with another service, none: that it is another is told when it is opened.
    parts = urlsplit(base_url)
    return parts.port or 0 if parts.hostname == "127.0.0.1" else 0
