"""
Ways of asking how tasks are, and which of them is the cheapest now: one task, several by their ids, or pages of all.
"""

import bisect
import enum
import math
from collections.abc import Sequence
from typing import Final

import attrs

__all__ = ["QueryMode", "QueryPlan", "QueryStrategy"]

PAGE_MIN: Final = 30
"""
Tasks on the smallest page that is worth a request.
"""

PAGE_MAX: Final = 500
"""
Tasks on the vendor's largest page.
"""

PAGES_MAX: Final = 32
"""
Pages that are read at most to find tasks; 16,000 tasks are on them.
"""

MANY_BREAKS: Final = 4
"""
After so many breaks in a row a way is taken for one that may be out of order for long.
"""

TOO_FEW: Final = 10
"""
Up to so many tasks are asked for by their ids where one request does: a page shows others' tasks as well.
"""

FORGETTING: Final = 0.98
"""
By what the memory of pages without our tasks fades from turn to turn, so that they are tried again some day.
"""


class QueryMode(enum.Enum):
    """
    How to ask.
    """

    ONE = enum.auto()
    SEVERAL = enum.auto()
    PAGES = enum.auto()


@attrs.frozen
class QueryPlan:
    """
    A way, and for pages how many of them with how many tasks each.
    """

    way: QueryMode
    pages: int = 0
    page_size: int = 0


@attrs.define
class QueryStrategy:
    """
    What the service offers, as far as it is known: what it refused is not tried again, what broke may work later.
    """

    ids_per_read: int = 1
    has_pages: bool = False
    _breaks: dict[QueryMode, int] = attrs.field(factory=dict, init=False)  # in a row
    _share_missing: float = attrs.field(default=0.0, init=False)  # of the tasks that pages were to show, lately
    _pages_pay: bool = attrs.field(default=True, init=False)  # or did when that was last asked

    @property
    def per_request(self) -> int:
        """
        How many tasks one request can tell of, at best.
        """
        return PAGE_MAX if self.has_pages and self._pages_pay else self.ids_per_read

    def choose(self, depths: Sequence[int]) -> QueryPlan:
        """
        Return the way that takes the fewest requests; *depths* tells of each task due how many were made since.
        """
        due = len(depths)
        if due <= 1:
            return QueryPlan(QueryMode.ONE)
        by_ids = math.ceil(due / self.ids_per_read)
        if self.has_pages and (due > TOO_FEW or by_ids > 1):
            requests, choice = min(self._pages(sorted(depths)), key=lambda found: found[0])
            self._pages_pay = requests <= by_ids
            if self._pages_pay:
                return choice
        self._share_missing *= FORGETTING
        return QueryPlan(QueryMode.SEVERAL if self.ids_per_read > 1 else QueryMode.ONE)

    def worked(self, way: QueryMode) -> None:
        """
        Learn that a request of this kind was answered.
        """
        self._breaks[way] = 0

    def broke(self, way: QueryMode) -> bool:
        """
        Learn that a request of this kind broke, and tell whether to ask in another way rather than wait.
        """
        self._breaks[way] = self._breaks.get(way, 0) + 1
        return self._breaks[way] >= MANY_BREAKS

    def refused(self, way: QueryMode) -> None:
        """
        Learn that the service does not offer this way.
        """
        if way is QueryMode.PAGES:
            self.has_pages = False
        elif way is QueryMode.SEVERAL:
            self.ids_per_read = 1

    def looked_at_pages(self, expected: int, missing: int) -> None:
        """
        Learn how many of the tasks that were expected on the pages were not there.
        """
        if expected:
            self._share_missing = (self._share_missing + missing / expected) / 2

    def is_within(self, depth: int, choice: QueryPlan) -> bool:
        """
        Tell whether a task with so many made since is expected on the pages of *choice*.
        """
        return _size_for(depth) <= choice.pages * choice.page_size

    def _pages(self, depths: Sequence[int]) -> list[tuple[int, QueryPlan]]:
        # What so many pages cost, with those that lie deeper or will be missing asked for by their ids.
        found = []
        for pages in range(1, min(math.ceil(_size_for(depths[-1]) / PAGE_MAX), PAGES_MAX) + 1):
            covered = bisect.bisect_right(depths, pages * PAGE_MAX, key=_size_for)
            size = min(_size_for(depths[covered - 1]), PAGE_MAX) if covered else PAGE_MIN
            missing = len(depths) - covered + self._share_missing * covered
            found.append((pages + math.ceil(missing / self.ids_per_read), QueryPlan(QueryMode.PAGES, pages, size)))
        return found


def _size_for(depth: int) -> int:
    # Others who use the account make tasks as well.
    return max(PAGE_MIN, depth + depth // 4 + 10)
