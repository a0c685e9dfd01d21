"""
Writes the benchmark figures into the pages: their tables, and the charts in `docs/images/`.

    python docs/make_speed.py
"""

import sys
from pathlib import Path
from typing import Final

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

DOCS: Final = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))  # benchmarks are not installed

from benchmarks import figures  # noqa: E402
from benchmarks.figures import Run, number  # noqa: E402
from benchmarks.tables import written  # noqa: E402
from benchmarks.tasks import CALLBACKS, IDS, LISTS, LOOPS, ONES  # noqa: E402

PAGES: Final = (DOCS / "explanation" / "speed.md", DOCS / "howto" / "cluster.md")
IMAGES: Final = DOCS / "images"
GREY: Final = "#7d8796"
OURS: Final = "#2f8f83"
OTHERS: Final = ("#aab2bd", "#d08a2e", "#8a6fc0")


def axes(width: float, height: float) -> Axes:
    """
    Return an empty chart that is legible on light and dark pages.
    """
    plt.rcParams.update(
        {
            "svg.hashsalt": "kling_async",  # the same figures make the same file
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "font.size": 10,
            **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), GREY),
        }
    )
    made: Axes = plt.subplots(figsize=(width, height))[1]
    made.spines[["top", "right"]].set_visible(False)
    made.grid(color=GREY, alpha=0.25, linewidth=0.6)
    made.set_axisbelow(True)
    return made


def keep(name: str) -> None:
    plt.savefig(IMAGES / name, transparent=True, bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close("all")


def draw_waiting(run: Run) -> None:
    """
    Draw the CPU for each of a thousand tasks, by library.
    """
    end = ", 1000/CPU per task"
    costs = {
        name.removeprefix("tasks/").removesuffix(end): figure.median
        for name, figure in run.figures.items()
        if name.startswith("tasks/") and name.endswith(end) and figure.unit == "ms"
    }
    whom = sorted(costs, key=costs.__getitem__, reverse=True)
    drawing = axes(7.4, 0.32 * len(whom) + 0.8)
    colours = [OURS if who.startswith("kling_async") else OTHERS[0] for who in whom]
    bars = drawing.barh(whom, [costs[who] for who in whom], color=colours)
    drawing.bar_label(bars, [f"{number(costs[who])} ms" for who in whom], padding=3)
    drawing.set_xscale("log")
    drawing.xaxis.set_major_formatter(lambda value, _: number(value))
    drawing.set_xlabel("CPU of the client per task, ms (each line is ten times the one before)")
    keep("speed-waiting.svg")


def draw_lag(run: Run) -> None:
    """
    Draw the mean lag against the requests per task: a loop for each task as a curve over its interval, and the client.
    """
    measured = run.figures

    def point(who: str) -> tuple[float, float]:
        return measured[f"tasks/{who}, 1000/requests per task"].median, measured[f"tasks/{who}, 1000/mean lag"].median

    drawing = axes(7.4, 3.6)
    loops = [(interval, *point(name)) for name, interval in sorted(LOOPS.items(), key=lambda item: item[1])]
    drawing.plot([asked for _, asked, _ in loops], [lag for _, _, lag in loops], marker="o", color=OTHERS[0])
    for interval, asked, lag in loops:
        drawing.annotate(f"a loop each, {interval:g} s", (asked, lag), (6, 4), textcoords="offset points", fontsize=9)
    for name, label, offset in (
        (ONES, "one by one", (6, -12)),
        (IDS, "by ids", (8, -3)),
        (LISTS, "by list", (8, -3)),
        (CALLBACKS, "by callbacks", (8, -3)),
    ):
        asked, lag = point(name)
        drawing.plot([asked], [lag], marker="o", color=OURS)
        drawing.annotate(label, (asked, lag), offset, textcoords="offset points", fontsize=9, color=OURS)
    drawing.set_yscale("log")
    drawing.yaxis.set_major_formatter(lambda value, _: number(value))
    drawing.set_xlim(0, 1.15 * max(asked for _, asked, _ in loops))
    drawing.set_xlabel("requests per task, of which one creates it")
    drawing.set_ylabel("mean lag, ms")
    keep("speed-lag.svg")


def draw_scale(run: Run) -> None:
    """
    Draw the CPU for each task, by the number of running tasks.
    """
    drawing = axes(7.4, 3.2)
    of_way: dict[str, dict[int, float]] = {}
    for name, figure in run.figures.items():
        part, who, what = name.split("/", 2)
        if part == "scale" and what == "CPU per task to submit and end":
            way, count = who.rsplit(", ", 1)
            of_way.setdefault(way, {})[int(count)] = figure.median
    for (way, costs), colour in zip(of_way.items(), (OURS, *OTHERS), strict=True):
        drawing.plot(list(costs), list(costs.values()), marker="o", label=way, color=colour)
    drawing.set_xscale("log")
    drawing.xaxis.set_major_formatter(lambda value, _: number(value))
    drawing.set_ylim(bottom=0)
    drawing.set_xlabel("running tasks")
    drawing.set_ylabel("µs of CPU per task")
    drawing.legend(frameon=False)
    keep("speed-scale.svg")


def main() -> None:
    run = figures.load()
    for page in PAGES:
        page.write_text(written(page.read_text(), run))
    draw_waiting(run)
    draw_lag(run)
    draw_scale(run)
    print(f"{', '.join(page.name for page in PAGES)} and the drawings are up to date")


if __name__ == "__main__":
    main()
