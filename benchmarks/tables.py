"""
Tables of the figures, for the docs.

Comments in a page request them: `<!-- table PART: WHAT | WHAT -->` up to `<!-- end -->` becomes a table with a row for
each contender of that part; `<!-- table PART of END: ... -->` only for those whose name ends in END. `<!-- limits -->`
becomes the targets and results, `<!-- machine -->` the machine, `<!-- sizes -->` the extrapolation to images per day.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from benchmarks import limits
from benchmarks.figures import Figure, Run, number
from benchmarks.sizes import A_DAY, sizes

WANTED: Final = re.compile(
    r"<!-- (?:table (?P<part>\w+)(?: of (?P<end>[^:]+))?: (?P<columns>.+?)|(?P<kind>limits|machine|sizes)) -->\n"
    r"(?P<old>.*?)(?=<!-- end -->)",
    re.DOTALL,
)


def cell(figure: Figure | None) -> str:
    """
    Format the median, and the range of the middle half of the rounds.
    """
    if figure is None:
        return ""
    low, high = (number(value) for value in figure.quartiles)
    spread = f" ({low} to {high})" if low != high else ""
    value = f"{number(figure.median)} {figure.unit}".rstrip()
    return value.replace(" times", " ×") + spread  # noqa: RUF001 (the sign is meant)


def rows(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (titles, ["---"] * len(titles), *lines)) + "\n"


def table(run: Run, part: str, columns: Sequence[str], end: str = "") -> str:
    of_whom: dict[str, dict[str, Figure]] = {}
    for name, figure in run.figures.items():
        of_part, who, what = name.split("/", 2)
        if of_part == part and what in columns and who.endswith(end):
            of_whom.setdefault(who.removesuffix(end).rstrip(" ,"), {})[what] = figure
    lines = [[who, *(cell(found.get(column)) for column in columns)] for who, found in of_whom.items()]
    return rows(["", *columns], lines)


def table_of_limits(run: Run) -> str:
    lines = []
    for word, of_name in (("at most", limits.AT_MOST), ("at least", limits.AT_LEAST)):
        for name, limit in of_name.items():
            if (figure := run.figures.get(name)) is not None:
                (verdict,) = limits.judge([figure])
                reached = "yes" if verdict.is_reached else f"no; held to {limit.value:g}"
                lines.append(
                    [name.replace("/", ": ", 1).replace("/", ", "), f"{word} {limit.asked:g}", cell(figure), reached]
                )
    return rows(["", "target", "measured", "met"], lines)


def machine(run: Run) -> str:
    told = dict(run.machine)
    first = f"{told.pop('cores', '?')} cores, {told.pop('system', '?')}"
    return ", ".join([first, *(f"{name} {version}" for name, version in told.items())]) + ".\n"


def table_of_sizes(run: Run) -> str:
    return rows(["", *(f"{count:,} a day" for count in A_DAY)], list(sizes(run)))


KINDS: Final[Mapping[str, Callable[[Run], str]]] = {
    "limits": table_of_limits,
    "machine": machine,
    "sizes": table_of_sizes,
}


def written(page: str, run: Run) -> str:
    """
    Return the page with all requested tables updated.
    """

    def put_in(found: re.Match[str]) -> str:
        start = found[0].removesuffix(found["old"])
        if found["kind"]:
            return start + KINDS[found["kind"]](run)
        return start + table(run, found["part"], found["columns"].split(" | "), found["end"] or "")

    return WANTED.sub(put_in, page)
