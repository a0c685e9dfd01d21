"""
The figures, and the file that stores them.
"""

import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import attrs

FILE: Final = Path(__file__).with_name("figures.json")


@attrs.frozen
class Figure:
    """
    Attributes:
        name: The part, the contender and the quantity: "tasks/fal-client/requests per task".
        unit: The unit of the values; "times" for a ratio.
        values: One per round, in order. Those of a ratio are each taken within one round.
    """

    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """
        The range of the middle half of the rounds; both are the value if there was only one round.
        """
        if len(self.values) == 1:
            return self.values[0], self.values[0]
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, high

    def __str__(self) -> str:
        low, high = self.quartiles
        return f"{self.name}: {self.median:,.4g} {self.unit} ({low:,.4g} to {high:,.4g})"


@attrs.frozen
class Run:
    """
    Attributes:
        machine: The machine in general terms: "cores", "system", "Python", and the libraries' versions.
        figures: The figures by name.
    """

    machine: Mapping[str, str]
    figures: Mapping[str, Figure]

    def with_part(self, part: str, machine: Mapping[str, str], figures: Iterable[Figure]) -> "Run":
        """
        Return the run with all figures of *part* replaced.
        """
        others = {name: figure for name, figure in self.figures.items() if name.partition("/")[0] != part}
        return Run({**self.machine, **machine}, others | {figure.name: figure for figure in figures})


def number(value: float) -> str:
    """
    Format with three digits: 1,230, 12.3, 0.123.
    """
    if value and abs(value) < 100:
        return f"{value:.3g}"
    return f"{float(f'{value:.3g}'):,.0f}"


def ratio(name: str, ours: Figure, others: Figure) -> Figure:
    """
    Return the ratio of *others* to *ours*, round by round.
    """
    pairs = zip(ours.values, others.values, strict=True)
    return Figure(name, "times", tuple(our / other for our, other in pairs))


def load(file: Path = FILE) -> Run:
    if not file.exists():
        return Run({}, {})
    content = json.loads(file.read_text())
    figures = (Figure(name, held["unit"], tuple(held["values"])) for name, held in content["figures"].items())
    return Run(content["machine"], {figure.name: figure for figure in figures})


def save(run: Run, file: Path = FILE) -> None:
    figures = {
        name: {"unit": figure.unit, "values": [float(f"{value:.5g}") for value in figure.values]}
        for name, figure in run.figures.items()
    }
    file.write_text(json.dumps({"machine": dict(run.machine), "figures": figures}, indent=1) + "\n")
