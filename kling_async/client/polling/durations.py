"""
How long tasks of one kind take: learned from those that ended, so that nobody asks long before or long after the end.
"""

import collections
from collections.abc import Hashable
from typing import Final, TypeAlias

import attrs

__all__ = ["DurationEstimate", "Kind"]

REMEMBERED: Final = 16
"""
How many of the last tasks of a kind tell how long the next will take.
"""

Kind: TypeAlias = Hashable
"""
What tasks that take about equally long have in common: their model and their number of pictures.
"""


@attrs.define(eq=False)
class DurationEstimate:
    """
    The times, in seconds, that the last tasks of one kind took from acceptance to their end.

    Attributes:
        typical: Their median.
        shortest: The least of them.
    """

    _seconds: collections.deque[float] = attrs.field(factory=lambda: collections.deque(maxlen=REMEMBERED), init=False)
    typical: float = attrs.field(default=0.0, init=False)
    shortest: float = attrs.field(default=0.0, init=False)

    @property
    def is_known(self) -> bool:
        """
        Whether any task of the kind has ended yet.
        """
        return bool(self._seconds)

    def learn(self, seconds: float) -> None:
        """
        Take in how long one more task took.
        """
        self._seconds.append(max(0.0, seconds))
        ordered = sorted(self._seconds)
        middle = len(ordered) // 2
        self.typical = (ordered[middle] + ordered[~middle]) / 2
        self.shortest = ordered[0]
