"""
Creates voices and elements, and reads those of the account and the service's own.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

from kling_async.client.core import ClientCore
from kling_async.client.delivery import SubmitObserver
from kling_async.client.handle import Timeout
from kling_async.errors import InvalidRequest
from kling_async.policy.arguments import check_timeout, check_whole
from kling_async.wire.endpoints.base import Endpoint, TaskRequest
from kling_async.wire.tasks import TaskOutput, TaskResult

__all__ = ["create", "outputs"]

_log = logging.getLogger(__name__)


async def create(core: ClientCore, request: TaskRequest, timeout: "float | Timeout | None") -> TaskResult:
    """
    Submit *request*, wait for its task, and return the result.

    Raises:
        KlingError: As `KlingClient.generate`.
    """
    if not isinstance(timeout, Timeout):
        check_timeout("timeout", timeout)  # before anything is paid for
    handle = await core.submit_observed(request, SubmitObserver())
    try:
        return await handle.wait(timeout)
    except asyncio.CancelledError:
        _log.warning("waiting was cancelled; task %s is still running", handle.task_id)
        raise


async def outputs(core: ClientCore, endpoint: Endpoint[Any], page_size: int) -> AsyncGenerator[TaskOutput, None]:
    """
    Yield what each task of *endpoint* has made, in the service's order.

    Raises:
        InvalidRequest: The service does not list tasks.
    """
    check_whole("page_size", page_size, most=500)
    if not core.dialect.lists:
        raise InvalidRequest(f"{core.dialect.name} services do not list {endpoint.title}s; keep their ids yourself")
    async for snapshot in core.tasks.listed(endpoint, page_size):
        yield snapshot.task_result
