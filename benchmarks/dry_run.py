"""
The cost of a dry run: a table of 100,000 rows and 3 columns, compared with `csv.DictReader`, a request and a check of
each row.
"""

import csv
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.apart import pin
from benchmarks.commands import cpu_of
from benchmarks.figures import Figure, ratio

ROUNDS: Final = 7
ROWS: Final = 100_000
RATIOS: Final = ("16:9", "1:1", "3:2")

FLOOR: Final = """
import csv
from kling_async import GATEWAY, ImageRequest
from kling_async.wire import broken_rules
with open("rows.csv", newline="") as file:
    for row in csv.DictReader(file):
        assert not broken_rules(GATEWAY, ImageRequest(row["prompt"], aspect_ratio=row["aspect_ratio"]))
"""
DRY_RUN: Final = ("-m", "kling_async", "batch", "rows.csv", "--dry-run", "--dialect", "gateway")


def write_table(path: Path, rows: int) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "prompt", "aspect_ratio"])
        for number in range(rows):
            prompt = f"a lighthouse at dusk, number {number}, soft light, wide angle"
            writer.writerow([f"row-{number}", prompt, RATIOS[number % len(RATIOS)]])


def measure(rounds: int | None) -> list[Figure]:
    pin(0)
    costs: dict[str, list[float]] = {"rows read and checked": [], "kling-async batch --dry-run": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_table(folder / "rows.csv", ROWS)
        for _ in range(rounds or ROUNDS):
            costs["rows read and checked"].append(cpu_of(("-c", FLOOR), folder))
            costs["kling-async batch --dry-run"].append(cpu_of(DRY_RUN, folder))
    floor, ours = (Figure(f"dry_run/{program}/CPU", "s", tuple(seconds)) for program, seconds in costs.items())
    return [floor, ours, ratio("dry_run/kling-async batch --dry-run/CPU to rows read and checked", ours, floor)]
