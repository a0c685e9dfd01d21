"""
A video, or a sound, that a request names: by its id on this account, or by a URL that the service fetches.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from kling_async.errors import BrokenRule
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import stands_in_path
from kling_async.wire.endpoints.inputs import FileFacts, describe_source
from kling_async.wire.endpoints.rules import audio_rules, broken, is_absolute
from kling_async.wire.tasks import Audio, Video

__all__ = ["id_of", "id_rules", "sound_source_rules", "url_of", "url_rule", "video_fields", "video_source_rules"]

_SUFFIXES: Final = (".mp4", ".mov", ".mp3", ".wav", ".m4a", ".aac")

_LOCAL: Final = (
    "must be the id of a video or an http(s) URL that the service can fetch: videos are not uploaded, so put the file "
    "on a public web server or storage first, and pass its URL"
)


_NOT_OF_A_SOUND: Final = (
    "must be the id of a sound that this account has made, such as `speech.audio`; pass a file or a URL as sound_file"
)


def id_of(file: Video | Audio | str | None) -> str | None:
    """
    Return the id of a file of a result. A file without one is kept for validation to report, as is any other value.
    """
    return file.id if isinstance(file, Video | Audio) and file.id is not None else cast("str | None", file)


def video_fields(video: Any, url_field: str = "video_url") -> dict[str, Any]:
    """
    Return the fields of a request that name *video*: a `Video` of a result by its id, or else its URL; text by what it
    looks like. What is neither becomes an id, which no rule accepts.
    """
    if isinstance(video, Video):
        return {"video_id": video.id} if video.id is not None else {url_field: video.url}
    return {url_field: video} if isinstance(video, str) and "://" in video else {"video_id": video}


def url_of(video: Any) -> Any:
    """
    Return the URL of a `Video` of a result; any other value is kept, for validation to report.
    """
    return video.url if isinstance(video, Video) else video


def video_source_rules(request: Any, url_field: str = "video_url") -> Iterator[BrokenRule]:
    """
    Check `video_id` and the field of the URL, of which exactly one is needed.
    """
    video_id, url = request.video_id, getattr(request, url_field)
    if (video_id is None) == (url is None):
        rule = f"is required, or {url_field}" if video_id is None else f"cannot be combined with a {url_field}"
        yield broken("video_id", video_id, rule)
    if url is not None:
        yield from url_rule(url_field, url)
    if video_id is not None:
        yield from id_rules("video_id", video_id)


def id_rules(field: str, video_id: Any) -> Iterator[BrokenRule]:
    """
    Check the id of a video.
    """
    if not _is_id(video_id):
        yield BrokenRule(field, describe_source(video_id), _LOCAL)


def sound_source_rules(
    request: Any, files: Mapping[str, FileFacts], dialect: Dialect, *, seconds: tuple[int, int]
) -> Iterator[BrokenRule]:
    """
    Check `audio_id` and `sound_file`, of which exactly one is needed.

    Args:
        seconds: The least and the most that the sound may last.
    """
    audio_id, sound_file = request.audio_id, request.sound_file
    if (audio_id is None) == (sound_file is None):
        rule = "is required, or sound_file" if audio_id is None else "cannot be combined with a sound_file"
        yield BrokenRule("audio_id", describe_source(audio_id), rule)
    if audio_id is not None and not _is_id(audio_id):
        yield BrokenRule("audio_id", describe_source(audio_id), _NOT_OF_A_SOUND)
    yield from audio_rules("sound_file", sound_file, files.get("sound_file"), dialect, seconds=seconds)


def url_rule(field: str, url: Any) -> Iterator[BrokenRule]:
    """
    Check the URL of a file that is not uploaded.
    """
    if not is_absolute(url):
        shown = describe_source(url)
        rule = "must be an http(s) URL that the service can fetch: put a local file on a web server or storage"
        yield BrokenRule(field, shown, rule)


def _is_id(video_id: Any) -> bool:
    # The vendor's ids are numbers and UUIDs; what has a folder or the suffix of a file is the path of one.
    if not isinstance(video_id, str) or not stands_in_path(video_id):
        return False
    return not {"/", "\\"} & set(video_id) and not video_id.casefold().endswith(_SUFFIXES)
