"""
A Dask cluster as seen from the program: calls that survive a lost connection, and the number of running workers.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from typing import Any, Final

import attrs
from distributed import CancelledError as WorkCancelled, Client, Future, KilledWorker

from kling_async.errors import ExecutorLost
from kling_async.wire.redaction import hide_secrets

__all__ = ["SCHEDULER_TIMEOUT", "DaskCluster", "Outage", "describe_failure", "next_outage"]

MAX_SENDS: Final = 10
"""
How often a call is sent whose work is lost with the connection, or was cancelled in the cluster.
"""
POLL_INTERVAL: Final = 0.05
RECONNECT_TIMEOUT: Final = 120.0
"""
Seconds for Dask to connect again; it gives up earlier by default.
"""
SCHEDULER_TIMEOUT: Final = 10.0

_log = logging.getLogger(__name__)


@attrs.define(eq=False)
class DaskCluster:
    """
    The cluster of a borrowed, asynchronous Dask client.
    """

    client: Client
    mark: str = attrs.field(factory=lambda: secrets.token_hex(4))  # two executors' calls have different keys
    _sent: int = attrs.field(default=0, init=False)

    async def call(self, function: Callable[[Any], Any], argument: object, name: str) -> Any:
        """
        Return what a worker returns. What is lost with the connection is sent again once it is back.

        Args:
            name: Part of the key that dashboards show.

        Raises:
            KilledWorker: Workers died during this call, each time.
            ExecutorLost: The cluster cannot do it.
        """
        reason: Exception | None = None
        for _ in range(MAX_SENDS):
            if self.client.status not in ("running", "connecting", "newly-created"):
                # Dask would accept it, and never answer.
                raise ExecutorLost("the client of the Dask cluster is closed")
            self._sent += 1
            key = ("kling-files", name, f"{self.mark}-{self._sent}")
            try:
                return await _result_of(self.client.submit(function, argument, key=key, pure=False))
            except (WorkCancelled, OSError) as error:
                # OSError: the connection is lost while the result is transferred; or the function's own, on a worker
                # that has a problem, and then another may succeed.
                reason = error
                await self._wait_until_connected()
            except KilledWorker:
                raise
            except Exception as error:  # noqa: BLE001 (Dask raises anything)
                raise describe_failure(error) from None
        raise describe_failure(reason or AssertionError("it was never tried"))

    async def _wait_until_connected(self) -> None:
        await asyncio.sleep(POLL_INTERVAL)  # the client may not have noticed the lost connection yet
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RECONNECT_TIMEOUT):
                while self.client.status == "connecting":  # noqa: ASYNC110 (Dask has no event for it)
                    await asyncio.sleep(POLL_INTERVAL)
        if self.client.status != "running":
            raise ExecutorLost("the connection to the Dask scheduler is lost, and was not restored")

    async def running_threads(self) -> int | None:
        """
        Return the threads of all running workers; None if the scheduler does not answer. Workers that are closing, or
        paused for lack of memory, do not count.
        """
        try:
            async with asyncio.timeout(SCHEDULER_TIMEOUT):
                scheduler: Any = self.client.scheduler
                workers: dict[str, int] = await scheduler.ncores_running()
        except Exception as error:  # noqa: BLE001 (Dask raises anything, and it is asked again)
            _log.debug("the Dask scheduler does not report its workers", extra={"reason": type(error).__name__})
            return None
        return sum(workers.values())

    async def watch(self, no_worker_timeout: float | None, is_busy: Callable[[], bool]) -> ExecutorLost | None:
        """
        Watch the cluster while *is_busy()*; return why it is lost, None if it was not. When a cluster has lost its
        last worker, Dask waits for ever and raises nothing.
        """
        clock, limit = asyncio.get_running_loop().time, no_worker_timeout
        interval = SCHEDULER_TIMEOUT if limit is None else min(SCHEDULER_TIMEOUT, limit / 2)
        outage: Outage | None = None
        while is_busy():
            threads = await self.running_threads()
            outage = next_outage(outage, threads, clock())
            if outage is not None:
                if limit is not None and clock() - outage.since >= limit:
                    return outage.loss(limit)
                _log.warning("%s, for %.0f s now; %s", outage.description, clock() - outage.since, _until(limit))
            await asyncio.sleep(interval)
        return None


@attrs.frozen
class Outage:
    """
    A time in which no worker runs, as far as is known.

    Attributes:
        since: When it began, by the loop's clock.
        has_no_worker: The scheduler has said so. A later answer that is only late does not change it.
        is_silent: The scheduler did not answer the last time.
    """

    since: float
    has_no_worker: bool
    is_silent: bool

    @property
    def description(self) -> str:
        return "the Dask cluster has no worker" if self.has_no_worker else "the Dask scheduler does not answer"

    def loss(self, limit: float) -> ExecutorLost:
        advice = "check the scheduler, start workers and run again" if self.is_silent else "start workers and run again"
        return ExecutorLost(f"{self.description}, for {limit:g} s (no_worker_timeout); {advice}")


def next_outage(outage: Outage | None, threads: int | None, now: float) -> Outage | None:
    """
    Return what is known of the outage once the scheduler has reported *threads*, or has not answered (None); None if
    there is no outage.
    """
    if threads:
        return None
    if outage is None:
        outage = Outage(now, has_no_worker=False, is_silent=False)
    is_silent = threads is None
    return Outage(outage.since, has_no_worker=outage.has_no_worker or not is_silent, is_silent=is_silent)


def _until(limit: float | None) -> str:
    return "waiting without a limit" if limit is None else f"giving up after {limit:g} s"


async def _result_of(future: "Future[Any]") -> Any:
    # Cancelling Dask's own wait would cancel other waits that share it; released, the work ends by itself.
    reading = asyncio.ensure_future(_read(future))
    try:
        await asyncio.wait([reading])
    except asyncio.CancelledError:
        reading.add_done_callback(lambda done: done.cancelled() or done.exception())
        future.release()  # type: ignore[no-untyped-call]
        raise
    return reading.result()


async def _read(future: "Future[Any]") -> Any:
    return await future


def describe_failure(error: Exception) -> ExecutorLost:
    """
    Return the error for a cluster that cannot do its work because of *error*.
    """
    text = hide_secrets(str(error).strip(), limit=300)
    return ExecutorLost(f"the Dask cluster cannot do the work: {type(error).__name__}: {text}")
