"""
Checks a journal's file for damage: at once, or beside the first work on it.
"""

import threading
from typing import Final

import attrs

from kling_async.batch.database import Database
from kling_async.errors import JournalCorrupt

__all__ = ["SoundnessCheck", "check_sound"]

INTERVAL: Final = 0.01
"""
Seconds between two interrupts of a check that is to end.
"""


def check_sound(database: Database) -> None:
    """
    Read the whole file.

    Raises:
        JournalCorrupt: It is damaged.
    """
    with database.translating():
        [verdict] = database.fetch_one("PRAGMA quick_check(1)")
    if verdict != "ok":
        raise JournalCorrupt(f"{str(database.path)!r} is damaged ({verdict}); restore it from a copy")


class SoundnessCheck:
    """
    A check in its own thread: a million rows take a quarter of a second. Until it has ended, nothing may be changed in
    the file, and so nothing is sent: a damaged one could lose what was paid for.

    Args:
        database: A connection of its own for reading, which this closes.

    Raises:
        RuntimeError: The system gives no thread.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="kling_async check", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            database.close()
            raise

    def wait(self) -> None:
        """
        Wait for the end of the check, and raise what it has found. This blocks.

        Raises:
            JournalCorrupt: The file is damaged.
            StorageFull: The disk fails.
        """
        self._thread.join()
        if self._error is not None:
            raise attrs.evolve(self._error) if isinstance(self._error, JournalCorrupt) else self._error

    def stop(self) -> None:
        """
        End the check, whatever it would find: its connection would keep the log from being removed. This blocks.
        """
        while self._thread.is_alive():
            self._database.interrupt()  # ends only a statement that runs, and the thread may be just about to begin one
            self._thread.join(INTERVAL)

    def abandon(self) -> None:
        """
        Keep its connection from being closed, in a child that was forked; see `Database.abandon`.
        """
        self._database.abandon()

    def _run(self) -> None:
        try:
            check_sound(self._database)
        except Exception as error:  # noqa: BLE001 (`wait` raises it)
            self._error = error
        finally:
            self._database.close()
