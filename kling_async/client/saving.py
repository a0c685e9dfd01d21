"""
Saving the pictures of a result in a storage.
"""

from pathlib import Path

from kling_async.client.client import KlingClient
from kling_async.media.destinations import destination_at
from kling_async.media.naming import Names
from kling_async.media.storage import Storage
from kling_async.wire.tasks import TaskResult

__all__ = ["save"]


async def save(
    client: KlingClient,
    result: TaskResult,
    storage: str | Storage,
    *,
    name: str = "{task_id}-{index}{ext}",
) -> list[str]:
    """
    Save all pictures of a result in a storage, and return their URLs in picture order.

    It does what `KlingClient.save` does, and verifies each by size and digest; what has that name is replaced.

    Args:
        storage: A URL as fsspec reads it, or one with options.
        name: With `{task_id}`, `{index}` and `{ext}`; it may name folders.

    Raises:
        DownloadFailed: A picture did not arrive, or could not be stored. The others are.
        StorageFull: There was no room.
        ImportError: A library for the storage is missing.
        OSError: The storage cannot be opened.
        ValueError: It is no storage, or the name is no good.
    """
    destination = destination_at(storage)
    if isinstance(destination, Path):
        return [path.absolute().as_uri() for path in await client.save(result, destination, name=name)]
    await destination._open()  # noqa: SLF001 (storing the first picture is trial enough)
    outcome = await client.save_each(result, destination, Names(name, result.task_id))
    if outcome.error is not None:
        raise outcome.error
    return [file.url for file in outcome.files if file.url is not None]
