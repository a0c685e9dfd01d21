"""
The parts of the benchmarks, each run in its own process.
"""

import importlib
from typing import Final

from benchmarks import apart
from benchmarks.figures import Figure

PARTS: Final = (
    "overhead",
    "loading",
    "choices",
    "submits",
    "tasks",
    "rates",
    "makespan",
    "scale",
    "waits",
    "memory",
    "downloads",
    "beside",
    "journal",
    "rows",
    "cluster",
    "commands",
    "dry_run",
    "pictures",
)
"""
Modules with `measure(rounds: int | None) -> list[Figure]`; None uses the module's default number of rounds.
"""


def measure(part: str, rounds: int | None) -> list[Figure]:
    measured: list[Figure] = importlib.import_module(f"benchmarks.{part}").measure(rounds)
    return measured


def measure_apart(part: str, rounds: int | None) -> list[Figure]:
    return apart.fresh(measure, part, rounds)
