"""
The parts of what is measured, each in a process of its own.
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
    "scale",
    "waits",
    "memory",
    "downloads",
    "journal",
    "cluster",
)
"""
Each a module with `measure(rounds: int | None) -> list[Figure]`; None are as many rounds as it wants itself.
"""


def measure(part: str, rounds: int | None) -> list[Figure]:
    measured: list[Figure] = importlib.import_module(f"benchmarks.{part}").measure(rounds)
    return measured


def measure_apart(part: str, rounds: int | None) -> list[Figure]:
    return apart.fresh(measure, part, rounds)
