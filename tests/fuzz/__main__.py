"""
Give the code random input, much of it: `python -m tests.fuzz [--cases N] [--seed S] [PART ...]`.

Nothing but `KlingError` (and what is documented) may come out; nothing may take more than a second of CPU for each MiB
of input, and nothing hold more than 200 MiB. A failure is shown with its seed and number; to repeat it:

    python -m tests.fuzz --seed S --case NUMBER PART
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import attrs

from tests.fuzz.running import MIB, Failure, Figures, Open, run_part

PARTS: Final[Mapping[str, int]] = {
    "answers": 45,
    "callbacks": 20,
    "inputs": 20,
    "references": 15,
    "downloads": 10,
}
"""
The parts, and the share of the cases that each has; those that move files and connections have fewer.
"""

CASES: Final = 110_000
SHOWN: Final = 20
"""
Failures of a part that are shown; the rest is counted.
"""

ROW: Final = "{:<12}{:>9}{:>10}{:>14}{:>12}{:>9}  {}"


def main() -> int:
    """
    Run the parts that are asked for, each in a process of its own, and print a row of figures for each.
    """
    asked = _parser().parse_args()
    if asked.inside:
        return _inside(asked.parts[0], asked.seed, range(asked.first, asked.first + asked.cases))
    parts = asked.parts or list(PARTS)
    if asked.case is not None:
        return _inside(parts[0], asked.seed, range(asked.case, asked.case + 1))
    shares = sum(PARTS[part] for part in parts)
    counts = [asked.cases * PARTS[part] // shares for part in parts]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(_outside, parts, counts, [asked.seed] * len(parts)))
    return _report(dict(zip(parts, outcomes, strict=True)), asked.seed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__.splitlines()[1] if __doc__ else ""
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS), choices=[*PARTS, []])
    parser.add_argument("--cases", type=int, default=CASES, help="of all parts together")
    parser.add_argument("--seed", type=int, default=1, help="equal seeds make equal cases")
    parser.add_argument("--case", type=int, help="run this one alone, of one part")
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser


def open_of(part: str) -> Open:
    """
    Return what opens a part.
    """
    found: Open = importlib.import_module(f"tests.fuzz.{part}").opened
    return found


def _inside(part: str, seed: int, cases: range) -> int:
    # In a part's own process: failures and figures go to stdout, a line each.
    with tempfile.TemporaryDirectory() as folder:
        for told in run_part(part, open_of(part), Path(folder), seed=seed, cases=cases):
            if isinstance(told, Failure):
                print(json.dumps({"failure": attrs.asdict(told)}), flush=True)
            else:
                print(json.dumps({"figures": attrs.asdict(told)}), flush=True)
    return 0


def _outside(part: str, cases: int, seed: int) -> Figures | None:
    words = (sys.executable, "-m", "tests.fuzz", "--inside", "--seed", str(seed), "--cases", str(cases), part)
    figures: Figures | None = None
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        for number, line in enumerate(process.stdout or ()):
            told: Mapping[str, Any] = json.loads(line)
            if "figures" in told:
                figures = Figures(**told["figures"])
            elif number < SHOWN:
                _show(part, seed, told["failure"])
    return figures


def _show(part: str, seed: int, failure: Mapping[str, Any]) -> None:
    command = f"python -m tests.fuzz --seed {seed} --case {failure['case']} {part}"
    print(
        f"\nFAILED {failure['kind']}: {command}\n  {failure['what']}\n  {failure['shown']}", file=sys.stderr, flush=True
    )


def _report(outcomes: Mapping[str, Figures | None], seed: int) -> int:
    print(f"\nseed {seed}")
    print(ROW.format("part", "cases", "failures", "CPU s per MiB", "memory MiB", "minutes", "slowest; largest"))
    for part, figures in outcomes.items():
        if figures is None:
            print(f"{part:<12} ended before its end")
        else:
            print(ROW.format(part, *_columns(figures)))
    known = [figures for figures in outcomes.values() if figures is not None]
    print(f"{sum(figures.cases for figures in known)} cases")
    return 0 if len(known) == len(outcomes) and not any(figures.failures for figures in known) else 1


def _columns(figures: Figures) -> Iterator[object]:
    yield figures.cases
    yield len(figures.failures)
    yield f"{figures.seconds_per_mib:.3f}"
    yield figures.memory // MIB
    yield f"{figures.seconds / 60:.1f}"
    yield f"{figures.slowest}; {figures.largest}"


if __name__ == "__main__":
    sys.exit(main())
