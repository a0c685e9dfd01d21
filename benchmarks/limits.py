"""
What a figure may be, and when it is worse by more than its rounds spread.
"""

from collections.abc import Iterable
from typing import Final

import attrs

from benchmarks.figures import Figure

LIMITS: Final[dict[str, float]] = {}
"""
The most that a figure may be; see `AT_LEAST` for those that are better the larger they are.
"""

AT_LEAST: Final[dict[str, float]] = {}


@attrs.frozen
class Verdict:
    """
    Attributes:
        limit: None where the figure has none.
        is_broken: Whether even the better quartile of the rounds is worse than the limit.
    """

    figure: Figure
    limit: float
    is_broken: bool

    def __str__(self) -> str:
        return f"{'WORSE' if self.is_broken else 'held '} {self.figure}; limit {self.limit:g}"


def judge(figures: Iterable[Figure]) -> list[Verdict]:
    """
    Return a verdict for each figure that has a limit.
    """
    verdicts = []
    for figure in figures:
        low, high = figure.quartiles
        if (most := LIMITS.get(figure.name)) is not None:
            verdicts.append(Verdict(figure, most, low > most))
        if (least := AT_LEAST.get(figure.name)) is not None:
            verdicts.append(Verdict(figure, least, high < least))
    return verdicts
