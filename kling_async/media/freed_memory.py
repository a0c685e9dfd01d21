"""
Freed memory that the process keeps for what it reads next.

By default, glibc maps each block of a few hundred KiB, gives it back to the system once it is freed, and gives back the
end of its heap as well. asyncio reads sockets in blocks of 256 KiB: the same pages are given back and fetched again
thousands of times a second, and the system clears them each time. That is a tenth of all the work of a download, and
more than the rest of reading a short answer. The limit is twice the size of the largest block that was mapped and freed
(see `mallopt(3)`, "dynamic mmap threshold"), so that one such block is enough. This has no effect where another
allocator is used, or where the program or its environment sets the limits.
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
