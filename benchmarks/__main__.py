"""
Runs the benchmarks, stores their figures, and compares them with limits.

    python -m benchmarks                         # every part
    python -m benchmarks overhead downloads      # only these
    python -m benchmarks --check                 # and fail if a figure is worse than its limit

Each part runs in a separate process and replaces its figures in `benchmarks/figures.json`. `python docs/make_speed.py`
writes the tables and charts of the docs from that file.
"""

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from benchmarks import figures, limits
from benchmarks.parts import PARTS, measure_apart

if TYPE_CHECKING:
    from benchmarks.figures import Figure

LIBRARIES: Final = ("aiohttp", "attrs", "cattrs", "orjson", "uvloop", "httpx", "requests")
PEERS: Final = ("fal-client", "replicate", "runwayml", "openai")


def machine() -> dict[str, str]:
    """
    Return what the figures depend on, without names that identify this machine.
    """
    found = {
        "cores": str(os.cpu_count()),
        "system": platform.system(),
        "Python": platform.python_version(),
    }
    for name in LIBRARIES + PEERS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("benchmarks", description="Run benchmarks, store and check their figures.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--rounds", type=int, help="number of rounds of each pair")
    parser.add_argument("--check", action="store_true", help="fail if a figure is worse than its limit")
    given = parser.parse_args(arguments)
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    measured: list[Figure] = []
    for part in given.parts or PARTS:
        print(f"# {part}", flush=True)
        of_part = measure_apart(part, given.rounds)
        print(*of_part, sep="\n", flush=True)
        figures.save(figures.load().with_part(part, machine(), of_part))
        measured += of_part
    if given.check:
        verdicts = limits.judge(measured)
        print(*verdicts, sep="\n")
        sys.exit(any(verdict.is_broken for verdict in verdicts))


if __name__ == "__main__":
    main()
