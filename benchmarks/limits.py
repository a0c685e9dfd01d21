"""
What a figure may be, and when it is worse by more than its rounds spread.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from benchmarks.figures import Figure


@attrs.frozen
class Limit:
    """
    Attributes:
        asked: What is wanted of the figure.
        held: What it must not fall behind, where what is wanted has not been reached; None: what is wanted.
    """

    asked: float
    held: float | None = None

    @property
    def value(self) -> float:
        return self.asked if self.held is None else self.held


AT_MOST: Final[Mapping[str, Limit]] = {
    "overhead/kling_async/CPU to a bare loop": Limit(1.3, held=2.3),
}
AT_LEAST: Final[Mapping[str, Limit]] = {}


@attrs.frozen
class Verdict:
    """
    Attributes:
        is_broken: Whether even the better quartile of the rounds is worse than the limit.
        is_reached: Whether the median is what was asked for.
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
