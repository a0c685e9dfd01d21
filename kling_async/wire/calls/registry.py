"""
All calls that create no task.
"""

from typing import Any, Final

from kling_async.wire.calls.call import Call
from kling_async.wire.calls.faces import FACE_IDENTIFICATION
from kling_async.wire.calls.speech import SPEECH

__all__ = ["CALLS"]

CALLS: Final[tuple[Call[Any, Any], ...]] = (SPEECH, FACE_IDENTIFICATION)
