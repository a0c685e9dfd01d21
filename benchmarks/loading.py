"""
The cost of importing the client, compared with importing its dependencies: CPU of processes that only import.
"""

import os
import resource
import subprocess
import sys
import tempfile
from typing import Final

from benchmarks.apart import pin
from benchmarks.figures import Figure, ratio

ROUNDS: Final = 15

STANDS_ON: Final = "import aiohttp, attrs, cattrs"
PACKAGE: Final = "from kling_async import KlingClient"  # names are loaded when they are used


def cpu_of(program: str, bytecode: str) -> float:
    """
    Return the CPU seconds of a process that runs *program* and caches bytecode in the folder *bytecode*.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # otherwise every process would compile the checkout
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)  # noqa: S603 (our own)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(rounds: int | None) -> list[Figure]:
    pin(0)
    costs: dict[str, list[float]] = {STANDS_ON: [], PACKAGE: []}
    with tempfile.TemporaryDirectory() as bytecode:
        for program in costs:
            cpu_of(program, bytecode)  # writes the bytecode
        for _ in range(rounds or ROUNDS):
            for program, seconds in costs.items():
                seconds.append(cpu_of(program, bytecode))
    floor = Figure("loading/aiohttp, attrs, cattrs/CPU", "s", tuple(costs[STANDS_ON]))
    ours = Figure("loading/kling_async/CPU", "s", tuple(costs[PACKAGE]))
    return [floor, ours, ratio("loading/kling_async/CPU beside aiohttp, attrs, cattrs", ours, floor)]
