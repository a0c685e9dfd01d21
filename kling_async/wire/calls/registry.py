"""
All calls that create no task.
"""

from typing import Any, Final

import attrs

from kling_async.wire.calls.account import BALANCE_DEDUCTIONS, PACKAGE_DEDUCTIONS, RESOURCE_PACKS
from kling_async.wire.calls.call import Call
from kling_async.wire.calls.deletes import DELETE_ELEMENT, DELETE_VOICE
from kling_async.wire.calls.faces import FACE_IDENTIFICATION
from kling_async.wire.calls.recognition import IMAGE_RECOGNITION
from kling_async.wire.calls.speech import SPEECH

__all__ = ["CALLS"]

CALLS: Final[tuple[Call[Any, Any], ...]] = (
    SPEECH,
    FACE_IDENTIFICATION,
    IMAGE_RECOGNITION,
    RESOURCE_PACKS,
    PACKAGE_DEDUCTIONS,
    BALANCE_DEDUCTIONS,
    DELETE_VOICE,
    DELETE_ELEMENT,
    attrs.evolve(DELETE_ELEMENT, path="/v1/general/delete-advanced-elements"),
)
