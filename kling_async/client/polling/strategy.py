"""
How to query the status of tasks with the fewest requests: single tasks, several ids at a time, or pages of all tasks.
"""

import bisect
import enum
import math
from collections.abc import Sequence
from typing import Any, Final

import attrs

from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import LAST_PAGE, Endpoint

__all__ = ["QueryMode", "QueryPlan", "QueryStrategy", "strategy_for"]

PAGE_MIN: Final = 30
"""
Tasks on the smallest page that is worth a request.
"""

PAGE_MAX: Final = 500
"""
Tasks on the vendor's largest page.
"""

MAX_FAILURES: Final = 4
"""
Failures in a row after which a mode counts as broken for long, so that another is used.
"""

FEW_TASKS: Final = 10
"""
Up to this number, tasks are queried by their ids if one request is enough: pages show tasks of others as well.
"""


class QueryMode(enum.Enum):
    """
    A kind of request for the status of tasks.
    """

    ONE = enum.auto()
    SEVERAL = enum.auto()
    PAGES = enum.auto()


@attrs.frozen
class QueryPlan:
    """
    A mode, and for pages their number and the number of tasks on each.
    """

    mode: QueryMode
    pages: int = 0
    page_size: int = 0

    def covers(self, depth: int) -> bool:
        """
        Return whether the pages should show a task after which *depth* others were created.
        """
        return _size_for(depth) <= self.pages * self.page_size


@attrs.define(eq=False, repr=False)
class QueryStrategy:
    """
    The modes that one endpoint of a service offers, as far as is known: a mode that was refused is not used again, one
    that failed may work later.

    Attributes:
        ids_per_read: Tasks that one request can query by their ids.
        has_pages: Whether tasks can be listed.
    """

    ids_per_read: int = 1
    has_pages: bool = False
    _failures: dict[QueryMode, int] = attrs.field(factory=dict, init=False)  # in a row
    _missing_share: float = attrs.field(default=0.0, init=False)  # of the tasks that recent pages should have shown
    _are_pages_worth_it: bool = attrs.field(default=True, init=False)  # as of the last plan

    @property
    def per_request(self) -> int:
        """
        Maximum number of tasks that one request can query.
        """
        return PAGE_MAX if self.has_pages and self._are_pages_worth_it else self.ids_per_read

    def plan(self, depths: Sequence[int]) -> QueryPlan:
        """
        Return the mode that takes the fewest requests; *depths* has for each due task the number of tasks that were
        created after it.
        """
        due = len(depths)
        if due <= 1:
            return QueryPlan(QueryMode.ONE)
        by_ids = math.ceil(due / self.ids_per_read)
        if self.has_pages and (due > FEW_TASKS or by_ids > 1):
            requests, plan = min(self._page_plans(sorted(depths), by_ids), key=lambda found: found[0])
            if by_ids > 1:  # what one read shows says nothing about a crowd
                self._are_pages_worth_it = requests <= by_ids
            if requests <= by_ids:
                return plan
        self._missing_share *= 0.98  # fades with each plan, so that pages are tried again at some time
        return QueryPlan(QueryMode.SEVERAL if self.ids_per_read > 1 else QueryMode.ONE)

    def note_answer(self, mode: QueryMode) -> None:
        """
        A request in *mode* was answered.
        """
        self._failures[mode] = 0

    def note_failure(self, mode: QueryMode) -> bool:
        """
        A request in *mode* failed; return whether to use another mode rather than wait.
        """
        self._failures[mode] = self._failures.get(mode, 0) + 1
        return self._failures[mode] >= MAX_FAILURES

    def note_refused(self, mode: QueryMode) -> None:
        """
        The service does not offer *mode*.
        """
        if mode is QueryMode.PAGES:
            self.has_pages = False
        elif mode is QueryMode.SEVERAL:
            self.ids_per_read = 1

    def note_pages(self, expected: int, missing: int) -> None:
        """
        Pages were read that should have shown *expected* tasks; *missing* of them were not there.
        """
        if expected:
            self._missing_share = (self._missing_share + missing / expected) / 2

    def _page_plans(self, depths: Sequence[int], most: int) -> list[tuple[int, QueryPlan]]:
        # Each number of pages, up to *most*, with the requests that it takes: tasks that are not on them are queried by
        # their ids.
        plans = []
        for pages in range(1, min(math.ceil(_size_for(depths[-1]) / PAGE_MAX), LAST_PAGE, most) + 1):
            covered = bisect.bisect_right(depths, pages * PAGE_MAX, key=_size_for)
            size = min(_size_for(depths[covered - 1]), PAGE_MAX) if covered else PAGE_MIN
            missing = len(depths) - covered + self._missing_share * covered
            plans.append((pages + math.ceil(missing / self.ids_per_read), QueryPlan(QueryMode.PAGES, pages, size)))
        return plans


def _size_for(depth: int) -> int:
    # Other users of the account create tasks as well.
    return max(PAGE_MIN, depth + depth // 4 + 10)


def strategy_for(dialect: Dialect, endpoint: Endpoint[Any]) -> QueryStrategy:
    """
    Return the strategy for an endpoint at a service that speaks *dialect*.
    """
    ids_per_read = dialect.ids_per_read if endpoint.several_ids else 1
    return QueryStrategy(ids_per_read, has_pages=dialect.lists and endpoint.lists)
