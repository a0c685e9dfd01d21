"""
Elements: what requests name by ids in `element_list`.
"""

from collections.abc import Container
from typing import Any, Final

from kling_async.emulator.api_errors import ApiError

__all__ = ["PRESET_ELEMENTS", "check_elements"]

PRESET_ELEMENTS: Final = tuple(range(829836802793406551, 829836802793406561))
"""
Ids of the service's own elements; the first one is in the vendor's examples.
"""


def check_elements(request: Any, known: Container[int]) -> None:
    """
    Raises:
        ApiError: An element of *request* is not among the *known* ids (1201).
    """
    for element in getattr(request, "element_list", None) or ():
        if element not in known:
            raise ApiError(400, 1201, f"Element id not found: {element}")
