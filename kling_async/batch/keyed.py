"""
Requests with keys of the caller's own.
"""

from typing import Final

import attrs

from kling_async.wire.endpoints.base import TaskRequest

__all__ = ["KEY_MAX", "Keyed"]

KEY_MAX: Final = 200
"""
Maximum number of characters of a caller's key.
"""


@attrs.frozen
class Keyed:
    """
    A request with your own key: one key is one request, however often it is added to a journal.

    Attributes:
        key: At most 200 characters; files can be named by it.
    """

    request: TaskRequest | str
    key: str
