"""
Where files are saved: a folder of this machine, which is written to directly, or a storage.
"""

import asyncio
import functools
import shutil
from pathlib import Path
from typing import TypeAlias

from kling_async.media.local import write_to_folder
from kling_async.media.naming import local_folder
from kling_async.media.shielding import shielded
from kling_async.media.storage import Storage
from kling_async.media.streams import WriteFile

__all__ = [
    "Destination",
    "destination_at",
    "make_staging_dir",
    "remove_staging_dir",
    "storage_of",
    "writer_for",
]

Destination: TypeAlias = Path | Storage


def destination_at(place: str | Path | Storage) -> Destination:
    """
    Return the folder or the storage that *place* names.

    Raises:
        ValueError: Its URL holds a password.
    """
    folder = local_folder(str(place))
    if folder is not None:
        return folder
    return place if isinstance(place, Storage) else Storage(str(place))


def storage_of(destination: Destination, url: str) -> Storage:
    """
    Return the storage that has *url*: the destination, or another one if an earlier run saved elsewhere.
    """
    return destination if isinstance(destination, Storage) and destination.has(url) else Storage(url)


def writer_for(destination: Destination, temp_dir: Path | None = None) -> WriteFile:
    """
    Return the function that writes files to *destination*.

    Args:
        temp_dir: Folder of this machine for files on their way to a storage; None is the system's.
    """
    if isinstance(destination, Path):
        return functools.partial(write_to_folder, destination)
    return functools.partial(destination.write, temp_dir=temp_dir)


async def make_staging_dir(destination: Destination, name: str) -> None:
    """
    Create the folder for `NameTemplate.staging_dir`. In a storage it is created when it is needed.
    """
    if isinstance(destination, Path):
        await asyncio.to_thread((destination / name).mkdir, parents=True, exist_ok=True)


async def remove_staging_dir(destination: Destination, name: str) -> None:
    """
    Remove the folder of `NameTemplate.staging_dir`, with partial files that were left when their writer was killed.
    """
    if isinstance(destination, Storage):
        await shielded(destination.remove_staging_dir(name))
    else:
        await shielded(asyncio.to_thread(shutil.rmtree, destination / name, ignore_errors=True))
