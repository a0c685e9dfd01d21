"""
Limits of the figures, and whether one is worse by more than the spread of its rounds.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from benchmarks.figures import Figure


@attrs.frozen
class Limit:
    """
    Attributes:
        asked: The target for the figure.
        held: The limit for the check if the target has not been reached; None is the target.
    """

    asked: float
    held: float | None = None

    @property
    def value(self) -> float:
        return self.asked if self.held is None else self.held


AT_MOST: Final[Mapping[str, Limit]] = {
    "overhead/kling_async/CPU to a bare loop": Limit(1.4, held=1.6),
    "overhead/kling_async, its transport alone/CPU to a bare loop": Limit(1.3),
    "loading/kling_async/CPU beside aiohttp, attrs, cattrs": Limit(1.3, held=1.6),
    "tasks/kling_async by list, 1000/requests per task": Limit(1.06),
    "tasks/kling_async by list, 1000/mean lag": Limit(300),
    "tasks/kling_async by list, 10000/requests per task": Limit(1.06),
    "tasks/kling_async one by one, 1000/mean lag": Limit(600),
    "tasks/kling_async one by one over aiohttp loop, 1 s, 1000/ratio of requests": Limit(0.6),
    "tasks/kling_async one by one, tasks of 4 to 6 s, 100/mean lag": Limit(500),
    "tasks/kling_async one by one, tasks of 4 to 6 s, 100/requests per task": Limit(3.5),
    "tasks/kling_async by list over aiohttp loop, 1 s, 1000/ratio of CPU": Limit(0.6),
    "tasks/service/share of its core at its peak in any run": Limit(60),
    "rates/5 a second/refused in 10 minutes": Limit(1),
    "rates/20 a second/refused in 10 minutes": Limit(1),
    "rates/100 a second/refused in 10 minutes": Limit(1),
    "rates/1000 a second/refused in 10 minutes": Limit(1),
    "makespan/GATEWAY, one picture each/makespan to strict FIFO": Limit(1.03),
    "makespan/OFFICIAL, one picture each/makespan to strict FIFO": Limit(1.02),
    "tasks/kling_async by callbacks over kling_async by list, 1000/ratio of CPU": Limit(1.3, held=1.8),
    "scale/list reads, 50000/CPU per task to that of 1000": Limit(1.25, held=2.4),
    "waits/wait of a handle/CPU to leave among many to few": Limit(4),
    "waits/updates of a handle/CPU to leave among many to few": Limit(4),
    "waits/gate/CPU to leave among many to few": Limit(4),
    "waits/slots/CPU to leave among many to few": Limit(4),
    "memory/generate, one by one, no orjson/bytes per task": Limit(3000, held=3300),
    "memory/generate, list reads, no orjson/bytes per task": Limit(3000, held=3500),
    "downloads/kling_async, synced/peak memory": Limit(60),
    "downloads/kling_async, synced/worst loop lag": Limit(5),
    "beside/pictures beside a video/mean lag to that alone": Limit(1.2, held=1.4),
    "beside/all/peak memory": Limit(60),
    "journal/with journal/CPU to that without": Limit(1.08, held=1.6),
    "rows/add/CPU to a bare insert": Limit(3, held=13),
    "rows/open/time": Limit(0.3),
    "rows/summary/CPU to import kling_async": Limit(1.5),
    "rows/outcomes/time": Limit(2),
    "rows/first request/time": Limit(2),
    "choices/orjson/CPU of a page to plain": Limit(0.95),
    "choices/uvloop/CPU to plain": Limit(1.0),
    "commands/kling-async --help/CPU to typer, rich": Limit(1.6),
    "commands/kling-async status/CPU to KlingClient": Limit(1.3),
    "commands/kling-async batch --status/CPU to KlingClient": Limit(1.3),
    "dry_run/kling-async batch --dry-run/CPU to rows read and checked": Limit(1.6),
    "pictures/drawn picture/CPU": Limit(0.06),
    "pictures/gallery of 400/time to bare thumbnails": Limit(1.15),
    "pictures/gallery of 10000, 10 new/time to all new": Limit(0.03),
    "pictures/gallery of 10000, 10 new/CPU to all new": Limit(0.03),
}
AT_LEAST: Final[Mapping[str, Limit]] = {
    "tasks/best async peer over kling_async by list, 1000/ratio of CPU": Limit(15),
    "downloads/kling_async, synced/rate to curl's": Limit(0.95),
    "beside/video beside pictures/rate to that alone": Limit(0.95),
    "pictures/plain pictures/rate to a static file": Limit(0.5),
}


@attrs.frozen
class Verdict:
    """
    Attributes:
        is_broken: Whether even the better quartile of the rounds is worse than the limit.
        is_reached: Whether the median meets the target.
    """

    figure: Figure
    limit: Limit
    is_broken: bool
    is_reached: bool

    def __str__(self) -> str:
        judged = "WORSE" if self.is_broken else "reached" if self.is_reached else "held"
        return f"{judged:<8}{self.figure}; asked {self.limit.asked:g}, held to {self.limit.value:g}"


def judge(figures: Iterable[Figure]) -> list[Verdict]:
    """
    Return a verdict for each figure that has a limit.
    """
    verdicts = []
    for figure in figures:
        low, high = figure.quartiles
        if limit := AT_MOST.get(figure.name):
            verdicts.append(Verdict(figure, limit, low > limit.value, figure.median <= limit.asked))
        if limit := AT_LEAST.get(figure.name):
            verdicts.append(Verdict(figure, limit, high < limit.value, figure.median >= limit.asked))
    return verdicts
