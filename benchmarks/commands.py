"""
The cost of commands: CPU of processes, compared with what they cannot do without.

A help needs typer and rich, and `status` also the client. A smallest application of typer shows how much of a help is
typer's own work.
"""

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.apart import pin
from benchmarks.figures import Figure, ratio
from kling_async import Batch, KlingClient
from kling_async.emulator import Emulator

ROUNDS: Final = 15

SMALLEST: Final = """
import typer
app = typer.Typer(rich_markup_mode="rich")
@app.command()
def one() -> None: "One."
@app.command()
def two() -> None: "Two."
app()
"""

PROGRAMS: Final[Mapping[str, Sequence[str]]] = {
    "typer, rich": ("-c", "import typer, rich.console"),
    "smallest typer application --help": ("-c", SMALLEST, "--help"),
    "kling-async --help": ("-m", "kling_async", "--help"),
    "KlingClient": ("-c", "from kling_async import KlingClient"),
    "kling-async status": ("-m", "kling_async", "status", "no-such-task"),  # without a key: it ends before it connects
    "kling-async batch --status": ("-m", "kling_async", "batch", "--status", "run.kling"),
}
COMPARED: Final = (
    ("kling-async --help", "typer, rich"),
    ("kling-async --help", "smallest typer application --help"),
    ("kling-async status", "KlingClient"),
    ("kling-async batch --status", "KlingClient"),
)


def cpu_of(words: Sequence[str], folder: Path) -> float:
    """
    Return the CPU seconds of Python with these *words*, run in *folder*, where it also caches bytecode.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KLING_")}
    environment |= {"PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "PYTHONPATH": str(Path(__file__).parents[1])}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(  # noqa: S603 (our own)
        [sys.executable, *words], check=False, cwd=folder, env=environment, capture_output=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


async def make_journal(path: Path) -> None:
    async with (
        Emulator(latency=(0.0, 0.0), pictures="plain") as server,
        KlingClient(server.api_key, base_url=server.url) as client,
        Batch(path, client) as batch,
    ):
        await batch.add(["a lighthouse at dusk", "a fox in the snow"])
        async with contextlib.aclosing(batch.run()) as outcomes:
            assert len([outcome async for outcome in outcomes]) == 2


def measure(rounds: int | None) -> list[Figure]:
    pin(0)
    costs: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(make_journal(folder / "run.kling"))
        for words in PROGRAMS.values():
            cpu_of(words, folder)  # writes the bytecode
        for _ in range(rounds or ROUNDS):
            for program, words in PROGRAMS.items():
                costs[program].append(cpu_of(words, folder))
    figures = {program: Figure(f"commands/{program}/CPU", "s", tuple(seconds)) for program, seconds in costs.items()}
    ratios = [ratio(f"commands/{ours}/CPU to {floor}", figures[ours], figures[floor]) for ours, floor in COMPARED]
    return [*figures.values(), *ratios]
