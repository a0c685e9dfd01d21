"""
The errors that the service answers with: codes, and texts in the vendor's own words.
"""

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs
from cattrs import ClassValidationError

from kling_async.errors import BrokenRule
from kling_async.wire.endpoints.inputs import FileFacts
from kling_async.wire.redaction import shorten


@attrs.define(slots=False)
class ApiError(Exception):
    """
    The service refuses a request.

    Attributes:
        http_status: The status that the vendor's table of errors has for the code.
        code: The vendor's, such as 1303.
        message: The vendor's words.
    """

    http_status: int
    code: int
    message: str


MESSAGES: Final[Mapping[int, str]] = MappingProxyType(
    {
        1000: "Authentication failed",
        1001: "Authorization is empty",
        1002: "Authorization is invalid",
        1003: "Authorization is not yet valid",
        1004: "Authorization has expired",
        1102: "Account balance not enough",
        1103: "Unauthorized access to the requested resource",
        1200: "Invalid request parameters",
        1202: "The requested method is invalid",
        1203: "The requested resource does not exist",
        1301: "Trigger the content security policy of the platform",
        1302: "The API request is too fast",
        1303: "parallel task over resource pack limit",
        5000: "Server internal error",
        5001: "Server temporarily unavailable",
        5002: "Server internal timeout",
    }
)
"""
Texts by code, for errors that always have the same text.
"""

NO_ACCESS_KEYS: Final = "AK/SK authentication is not supported for this API"
NOT_BASE64: Final = "File is not in a valid base64 format"
BAD_PICTURE: Final = "Image pixel is invalid"
BAD_SIDES: Final = "The resolution or aspect ratio of the input image is invalid"
LARGE_PICTURE: Final = "Image size is too large"
BAD_SOUND: Final = "Audio format is invalid"

_SOUNDS: Final = ("mp3", "wav", "m4a", "aac")


NO_RATIO: Final = "Aspect ratio must be specified unless a first frame is provided or the task is video editing"

O1_SECONDS: Final = "Duration only supports 5 or 10 seconds when no refer_image is provided"

_RECORDED: Final = (
    ("aspect_ratio", "is required unless", NO_RATIO),
    ("duration", "must be 5 or 10 seconds without a reference image", O1_SECONDS),
    ("multi_shot", "cannot be combined with a video", "multi_shot is not supported with video input"),
    ("video_url", "must be an http(s) URL", "Video URL is invalid"),
)
"""
The end of a field's name, the beginning of a rule that is broken, and the vendor's words for that, as they were seen.
"""


def parts_of_token(parts: int) -> str:
    """
    Report that a token has the wrong format. The vendor also answers a wrong key like this.
    """
    return f"access token should have 3 parts, but has {parts}"


def invalid(field: str, value: object) -> str:
    """
    Report that *value*, as it came in JSON, is not allowed for *field*.
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{field} value '{shorten(text)}' is invalid"


def empty(field: str) -> str:
    """
    Report that *field* is missing.
    """
    return f"{field} cannot be empty"


def too_long(field: str, most: int) -> str:
    """
    Report that *field* has more than *most* characters.
    """
    return f"{field} cannot be longer than {most} characters"


def of_wrong_type(error: ValueError, body: Mapping[str, Any]) -> str:
    """
    Report why *body* cannot be read: a field is missing or has the wrong type. What reads an endpoint's own form says
    it in the vendor's words.
    """
    cause = error.__cause__
    if cause is None:
        return str(error)
    fields = [note.name for _, note in cause.group_exceptions()[0]] if isinstance(cause, ClassValidationError) else []
    if not fields:
        return MESSAGES[1200]
    return _of_value(fields[0], body.get(fields[0]))


def of_broken_rule(broken: BrokenRule, body: Mapping[str, Any], files: Mapping[str, FileFacts]) -> str:
    """
    Report that *body* breaks a rule. *files* has the facts about its files, by field.
    """
    field, value = broken.field, body.get(broken.field)
    if value is None and broken.value != "None":  # it is inside a list, or left out
        value = broken.value.strip("'")
    if field == "model_name":
        return "model is not supported"
    for name, rule, words in _RECORDED:
        if field.endswith(name) and broken.rule.startswith(rule):
            return words
    if field in files:
        return _of_file(files[field], broken)
    if needed := re.fullmatch(r"needs an? (\w+)", broken.rule):
        return empty(needed[1])
    if other := re.fullmatch(r"cannot be combined with an? (\w+)", broken.rule):
        return f"{field} is not supported with {other[1]}"
    limit = re.search(r"(\d+) characters", broken.rule)
    if limit and isinstance(value, str) and len(value) > int(limit[1]):
        return too_long(field, int(limit[1]))
    return _of_value(field, value)


def _of_value(field: str, value: object) -> str:
    is_empty = value is None or (isinstance(value, str) and not value.strip())
    return empty(field) if is_empty else invalid(field, value)


def _of_file(facts: FileFacts, broken: BrokenRule) -> str:
    is_sound = facts.kind in _SOUNDS and " picture" not in broken.rule
    if is_sound or " sound" in broken.rule:
        return BAD_SOUND
    if facts.kind is None or facts.kind in _SOUNDS:
        return BAD_PICTURE
    return LARGE_PICTURE if " bytes " in broken.rule else BAD_SIDES
