"""
Extrapolates the figures to numbers of images per day.
"""

import math
from collections.abc import Iterator
from typing import Final

from benchmarks.figures import Run, number
from kling_async.wire.endpoints.image_generation import FROM_TEXT, IMAGE_GENERATION

__all__ = ["A_DAY", "sizes"]

A_DAY: Final = (10_000, 1_000_000, 100_000_000)
DAY: Final = 86_400
SECONDS: Final = 20
"""
Seconds that an image takes at the service, and its slot with it.
"""
PICTURE: Final = 2_000_000
"""
Bytes of an image, as in the measurement.
"""


def sizes(run: Run) -> Iterator[list[str]]:
    """
    Yield lines: a quantity, and its size for each of `A_DAY`; each core does what was measured on one of two.
    """

    def measured(name: str) -> float:
        return run.figures[name].median

    submit = measured("journal/with journal/CPU per row") / 1e6
    driver = submit + measured("cluster/2 workers, only saved/CPU of the driver per picture") / 1e3
    scheduler = measured("cluster/2 workers, only saved/CPU of the scheduler per picture") / 1e3
    row = measured("cluster/2 workers, light/journal per picture")
    saved, seen = (measured(f"cluster/1 worker, {work}/rate") for work in ("only saved", "heavy"))
    cheapest, dearest = (
        units * float(IMAGE_GENERATION.unit_price or 0) for units in (min(FROM_TEXT.values()), max(FROM_TEXT.values()))
    )

    def line(what: str, *values: str) -> list[str]:
        return [what, *values]

    rates = [count / DAY for count in A_DAY]
    yield line("pictures a second", *(number(rate) for rate in rates))
    yield line(f"slots, at {SECONDS} s a picture", *(f"{math.ceil(rate * SECONDS):,}" for rate in rates))
    yield line("bytes a day, at 2 MB a picture", *(amount(count * PICTURE) for count in A_DAY))
    yield line("bytes a second", *(amount(rate * PICTURE) for rate in rates))
    yield line("cores for drivers", *(cores(rate * driver) for rate in rates))
    yield line("cores for schedulers", *(cores(rate * scheduler) for rate in rates))
    yield line("workers that only save", *(f"{math.ceil(rate / saved):,}" for rate in rates))
    yield line("workers with the heavy function", *(f"{math.ceil(rate / seen):,}" for rate in rates))
    yield line("journals, a day", *(amount(count * row) for count in A_DAY))
    yield line(
        "the pictures themselves, a day",
        *(f"${number(count * cheapest)} to ${number(count * dearest)}" for count in A_DAY),
    )


def amount(size: float) -> str:
    """
    Format a number of bytes.
    """
    for power, name in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if size >= 1000**power:
            return f"{number(size / 1000**power)} {name}"
    return f"{number(size)} bytes"


def cores(share: float) -> str:
    """
    Format a share of one core, or a number of cores.
    """
    return f"{number(100 * share)} % of one" if share < 1 else number(share)
