"""
The cost of a dry run: a table of 100,000 rows and 3 columns, compared with `csv.DictReader`, a request and a check of
each row.

Both are processes, whose start is in the figures of all rows. It differs: the comparison imports requests and their
rules, and the command also what makes it a command (typer, rich, asyncio); neither imports the client or aiohttp. A
table of one row shows what a start costs, and the difference is the cost of the rows alone.
"""

import csv
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.apart import pin
from benchmarks.commands import cpu_of
from benchmarks.figures import Figure, ratio

ROUNDS: Final = 7
ROWS: Final = 100_000
RATIOS: Final = ("16:9", "1:1", "3:2")

FLOOR: Final = """
import csv, sys
from kling_async import GATEWAY, ImageRequest
from kling_async.wire import broken_rules
with open(sys.argv[1], newline="") as file:
    for row in csv.DictReader(file):
        assert not broken_rules(GATEWAY, ImageRequest(row["prompt"], aspect_ratio=row["aspect_ratio"]))
"""
PROGRAMS: Final[Mapping[str, Sequence[str]]] = {
    "rows read and checked": ("-c", FLOOR, "{table}"),
    "kling-async batch --dry-run": ("-m", "kling_async", "batch", "{table}", "--dry-run", "--dialect", "gateway"),
}


def write_table(path: Path, rows: int) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "prompt", "aspect_ratio"])
        for number in range(rows):
            prompt = f"a lighthouse at dusk, number {number}, soft light, wide angle"
            writer.writerow([f"row-{number}", prompt, RATIOS[number % len(RATIOS)]])


def measure(rounds: int | None) -> list[Figure]:
    pin(0)
    costs: dict[tuple[str, int], list[float]] = {(program, rows): [] for program in PROGRAMS for rows in (1, ROWS)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for rows in (1, ROWS):
            write_table(folder / f"{rows}.csv", rows)
        for program in PROGRAMS:
            _cpu_of(program, 1, folder)  # writes the bytecode
        for _ in range(rounds or ROUNDS):
            for (program, rows), seconds in costs.items():
                seconds.append(_cpu_of(program, rows, folder))
    floor, ours = (list(_figures(program, costs[program, 1], costs[program, ROWS])) for program in PROGRAMS)
    ratios = (
        ratio(f"{our.name} to rows read and checked", our, other)
        for our, other in zip(ours, floor, strict=True)
        if not our.name.endswith("CPU of a start")
    )
    return [*floor, *ours, *ratios]


def _cpu_of(program: str, rows: int, folder: Path) -> float:
    return cpu_of([word.replace("{table}", f"{rows}.csv") for word in PROGRAMS[program]], folder)


def _figures(program: str, of_one: Sequence[float], of_all: Sequence[float]) -> Iterator[Figure]:
    yield Figure(f"dry_run/{program}/CPU", "s", tuple(of_all))
    yield Figure(f"dry_run/{program}/CPU of a start", "s", tuple(of_one))
    of_a_row = ((all_rows - one) / (ROWS - 1) * 1e6 for one, all_rows in zip(of_one, of_all, strict=True))
    yield Figure(f"dry_run/{program}/CPU of a row", "µs", tuple(of_a_row))
