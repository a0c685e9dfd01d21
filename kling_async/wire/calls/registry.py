"""
All calls that create no task.
"""

from typing import Any, Final

from kling_async.wire.calls.account import BALANCE_DEDUCTIONS, PACKAGE_DEDUCTIONS, RESOURCE_PACKS
from kling_async.wire.calls.call import Call
from kling_async.wire.calls.faces import FACE_IDENTIFICATION
from kling_async.wire.calls.speech import SPEECH

__all__ = ["CALLS"]

CALLS: Final[tuple[Call[Any, Any], ...]] = (
    SPEECH,
    FACE_IDENTIFICATION,
    RESOURCE_PACKS,
    PACKAGE_DEDUCTIONS,
    BALANCE_DEDUCTIONS,
)
