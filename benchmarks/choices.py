"""
The effect of optional libraries: orjson for parsing (the extra `fast`), uvloop, or both, compared with neither.

Each runs in a new process, so that orjson is present or absent from the start. Measured are a submit and one poll, as
in the part "overhead", and the processing of a page of 500 tasks of which some are awaited.
"""

import asyncio
import json
import sys
import time
from typing import Final

import attrs

from benchmarks import apart
from benchmarks.figures import Figure, ratio

ROUNDS: Final = 9

PAGE: Final = 500
AWAITED: Final = 50
PAGES: Final = 200
"""
Tasks on a page, how many of them are awaited and have changed, and pages in one run.
"""


@attrs.frozen
class QueryPlan:
    name: str
    has_orjson: bool
    has_uvloop: bool


PLAIN: Final = QueryPlan("plain", has_orjson=False, has_uvloop=False)
OTHERS: Final = (
    QueryPlan("orjson", has_orjson=True, has_uvloop=False),
    QueryPlan("uvloop", has_orjson=False, has_uvloop=True),
    QueryPlan("both", has_orjson=True, has_uvloop=True),
)


@attrs.frozen
class Cost:
    """
    µs of CPU: of a submit and one poll, and of a page of tasks.
    """

    submit: float
    page: float


def page() -> bytes:
    """
    Return the vendor's response to a query of many tasks.
    """
    tasks = [
        {
            "task_id": str(829836802793406551 + number),
            "task_status": "succeed",
            "task_status_msg": "",
            "task_info": {"external_task_id": f"8f1e3a52-2c1f-4b8e-9f0e-{number:012x}"},
            "task_result": {
                "images": [{"index": 0, "url": f"https://pictures.example/{number}/image.png?sign=7d3b0aef61c94f5e"}]
            },
            "final_unit_deduction": "1",
            "created_at": 1722769557708 + number,
            "updated_at": 1722769559708 + number,
        }
        for number in range(PAGE)
    ]
    return json.dumps({"code": 0, "message": "SUCCEED", "request_id": "8f1e3a52", "data": tasks}).encode()


def cost_of_page() -> float:
    from kling_async.wire.http_answer import Answer  # noqa: PLC0415 (the choice comes first)
    from kling_async.wire.responses import read_news  # noqa: PLC0415 (the choice comes first)

    answer = Answer(200, {}, page())
    held = {str(829836802793406551 + number): None for number in range(AWAITED)}
    began = time.process_time()
    for _ in range(PAGES):
        read_news(answer, held)
    return (time.process_time() - began) / PAGES


def cost_of(choice: QueryPlan, url: str) -> Cost:
    """
    Return the cost of *choice*; call it in a process that has imported nothing of the package.
    """
    apart.pin(0)
    if not choice.has_orjson:
        sys.modules["orjson"] = None  # type: ignore[assignment] # makes its import fail
    from benchmarks import overhead  # noqa: PLC0415 (it loads the package)

    loop_factory = None
    if choice.has_uvloop:
        import uvloop  # noqa: PLC0415 (for this choice alone)

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        submit = runner.run(overhead.ours(url)).cpu
    return Cost(1e6 * submit, 1e6 * cost_of_page())


def measure(rounds: int | None) -> list[Figure]:
    from benchmarks import overhead  # noqa: PLC0415 (in this process alone)

    costs: dict[QueryPlan, list[Cost]] = {choice: [] for choice in (PLAIN, *OTHERS)}
    for _ in range(rounds or ROUNDS):
        for choice, found in costs.items():
            with overhead.service() as server:
                found.append(apart.fresh(cost_of, choice, server.url))
    submits = {
        choice: Figure(f"choices/{choice.name}/CPU", "µs", tuple(cost.submit for cost in found))
        for choice, found in costs.items()
    }
    pages = {
        choice: Figure(f"choices/{choice.name}/CPU of a page", "µs", tuple(cost.page for cost in found))
        for choice, found in costs.items()
        if not choice.has_uvloop  # a page is parsed without an event loop
    }
    return [
        *submits.values(),
        *pages.values(),
        *(ratio(f"choices/{other.name}/CPU to plain", submits[other], submits[PLAIN]) for other in OTHERS),
        *(
            ratio(f"choices/{other.name}/CPU of a page to plain", pages[other], pages[PLAIN])
            for other in OTHERS
            if other in pages
        ),
    ]
