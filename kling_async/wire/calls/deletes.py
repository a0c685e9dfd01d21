"""
Deletes of voices and elements. They are free; a second one is refused (1201, "already be deleted").
"""

from collections.abc import Iterator
from typing import Any, Final

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.calls.call import Call, read_data
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.rules import broken, text_rule
from kling_async.wire.http_answer import Answer

__all__ = ["DELETE_ELEMENT", "DELETE_VOICE", "ElementToDelete", "VoiceToDelete"]

_ID_MAX: Final = 256  # characters; the vendor's ids have 18 digits

_LARGEST: Final = 2**63 - 1  # the wire's type is a long


@attrs.frozen
class VoiceToDelete:
    """
    A voice of the account.
    """

    voice_id: str


@attrs.frozen
class ElementToDelete:
    """
    An element of the account.
    """

    element_id: int


def _voice_rules(request: VoiceToDelete, _: Dialect) -> Iterator[BrokenRule]:
    yield from text_rule("voice_id", request.voice_id, _ID_MAX, is_required=True)


def _element_rules(request: ElementToDelete, _: Dialect) -> Iterator[BrokenRule]:
    element_id: Any = request.element_id
    if not isinstance(element_id, int) or isinstance(element_id, bool) or not 0 < element_id <= _LARGEST:
        yield broken("element_id", element_id, "must be the id of an element: a whole number above 0")


def _read(answer: Answer) -> None:
    read_data(answer)  # some services answer with a task, others with nothing


DELETE_VOICE: Final = Call(
    name="delete-voice",
    title="delete of a voice",
    path="/v1/general/delete-voices",
    request_class=VoiceToDelete,
    rules=_voice_rules,
    read=_read,
)

DELETE_ELEMENT: Final = Call(
    name="delete-element",
    title="delete of an element",
    path="/v1/general/delete-elements",
    request_class=ElementToDelete,
    rules=_element_rules,
    read=_read,
)
"""
`/v1/general/delete-advanced-elements` does the same, as was seen live; the vendor's pages name both.
"""
