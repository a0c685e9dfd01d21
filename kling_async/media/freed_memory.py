"""
Freed memory that the process keeps for its next pieces of a file.

By default, glibc gives memory back to the system as soon as a few hundred KiB at the end of the heap are free. With
pieces of 256 KiB, the same pages are given back and fetched again thousands of times a second, and the system clears
them each time: a tenth of all the work of a download. The limit is twice the size of the largest block that was mapped
and freed (see `mallopt(3)`, "dynamic mmap threshold"), so that one such block is enough. Where another allocator is
used, this has no effect.
"""

import functools
from typing import Final

__all__ = ["keep_freed_memory"]

MAPPED: Final = 8 * 1024 * 1024


@functools.cache
def keep_freed_memory() -> None:
    """
    Let the process keep up to twice `MAPPED` bytes of freed memory. Only the first call allocates: by then a block of
    this size is no longer mapped, and would be cleared.
    """
    bytes(MAPPED)  # is mapped and freed, and never touched
