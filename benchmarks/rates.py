"""
How the rate of polls is found, in simulation: clients that always have something to ask, at a service with a limit of
requests per second, or with a number of requests per second that it can process.

Nothing is sent and no time passes: only the decisions of `AdaptiveRate` are real.
"""

import functools
import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import attrs

from benchmarks.figures import Figure
from kling_async.client.limits.rate import AdaptiveRate

ROUNDS: Final = 5
SECONDS: Final = 600.0
WIDTH: Final = 16
"""
Requests of a client that are unanswered at a time.
"""

TRAVEL: Final = 0.025
"""
Seconds that a request takes, and its answer, on average.
"""

LIMITS: Final = (5, 20, 100, 1_000)
CAPACITIES: Final = (10, 30, 100)
SHARED: Final = (5, 20, 100)


class Limiter(Protocol):
    """
    What refuses requests.
    """

    def accepts(self, now: float) -> bool:
        """
        Return whether a request that arrives now is answered.
        """


@attrs.define
class TokenBucket:
    """
    Accepts so many requests per second, and as many at once if there were none before.
    """

    limit: float
    _tokens: float = attrs.field(init=False)
    _at: float = attrs.field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._tokens = self.limit

    def accepts(self, now: float) -> bool:
        self._tokens = min(self.limit, self._tokens + (now - self._at) * self.limit)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@attrs.define
class FixedWindow:
    """
    Accepts so many requests in each period: per second, or sixty times as many per minute.
    """

    limit: float
    seconds: float = 1.0
    _window: float = attrs.field(default=-1.0, init=False)
    _accepted: int = attrs.field(default=0, init=False)

    def accepts(self, now: float) -> bool:
        window = now // self.seconds
        if window != self._window:
            self._window, self._accepted = window, 0
        if self._accepted >= self.limit * self.seconds:
            return False
        self._accepted += 1
        return True


LIMITERS: Final[dict[str, tuple[int, Callable[[], Limiter]]]] = {
    **{f"{limit} a second": (limit, functools.partial(TokenBucket, limit)) for limit in LIMITS},
    **{f"{limit} in each second": (limit, functools.partial(FixedWindow, limit)) for limit in LIMITS},
    "300 in each minute": (5, functools.partial(FixedWindow, 5, 60.0)),
}


@attrs.define(eq=False)
class Client:
    """
    Attributes:
        begins_at: When it begins to send.
        answers: When each answer came, whether it was a refusal, and how long it took.
    """

    begins_at: float = 0.0
    rate: AdaptiveRate = attrs.field(factory=AdaptiveRate)
    unanswered: int = attrs.field(default=0, init=False)
    wakes_at: float = attrs.field(default=0.0, init=False)
    answers: list[tuple[float, bool, float]] = attrs.field(factory=list, init=False)

    def refused_share(self, begin: float = 0.0, end: float = math.inf) -> float:
        refused = [is_refused for at, is_refused, _ in self.answers if begin <= at < end]
        return sum(refused) / max(1, len(refused))

    def accepted(self, begin: float = 0.0, end: float | None = None) -> float:
        """
        Return the accepted requests per second, until the end of the simulation if *end* is None.
        """
        end = SECONDS if end is None else end
        return sum(begin <= at < end and not is_refused for at, is_refused, _ in self.answers) / (end - begin)

    def latency(self) -> float:
        """
        Return the mean seconds of an answer, after the first tenth.
        """
        taken = [seconds for at, _, seconds in self.answers if at >= SECONDS / 10]
        return sum(taken) / max(1, len(taken))


@attrs.define(eq=False)
class Simulation:
    """
    Attributes:
        capacity: Requests per second that the service can process, one after another; None is any number.
    """

    clients: Sequence[Client]
    limiter: Limiter | None = None
    capacity: float | None = None
    travel: float = TRAVEL
    seed: int = 1
    _events: list[tuple[float, int, Callable[[float], None]]] = attrs.field(factory=list, init=False)
    _order: Iterator[int] = attrs.field(factory=itertools.count, init=False)
    _free_at: float = attrs.field(default=0.0, init=False)
    _random: random.Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 (the same in each run)

    def run(self, seconds: float | None = None) -> None:
        """
        Simulate so many seconds.
        """
        seconds = SECONDS if seconds is None else seconds
        for client in self.clients:
            self._wake(client, client.begins_at)
        while self._events and self._events[0][0] < seconds:
            now, _, act = heapq.heappop(self._events)
            act(now)

    def _at(self, when: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), act))

    def _on_its_way(self) -> float:
        return self.travel * self._random.uniform(0.8, 1.2)

    def _wake(self, client: Client, when: float) -> None:
        client.wakes_at = when
        self._at(when, lambda now: self._send(client, now) if client.wakes_at == when else None)

    def _send(self, client: Client, now: float) -> None:
        for _ in range(min(WIDTH - client.unanswered, client.rate.allowance(now))):
            client.rate.note_sent(now)
            client.unanswered += 1
            self._at(now + self._on_its_way(), functools.partial(self._arrive, client, now))
        if client.unanswered < WIDTH:
            self._wake(client, max(client.rate.ready_at, now + 1e-9))

    def _arrive(self, client: Client, sent_at: float, now: float) -> None:
        is_refused = self.limiter is not None and not self.limiter.accepts(now)
        if self.capacity is not None and not is_refused:
            now = self._free_at = max(self._free_at, now) + 1 / self.capacity
        self._at(now + self._on_its_way(), lambda at: self._answer(client, sent_at, at, is_refused=is_refused))

    def _answer(self, client: Client, sent_at: float, now: float, *, is_refused: bool) -> None:
        client.unanswered -= 1
        client.answers.append((now, is_refused, now - sent_at))
        if is_refused:
            client.rate.note_refused(now, sent_at)
        else:
            client.rate.note_answered(now, sent_at)
        self._send(client, now)


def alone(limiter: Limiter, seed: int, seconds: float | None = None) -> Client:
    """
    Return a client that was alone at a service with a limit. It is near, so that the limit can be reached.
    """
    client = Client()
    Simulation([client], limiter, travel=0.005, seed=seed).run(seconds)
    return client


def fairness(rates: Sequence[float]) -> float:
    """
    Return Jain's index: 1 if all are equal, 0.5 if one of two has everything.
    """
    squares = sum(rate * rate for rate in rates)
    return sum(rates) ** 2 / (len(rates) * squares) if squares else 0.0


def shared(limit: float, seed: int) -> tuple[Client, Client]:
    """
    Return two clients of one service with a limit; the second came a minute later.
    """
    clients = Client(), Client(begins_at=60.0)
    Simulation(clients, TokenBucket(limit), seed=seed).run()
    return clients


def measure(rounds: int | None) -> list[Figure]:
    seeds = range(rounds or ROUNDS)
    figures = []
    for name, (limit, make) in LIMITERS.items():
        clients = [alone(make(), seed) for seed in seeds]
        who = f"rates/{name}"
        in_all = tuple(100 * client.refused_share() for client in clients)
        at_first = tuple(100 * client.refused_share(end=60.0) for client in clients)
        figures += [
            Figure(f"{who}/refused in 10 minutes", "%", in_all),
            Figure(f"{who}/refused in the first", "%", at_first),
            Figure(f"{who}/share of the limit used", "", tuple(client.accepted() / limit for client in clients)),
        ]
    for limit in SHARED:
        pairs = [shared(limit, seed) for seed in seeds]
        who = f"rates/two clients, {limit} a second"
        whole = tuple(fairness([client.accepted(60.0) for client in pair]) for pair in pairs)
        least = tuple(min(client.accepted(120.0) for client in pair) / limit for pair in pairs)
        refused = tuple(100 * max(client.refused_share(120.0) for client in pair) for pair in pairs)
        figures += [
            Figure(f"{who}/fairness", "", whole),
            Figure(f"{who}/share of the slower one", "", least),
            Figure(f"{who}/refused", "%", refused),
        ]
    for capacity in CAPACITIES:
        clients = []
        for seed in seeds:
            clients.append(Client())
            Simulation(clients[-1:], capacity=capacity, seed=seed).run()
        who = f"rates/service that processes {capacity} a second"
        quickest = 2 * TRAVEL + 1 / capacity
        figures += [
            Figure(f"{who}/share of it used", "", tuple(client.accepted() / capacity for client in clients)),
            Figure(f"{who}/latency without load", "ms", (1e3 * quickest,) * len(clients)),
            Figure(f"{who}/latency with the client", "ms", tuple(1e3 * client.latency() for client in clients)),
        ]
    return figures
