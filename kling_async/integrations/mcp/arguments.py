"""
The arguments of tools as a model reads them: a description and all limits, in JSON Schema.

The schemas only describe. What a call breaks is reported by the rules of requests, whose messages say what to do.
"""

from collections.abc import Collection
from typing import Any, Final

from pydantic import WithJsonSchema

__all__ = ["choice", "flag", "number", "object_of", "plain_schema", "text", "whole"]

_NOT_GIVEN: Final = ("", None)
"""
Defaults that stand for an argument that was not given; a model needs not see them.
"""


def text(description: str, *, most: int | None = None, least: int | None = None) -> WithJsonSchema:
    """
    Describe text of so many characters.
    """
    limits = {"minLength": least, "maxLength": most}
    return _schema("string", description, **limits)


def choice(description: str, choices: Collection[str]) -> WithJsonSchema:
    """
    Describe text that is one of *choices*.
    """
    return _schema("string", description, enum=list(choices))


def whole(description: str, least: int, most: int) -> WithJsonSchema:
    """
    Describe a whole number within bounds.
    """
    return _schema("integer", description, minimum=least, maximum=most)


def number(description: str, least: float, most: float) -> WithJsonSchema:
    """
    Describe a number within bounds.
    """
    return _schema("number", description, minimum=least, maximum=most)


def flag(description: str) -> WithJsonSchema:
    """
    Describe a choice of true and false.
    """
    return _schema("boolean", description)


def object_of(description: str) -> WithJsonSchema:
    """
    Describe an object with any fields.
    """
    return _schema("object", description, additionalProperties=True)


def plain_schema(parameters: dict[str, Any]) -> dict[str, Any]:
    """
    Return the schema of a tool's arguments without what only takes up a model's context, and closed: other arguments
    are refused.
    """
    properties = {
        name: {key: value for key, value in schema.items() if key != "title" and not _is_not_given(key, value)}
        for name, schema in parameters.get("properties", {}).items()
    }
    required = parameters.get("required", [])
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _is_not_given(key: str, value: object) -> bool:
    return key == "default" and value in _NOT_GIVEN


def _schema(kind: str, description: str, **limits: Any) -> WithJsonSchema:
    given = {name: value for name, value in limits.items() if value is not None}
    return WithJsonSchema({"type": kind, "description": description, **given})
