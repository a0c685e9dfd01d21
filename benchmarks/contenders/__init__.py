"""
The libraries that are compared. Each module has `contend(url, count, **options)`, a context manager that yields a
`Job`, which submits one task, waits for it, and returns its id.

Each module imports only the library that it measures.
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

Job: TypeAlias = Callable[[], Awaitable[str]]
