"""
Who waits for tasks, and how. Each module has `contend(url, count, **options)`, a context that yields a `Job`: submit
one task, wait for it, and return its id.

A module imports what it measures, so that none is loaded beside another.
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

Job: TypeAlias = Callable[[], Awaitable[str]]
