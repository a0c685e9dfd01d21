"""
Put what was measured into the page on speed: its tables, and the drawings in `docs/images/`.

    python docs/make_speed.py

The page says in comments which tables it wants: `<!-- table PART: WHAT | WHAT -->` up to `<!-- end -->` has a row for
each of whom that part has such figures, and `<!-- limits -->` is what was asked for, and what was reached.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

from benchmarks import figures, limits  # noqa: E402 (a program of the checkout, which is no package)
from benchmarks.figures import Figure, Run  # noqa: E402

PAGE: Final = DOCS / "explanation" / "speed.md"
WANTED: Final = re.compile(
    r"(<!-- (?:(table) (\w+): (.+?)|(?P<limits>limits)|(?P<machine>machine)) -->\n).*?(?=<!-- end -->)", re.DOTALL
)


def number(value: float) -> str:
    """
    Write three digits, as a person would: 1,230, 12.3, 0.123.
    """
    if value and abs(value) < 100:
        return f"{value:.3g}"
    return f"{float(f'{value:.3g}'):,.0f}"


def cell(figure: Figure | None) -> str:
    """
    Write the median, and from where to where the middle half of the rounds lies.
    """
    if figure is None:
        return ""
    low, high = (number(value) for value in figure.quartiles)
    spread = f" ({low} to {high})" if low != high else ""
    return f"{number(figure.median)} {figure.unit}{spread}".replace(" times", " ×")  # noqa: RUF001 (the sign is meant)


def rows(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (titles, ["---"] * len(titles), *lines)) + "\n"


def table(run: Run, part: str, columns: Sequence[str]) -> str:
    of_whom: dict[str, dict[str, Figure]] = {}
    for name, figure in run.figures.items():
        of_part, who, what = name.split("/", 2)
        if of_part == part and what in columns:
            of_whom.setdefault(who, {})[what] = figure
    lines = [[who, *(cell(found.get(column)) for column in columns)] for who, found in of_whom.items()]
    return rows(["", *columns], lines)


def table_of_limits(run: Run) -> str:
    asked: Mapping[str, str] = {name: f"at most {limit.asked:g}" for name, limit in limits.AT_MOST.items()} | {
        name: f"at least {limit.asked:g}" for name, limit in limits.AT_LEAST.items()
    }
    lines = [
        [f"{name.replace('/', ', ')}", asked[name], cell(run.figures[name])] for name in asked if name in run.figures
    ]
    return rows(["", "asked", "measured"], lines)


def written(page: str, run: Run) -> str:
    """
    Return the page with all that it wants put in anew.
    """

    def put_in(found: re.Match[str]) -> str:
        start, kind, part, columns, *_ = found.groups()
        if kind:
            return start + table(run, part, columns.split(" | "))
        if found["limits"]:
            return start + table_of_limits(run)
        told = [f"{value} {key}" if key == "cores" else f"{key} {value}" for key, value in run.machine.items()]
        return start + ", ".join(told).replace("system ", "") + ".\n"

    return WANTED.sub(put_in, page)


def main() -> None:
    run = figures.load()
    PAGE.write_text(written(PAGE.read_text(), run))
    print(f"{PAGE.name} is up to date")


if __name__ == "__main__":
    main()
