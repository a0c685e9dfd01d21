"""
Voices and elements: what the service keeps on the account, for other requests to refer to.

A voice is no file: it speaks in videos (`voice_list`). An element is a person or a thing that videos can show
(`element_list`).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import attrs

from kling_async.wire.redaction import shown_url
from kling_async.wire.scalars import read_id, read_text

__all__ = ["Element", "Voice", "id_of", "ids_of", "read_elements", "read_voices", "write_element", "write_voice"]

T = TypeVar("T")

ITEMS_MAX: Final = 100
"""
Voices or elements of one task that are read; a task makes one.
"""


@attrs.frozen
class Voice:
    """
    A voice that speaks in videos.

    Attributes:
        voice_id: Goes into the `voice_list` of a request, as the voice itself does.
        voice_name: The name that it was given.
        trial_url: Of a sound in which it speaks, signed; None if the service gives none. A repr hides its query.
        owned_by: "kling" for a preset of the service, else the id of the account that created it; None if the service
            does not say.
    """

    voice_id: str
    voice_name: str = ""
    trial_url: str | None = attrs.field(default=None, repr=shown_url)
    owned_by: str | None = None


@attrs.frozen
class Element:
    """
    A person or a thing that videos can show.

    Attributes:
        element_id: Goes into the `element_list` of a request, as the element itself does.
        element_name: The name that it was given.
        element_description: What it is.
        reference_type: "image_refer" or "video_refer": what it was created from.
        status: The service's word: "succeed", or "deleted".
        owned_by: As for a `Voice`.
        voice: That it speaks with; None if it has none.
        tag_list: The ids of its tags, "o_101" and so on.
        raw: As it was received, with the URLs of its pictures and videos.
    """

    element_id: int
    element_name: str = ""
    element_description: str = ""
    reference_type: str = ""
    status: str = ""
    owned_by: str | None = None
    voice: Voice | None = None
    tag_list: tuple[str, ...] = ()
    raw: Mapping[str, Any] = attrs.field(factory=dict, eq=False, hash=False, repr=False)


def read_voices(items: Any) -> tuple[Voice, ...]:
    """
    Read the list `voices` of a result; an item without an id is left out.
    """
    return _read_items(items, _read_voice)


def read_elements(items: Any) -> tuple[Element, ...]:
    """
    Read the list `elements` of a result; an item without an id is left out.
    """
    return _read_items(items, _read_element)


def _read_items(items: Any, read: Callable[[Mapping[str, Any]], T | None]) -> tuple[T, ...]:
    found = (read(item) for item in (items[:ITEMS_MAX] if isinstance(items, list) else ()) if isinstance(item, dict))
    return tuple(item for item in found if item is not None)


def _read_voice(item: Mapping[str, Any]) -> Voice | None:
    voice_id = read_id(item.get("voice_id"))
    if voice_id is None:
        return None
    trial_url = read_text(item.get("trial_url"), None) or None
    return Voice(voice_id, read_text(item.get("voice_name"), None), trial_url, read_id(item.get("owned_by")))


def _read_element(item: Mapping[str, Any]) -> Element | None:
    element_id = _read_number(item.get("element_id"))
    if element_id is None:
        return None
    info = item.get("element_voice_info")
    tags = item.get("tag_list")
    tag_ids = [tag.get("tag_id") for tag in tags if isinstance(tag, dict)] if isinstance(tags, list) else []
    names = ("element_name", "element_description", "reference_type", "status")
    return Element(
        element_id,
        owned_by=read_id(item.get("owned_by")),
        voice=_read_voice(info) if isinstance(info, dict) else None,
        tag_list=tuple(tag_id for tag_id in tag_ids if isinstance(tag_id, str) and tag_id),
        raw=item,
        **{name: read_text(item.get(name), None) for name in names},
    )


def _read_number(value: Any) -> int | None:
    # Exactly: ids have 18 digits, more than a float holds, and some services send them as text.
    if isinstance(value, str) and value.isdecimal() and len(value) <= _DIGITS_MAX:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


_DIGITS_MAX: Final = 19  # of a signed number of 64 bits


def ids_of(items: Any) -> Any:
    """
    Return a list of voices or elements, or of their ids, as a tuple of ids. Any other value is kept, for validation to
    report.
    """
    return tuple(map(id_of, items)) if isinstance(items, list | tuple) else items


def id_of(item: Any) -> Any:
    """
    Return the id of a voice or an element; any other value is kept.
    """
    match item:
        case Voice():
            return item.voice_id
        case Element():
            return item.element_id
        case _:
            return item


def write_voice(voice: Voice) -> dict[str, Any]:
    """
    Write a voice as the service does.
    """
    item = {"voice_id": voice.voice_id, "voice_name": voice.voice_name}
    return {**item, "trial_url": voice.trial_url or "", "owned_by": voice.owned_by or ""}


def write_element(element: Element) -> dict[str, Any]:
    """
    Write an element as the service does, with the fields that this version does not know.
    """
    item = {
        **element.raw,
        "element_id": element.element_id,
        "element_name": element.element_name,
        "element_description": element.element_description,
        "reference_type": element.reference_type,
        "tag_list": [{"tag_id": tag_id} for tag_id in element.tag_list],
        "owned_by": element.owned_by or "",
        "status": element.status,
    }
    return item if element.voice is None else {**item, "element_voice_info": write_voice(element.voice)}
