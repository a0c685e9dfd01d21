"""
Looks at tasks: one request each, sent once; when to look again is the watcher's to decide.
"""

import functools
from collections.abc import Mapping
from typing import Protocol

import attrs

from kling_async.client.transport import Transport, decode, is_small
from kling_async.wire.endpoints.base import several
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION
from kling_async.wire.responses import Answer, read_news, read_sighting
from kling_async.wire.tasks import TaskSnapshot

__all__ = ["HttpStatusQueries", "StatusQueries"]


class StatusQueries(Protocol):
    """
    The ways of asking how tasks are. *held* are the tasks that are asked for, and what is known of each.

    Each raises KlingError, and may be cancelled at any time.
    """

    async def one(self, task_id: str) -> TaskSnapshot:
        """
        Ask for one task.
        """

    async def several(self, held: Mapping[str, TaskSnapshot | None]) -> dict[str, TaskSnapshot]:
        """
        Ask for all of *held* by their ids, and return those that were told of.
        """

    async def page(
        self, number: int, size: int, held: Mapping[str, TaskSnapshot | None]
    ) -> tuple[dict[str, TaskSnapshot], bool]:
        """
        Ask for a page of the account's tasks, and return those of *held* on it and whether it is the last.
        """


@attrs.frozen
class HttpStatusQueries:
    """
    Looks through a client's transport.

    Attributes:
        timeout: Seconds that one may take.
    """

    _transport: Transport
    timeout: float

    async def one(self, task_id: str) -> TaskSnapshot:
        answer = await self._transport.send("GET", IMAGE_GENERATION.one(task_id), limit=self.timeout)
        return await decode(answer, functools.partial(read_sighting, task_id=task_id))

    async def several(self, held: Mapping[str, TaskSnapshot | None]) -> dict[str, TaskSnapshot]:
        answer = await self._transport.send("GET", several(held), limit=self.timeout)
        return (await _news(answer, held))[0]

    async def page(
        self, number: int, size: int, held: Mapping[str, TaskSnapshot | None]
    ) -> tuple[dict[str, TaskSnapshot], bool]:
        answer = await self._transport.send("GET", IMAGE_GENERATION.page(number, size), limit=self.timeout)
        seen, count = await _news(answer, held)
        return seen, count < size


async def _news(answer: Answer, held: Mapping[str, TaskSnapshot | None]) -> tuple[dict[str, TaskSnapshot], int]:
    known = held if is_small(answer) else dict(held)  # the loop changes *held* while the thread reads it
    return await decode(answer, functools.partial(read_news, held=known))
