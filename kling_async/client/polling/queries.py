"""
Queries of task status: one request each, sent once. When to query again is up to the poller.
"""

import functools
from collections.abc import Mapping
from typing import Any, Protocol

import attrs

from kling_async.client.retries import find_in
from kling_async.client.transport import DECODE_INLINE_MAX, Transport, decode
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint, several
from kling_async.wire.http_answer import Answer
from kling_async.wire.responses import read_news, read_only_task, read_snapshot
from kling_async.wire.tasks import TaskSnapshot

__all__ = ["HttpStatusQueries", "StatusQueries"]


class StatusQueries(Protocol):
    """
    The requests that return the status of tasks. *known* has the tasks that are asked for, and what is known of each.

    Each raises KlingError, and may be cancelled at any time.
    """

    async def one(self, endpoint: Endpoint[Any], task_id: str) -> TaskSnapshot:
        """
        Query one task.
        """

    async def several(
        self, endpoint: Endpoint[Any], known: Mapping[str, TaskSnapshot | None]
    ) -> dict[str, TaskSnapshot]:
        """
        Query all tasks of *known* by their ids, and return those that the service returned.
        """

    async def page(
        self, endpoint: Endpoint[Any], number: int, size: int, known: Mapping[str, TaskSnapshot | None]
    ) -> tuple[dict[str, TaskSnapshot], bool]:
        """
        Query a page of the account's tasks; return those of *known* that are on it, and whether it is the last page.
        """


@attrs.frozen(eq=False, repr=False)
class HttpStatusQueries:
    """
    Queries through a client's transport.

    Attributes:
        timeout: Seconds that a query may take.
        dialect: Says whether tasks may have been created in the new standard.
    """

    _transport: Transport
    timeout: float
    dialect: Dialect

    async def one(self, endpoint: Endpoint[Any], task_id: str) -> TaskSnapshot:
        if endpoint.new_standard is None and endpoint.legacy is None:
            return await self._one(endpoint, task_id)
        return await find_in(
            functools.partial(self._one, task_id=task_id), endpoint, endpoint.counterpart(self.dialect)
        )

    async def several(
        self,
        endpoint: Endpoint[Any],  # noqa: ARG002 (the same path for all endpoints)
        known: Mapping[str, TaskSnapshot | None],
    ) -> dict[str, TaskSnapshot]:
        answer = await self._transport.send("GET", several(known), limit=self.timeout)
        return (await _read_known(answer, known))[0]

    async def page(
        self, endpoint: Endpoint[Any], number: int, size: int, known: Mapping[str, TaskSnapshot | None]
    ) -> tuple[dict[str, TaskSnapshot], bool]:
        answer = await self._transport.send("GET", endpoint.page(number, size), limit=self.timeout)
        snapshots, count = await _read_known(answer, known)
        return snapshots, count < size

    async def _one(self, endpoint: Endpoint[Any], task_id: str) -> TaskSnapshot:
        answer = await self._transport.send("GET", endpoint.one(task_id), limit=self.timeout)
        read = read_snapshot if endpoint.legacy is None else read_only_task
        return await decode(answer, functools.partial(read, task_id=task_id))


async def _read_known(answer: Answer, known: Mapping[str, TaskSnapshot | None]) -> tuple[dict[str, TaskSnapshot], int]:
    # A thread may not read *known* itself: the event loop changes it meanwhile.
    held = known if len(answer.body) <= DECODE_INLINE_MAX else dict(known)
    return await decode(answer, functools.partial(read_news, held=held))
