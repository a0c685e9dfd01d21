"""
Estimates how long tasks of one kind take, from those that ended lately.
"""

import collections
import functools
from collections.abc import Hashable
from typing import TypeAlias

import attrs

__all__ = ["DurationEstimate", "Kind"]

Kind: TypeAlias = Hashable
"""
What tasks that take about the same time have in common, for example their model; an endpoint's `duration_key`.
"""


@attrs.define(eq=False, repr=False)
class DurationEstimate:
    """
    The seconds from acceptance to the end of the last 16 tasks of one kind.

    Attributes:
        typical: Their median.
        shortest: Their minimum.
        is_known: Whether a task of the kind has ended yet.
    """

    _seconds: collections.deque[float] = attrs.field(
        factory=functools.partial(collections.deque, maxlen=16), init=False
    )
    typical: float = attrs.field(default=0.0, init=False)
    shortest: float = attrs.field(default=0.0, init=False)
    is_known: bool = attrs.field(default=False, init=False)

    def add(self, seconds: float) -> None:
        """
        Take the duration of one more task into account.
        """
        self._seconds.append(max(0.0, seconds))
        ordered = sorted(self._seconds)
        middle = len(ordered) // 2
        self.typical = (ordered[middle] + ordered[~middle]) / 2
        self.shortest = ordered[0]
        self.is_known = True
