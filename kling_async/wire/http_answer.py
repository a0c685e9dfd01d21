"""
One HTTP answer, read to its end.
"""

from collections.abc import Mapping

import attrs

__all__ = ["Answer"]


@attrs.frozen
class Answer:
    """
    One HTTP answer, read to its end.

    Attributes:
        status: The HTTP status.
        headers: Their names may have any case.
        body: All of it, decompressed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)
