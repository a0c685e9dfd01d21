"""
What the tasks of a gallery were billed.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal

import attrs

from kling_async.gallery.entry import GalleryEntry

__all__ = ["Bill"]


@attrs.define(eq=False)
class Bill:
    """
    The sum of what tasks were billed, each counted once although each of its files has an entry.

    Attributes:
        tasks: Those of which the bill is known.
    """

    units: Decimal = Decimal(0)
    cash: Decimal = Decimal(0)
    tasks: int = 0

    def adding(self, entries: Iterable[GalleryEntry]) -> Iterator[GalleryEntry]:
        """
        Yield *entries*, and add what their tasks were billed. Those of a task follow one another.
        """
        task_id: str | None = None
        for entry in entries:
            is_known = entry.units is not None or entry.cash is not None
            if is_known and (entry.task_id is None or entry.task_id != task_id):
                self.units += entry.units or 0
                self.cash += entry.cash or 0
                self.tasks += 1
            task_id = entry.task_id
            yield entry

    @property
    def text(self) -> str:
        """
        The sum in words; empty if nothing was billed.
        """
        parts = [f"{_plain(self.units)} unit{'' if self.units == 1 else 's'}"] if self.units else []
        if self.cash:
            parts.append(f"{_plain(self.cash)} in cash")
        return f"Billed: {' and '.join(parts)} for {self.tasks:,} task{'' if self.tasks == 1 else 's'}" if parts else ""


def _plain(number: Decimal) -> str:
    return f"{number.normalize():,f}"
