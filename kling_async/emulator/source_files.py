"""
Files that a request refers to: which task has made them, how long they are, and whether their URLs can be fetched.
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from kling_async.emulator.input_files import is_url
from kling_async.emulator.settings import Settings
from kling_async.emulator.task_record import TaskRecord
from kling_async.emulator.task_snapshot import file_id, seconds_of
from kling_async.wire.endpoints.base import ResultList
from kling_async.wire.sound_headers import find_sound

__all__ = ["UNREACHABLE", "has_unreachable_url", "length_of_source", "maker_of", "parent_of"]

UNREACHABLE: Final = "Something went wrong when we tried to get the contents of the file."
"""
The vendor's words for a task whose input cannot be fetched.
"""

_NO_HOSTS: Final = ("unreachable.example", ".invalid")
"""
How the host of a URL ends that the service fails to fetch; no other URL is fetched, but taken on trust.
"""

Records = Mapping[str, TaskRecord]


def has_unreachable_url(request: Any) -> bool:
    """
    Return whether a file of *request* is at a host that does not exist.
    """
    fields = attrs.fields_dict(type(request)).keys() - {"callback_url"}
    texts = (text for field in fields for text in _texts_in(getattr(request, field)))
    return any(is_url(text) and (urlsplit(text).hostname or "").endswith(_NO_HOSTS) for text in texts)


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _texts_in(item)
    elif attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            yield from _texts_in(getattr(value, field.name))


def maker_of(kind: ResultList, any_id: str | None, records: Records) -> TaskRecord | None:
    """
    Return the task that has made the file with this id; None if it was none of the *records*.
    """
    made = (record for record in records.values() if kind in record.endpoint.results)
    return next((each for each in made if any(any_id == file_id(each, kind, at) for at in range(each.count))), None)


def parent_of(request: Any, records: Records) -> TaskRecord | None:
    """
    Return the task whose video *request* names, itself or by a session; None if it names none that is known.
    """
    session = records.get(getattr(request, "session_id", None) or "")
    video_id = getattr(session.request if session is not None else request, "video_id", None)
    return None if video_id is None else maker_of("videos", video_id, records)


def length_of_source(request: Any, records: Records, settings: Settings) -> float | None:
    """
    Return the seconds of the video that *request* changes, or else of the sound that it plays; None if that is unknown.
    """
    if any(hasattr(request, name) for name in ("session_id", "video_id")):
        parent = parent_of(request, records)
        return None if parent is None else seconds_of(parent, settings)
    audio_id, sound = (getattr(request, name, None) for name in ("audio_id", "sound_file"))
    if audio_id is not None:
        maker = maker_of("audios", audio_id, records)
        return None if maker is None else seconds_of(maker, settings)
    if not isinstance(sound, str) or is_url(sound):
        return None
    content = base64.b64decode(sound)
    found = find_sound(content, len(content))
    return None if found is None else found.seconds
