"""
How many submits a client can send from one core, compared with a bare aiohttp loop; see `overhead`.
"""

import asyncio

from benchmarks import apart
from benchmarks.figures import Figure, ratio
from benchmarks.overhead import ROUNDS, bare, ours, service


def measure(rounds: int | None) -> list[Figure]:
    apart.pin(0)
    floors, rates = [], []
    for _ in range(rounds or ROUNDS):
        with service() as server:
            floors.append(1 / asyncio.run(bare(server.url, looks=False)).clock)
            rates.append(1 / asyncio.run(ours(server.url, looks=False)).clock)
    floor = Figure("submits/bare aiohttp loop/rate", "per second", tuple(floors))
    rate = Figure("submits/kling_async/rate", "per second", tuple(rates))
    return [floor, rate, ratio("submits/kling_async/rate to a bare loop", rate, floor)]
