"""
The cost of waiting for tasks, compared with a loop for each task and with the clients of other services.

Tasks of 2 to 4 s, or of 4 to 6 s, are submitted at once and waited for; creates are included. Each run is a new
process on its own core. The service has the other core and reports its load: the client is measured as long as the
service's peak is well below 100 %. Rounds alternate. Contenders that take minutes run once, and with a changed
interval only with a hundred tasks.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import attrs

from benchmarks import apart, stand_in
from benchmarks.contest import Contender, Result, run
from benchmarks.figures import Figure, ratio
from benchmarks.stand_in import Terms
from kling_async import PollPolicy

ROUNDS: Final = 3
TERMS: Final = Terms(shortest=2.0, longest=4.0)
LONGER: Final = Terms(shortest=4.0, longest=6.0)

EAGER: Final = PollPolicy(first_delay=0.3)
"""
Polls as often before the first task of a kind has ended as the defaults do afterwards.
"""

LISTS: Final = "kling_async by list"
EAGER_LISTS: Final = "kling_async by list, first_delay 0.3 s"
IDS: Final = "kling_async by ids"
ONES: Final = "kling_async one by one"
CALLBACKS: Final = "kling_async by callbacks"
LOOP: Final = "aiohttp loop, 1 s"
LOOPS: Final = {f"aiohttp loop, {interval:g} s": interval for interval in (0.5, 1.0, 2.0, 5.0)}
LONGER_ONES: Final = f"{ONES}, tasks of 4 to 6 s"
LONGER_LOOP: Final = "aiohttp loop, 1 s, tasks of 4 to 6 s"
PEERS: Final = ("fal-client", "replicate", "runwayml", "openai")
"""
Prefixes of the names of other services' clients.
"""

CONTENDERS: Final = {
    LISTS: Contender("ours", {"way": "list"}),
    EAGER_LISTS: Contender("ours", {"way": "list", "polling": EAGER}),
    IDS: Contender("ours", {"way": "ids"}),
    ONES: Contender("ours", {"way": "gateway"}),
    CALLBACKS: Contender("ours", {"way": "list", "uses_callbacks": True}),
    LONGER_ONES: Contender("ours", {"way": "gateway"}),
    **{name: Contender("aiohttp_loop", {"interval": interval}) for name, interval in LOOPS.items()},
    LONGER_LOOP: Contender("aiohttp_loop"),
    "httpx loop, 1 s": Contender("httpx_loop"),
    "requests in threads, 1 s": Contender("requests_loop"),
    "fal-client": Contender("fal"),
    "fal-client, 1 s": Contender("fal", {"interval": 1.0}),
    "replicate": Contender("replicate_wait"),
    "replicate, 1 s": Contender("replicate_wait", {"interval": 1.0}),
    "runwayml": Contender("runway"),
    "openai": Contender("openai_videos"),
}


@attrs.frozen
class Entry:
    """
    A contender with a number of tasks, a maximum number of rounds, and how long the tasks take.
    """

    name: str
    count: int
    rounds: int = ROUNDS
    terms: Terms = TERMS

    @property
    def who(self) -> str:
        return f"{self.name}, {self.count}"


ENTRIES: Final = (
    *(Entry(name, 1_000) for name in (LISTS, EAGER_LISTS, IDS, ONES, CALLBACKS, *LOOPS)),
    *(Entry(name, 1_000) for name in ("requests in threads, 1 s", "openai")),
    *(Entry(name, 10_000, rounds=2) for name in (LISTS, CALLBACKS, LOOP)),
    *(Entry(name, 100, terms=LONGER) for name in (LONGER_ONES, LONGER_LOOP)),
    *(Entry(name, 1_000, rounds=1) for name in ("httpx loop, 1 s", "fal-client", "replicate", "runwayml")),
    *(Entry(name, 100, rounds=1) for name in (LISTS, CALLBACKS, LOOP, "httpx loop, 1 s", "requests in threads, 1 s")),
    *(Entry(name, 100, rounds=1) for name in CONTENDERS if name.startswith(PEERS)),
)


def measure(rounds: int | None = None) -> list[Figure]:
    """
    Measure all, in *rounds* rounds, or in the default number of each entry.
    """
    results: dict[Entry, list[Result]] = {entry: [] for entry in ENTRIES}
    with apart.service(stand_in.serve) as pipe:
        url = pipe.recv()
        for number in range(rounds or ROUNDS):
            for entry in ENTRIES:
                if number < (rounds or entry.rounds):
                    result = run(pipe, CONTENDERS[entry.name], url, entry.count, entry.terms)
                    print(f"{entry.who}: {result.waits.load.seconds:.0f} s {result.waits.failures or ''}", flush=True)
                    results[entry].append(result)
    figures = {figure.name: figure for entry in ENTRIES for figure in figures_of(entry, results[entry])}
    return [*figures.values(), *ratios(figures)]


def figures_of(entry: Entry, results: Sequence[Result]) -> Iterator[Figure]:
    """
    Yield the figures of one entry; figures per task count the tasks that were seen to end.
    """

    def figure(what: str, unit: str, value: Callable[[Result], float]) -> Figure:
        return Figure(f"tasks/{entry.who}/{what}", unit, tuple(map(value, results)))

    def ends(result: Result) -> int:
        return len(result.waits.noticed_at)

    yield figure("ends seen", "%", lambda result: 100 * ends(result) / entry.count)
    yield figure("requests per task", "requests", lambda result: result.tally.requests / ends(result))
    yield figure("connections", "connections", lambda result: result.tally.connections)
    yield figure("CPU per task", "ms", lambda result: 1e3 * result.waits.load.cpu / ends(result))
    yield figure("mean lag", "ms", lambda result: 1e3 * statistics.mean(result.lags))
    yield figure("lag of the 99th of 100", "ms", lambda result: 1e3 * result.lags[99 * ends(result) // 100 - 1])
    yield figure("time in all", "s", lambda result: result.waits.load.seconds)
    yield figure("share of the client's core", "%", lambda result: 100 * result.waits.load.share)
    yield figure("share of the client's core at its peak", "%", lambda result: 100 * result.waits.load.peak)
    yield figure("share of the service's core", "%", lambda result: 100 * result.tally.load.share)
    yield figure("share of the service's core at its peak", "%", lambda result: 100 * result.tally.load.peak)
    yield figure("CPU of the service per request", "µs", lambda result: 1e6 * result.tally.load.cpu / answers(result))


def answers(result: Result) -> int:
    """
    Return the requests that the service answered or sent.
    """
    return result.tally.requests + result.tally.callbacks


def ratios(figures: dict[str, Figure]) -> Iterator[Figure]:
    """
    Yield the comparisons, round by round.
    """

    def cpu(name: str, count: int = 1_000) -> Figure:
        return figures[f"tasks/{name}, {count}/CPU per task"]

    for count in (1_000, 10_000):
        yield ratio(f"tasks/{LISTS} over {LOOP}, {count}/ratio of CPU", cpu(LISTS, count), cpu(LOOP, count))
    asked = [figures[f"tasks/{name}, 1000/requests per task"] for name in (ONES, LOOP)]
    yield ratio(f"tasks/{ONES} over {LOOP}, 1000/ratio of requests", *asked)
    yield ratio(f"tasks/{CALLBACKS} over {LISTS}, 1000/ratio of CPU", cpu(CALLBACKS), cpu(LISTS))
    peers = [cpu(entry.name) for entry in ENTRIES if entry.count == 1_000 and entry.name.startswith(PEERS)]
    best = min(peers, key=lambda figure: figure.median)
    ours = cpu(LISTS)
    rounds = len(best.values)
    yield ratio(
        f"tasks/best async peer over {LISTS}, 1000/ratio of CPU", best, attrs.evolve(ours, values=ours.values[:rounds])
    )
    busiest = [figure for name, figure in figures.items() if name.endswith("the service's core at its peak")]
    yield Figure("tasks/service/share of its core at its peak in any run", "%", (max(max(f.values) for f in busiest),))
