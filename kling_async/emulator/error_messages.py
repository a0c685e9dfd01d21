"""
The texts of the service's refusals, in the vendor's own words.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from cattrs import ClassValidationError

from kling_async.errors import BrokenRule
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.inputs import FileFacts
from kling_async.wire.redaction import shorten

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
Texts by code, for refusals that always have the same text.
"""

NO_ACCESS_KEYS: Final = "AK/SK authentication is not supported for this API"
NOT_BASE64: Final = "File is not in a valid base64 format"
BAD_PICTURE: Final = "Image pixel is invalid"
BAD_SIDES: Final = "The resolution or aspect ratio of the input image is invalid"
LARGE_PICTURE: Final = "Image size is too large"


def parts_of_token(parts: int) -> str:
    """
    Say that a token has the wrong form. The vendor answers a wrong key like this, too.
    """
    return f"access token should have 3 parts, but has {parts}"


def invalid(field: str, value: object) -> str:
    """
    Say that *value*, as it came in JSON, is not allowed for *field*.
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{field} value '{shorten(text)}' is invalid"


def empty(field: str) -> str:
    """
    Say that *field* is missing.
    """
    return f"{field} cannot be empty"


def too_long(field: str, most: int) -> str:
    """
    Say that *field* has more than *most* characters.
    """
    return f"{field} cannot be longer than {most} characters"


def of_wrong_type(error: ValueError, body: Mapping[str, Any]) -> str:
    """
    Say why *body* cannot be read: a field has the wrong type, or is missing.
    """
    cause = error.__cause__
    fields = [note.name for _, note in cause.group_exceptions()[0]] if isinstance(cause, ClassValidationError) else []
    if not fields:
        return MESSAGES[1200]
    return _of_value(fields[0], body.get(fields[0]))


def of_broken_rule(broken: BrokenRule, body: Mapping[str, Any], dialect: Dialect, facts: FileFacts | None) -> str:
    """
    Say that *body* breaks a rule of *dialect*. *facts* describe its picture.
    """
    field, value = broken.field, body.get(broken.field)
    limits = {"prompt": dialect.prompt_max, "negative_prompt": dialect.negative_prompt_max}
    match field:
        case "model_name":
            return "model is not supported"
        case "image" if facts is not None:
            return _of_picture(facts, dialect)
        case "image_reference" if not body.get("image"):
            return empty("image")
        case "prompt" | "negative_prompt" if isinstance(value, str) and len(value) > limits[field]:
            return too_long(field, limits[field])
        case "negative_prompt" if value and body.get("image") and not dialect.negative_prompt_with_image:
            return "negative_prompt is not supported with image"
        case _:
            return _of_value(field, value)


def _of_value(field: str, value: object) -> str:
    is_empty = value is None or (isinstance(value, str) and not value.strip())
    return empty(field) if is_empty else invalid(field, value)


def _of_picture(facts: FileFacts, dialect: Dialect) -> str:
    if facts.kind is None:
        return BAD_PICTURE
    return LARGE_PICTURE if facts.size_in_bytes > dialect.image_max_bytes else BAD_SIDES
