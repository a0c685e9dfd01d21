"""
The Dask cluster of `--dask`.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import typer

from kling_async.batch.executors import RemoteExecutor
from kling_async.media.storage import Storage

__all__ = ["cluster_at"]


@contextlib.asynccontextmanager
async def cluster_at(address: str | None, out: Path | Storage) -> AsyncIterator[RemoteExecutor | None]:
    """
    Yield an executor on the cluster whose scheduler is at *address*, or None without *address*.

    Raises:
        typer.BadParameter: There is no scheduler, or its workers cannot save to *out*.
    """
    if address is None:
        yield None
        return
    try:
        from distributed import Client  # noqa: PLC0415 (an extra)

        from kling_async.integrations.dask import DaskExecutor  # noqa: PLC0415
    except ImportError:
        what = 'Dask is not installed: pip install "kling-async[dask]"'
        raise typer.BadParameter(what, param_hint="--dask") from None
    async with contextlib.AsyncExitStack() as stack:
        try:
            dask_client = Client(address, asynchronous=True)  # type: ignore[no-untyped-call]
            stack.push_async_callback(dask_client.close)
            await dask_client
            executor = await stack.enter_async_context(DaskExecutor(dask_client))
            await executor.check(None, out)
        except (OSError, ValueError) as error:
            raise typer.BadParameter(
                str(error) or "no scheduler answers at this address", param_hint="--dask"
            ) from None
        yield executor
