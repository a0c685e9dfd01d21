"""
Downloads, saves and processes a batch's files on the workers of a Dask cluster:
`batch.run(executor=DaskExecutor(dask_client))`.
"""

try:
    import cloudpickle as _cloudpickle  # noqa: F401
    import distributed as _distributed  # noqa: F401
except ImportError:
    raise ImportError(
        'kling_async.integrations.dask needs Dask: pip install "kling-async[dask]"', name="distributed"
    ) from None

from kling_async.integrations.dask.executor import DaskExecutor

__all__ = ["DaskExecutor"]
