"""
How fields of requests are written, beyond their types: metadata that the codec reads.
"""

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["ALWAYS_SENT", "is_always_sent"]

_ALWAYS: Final = "kling_async.always_sent"

ALWAYS_SENT: Final[Mapping[str, Any]] = {_ALWAYS: True}
"""
Metadata of a field that is sent even when it has its default. All other fields are sent only when they differ from it.
"""


def is_always_sent(metadata: Mapping[Any, Any]) -> bool:
    """
    Return whether a field with this *metadata* is always sent.
    """
    return bool(metadata.get(_ALWAYS, False))
