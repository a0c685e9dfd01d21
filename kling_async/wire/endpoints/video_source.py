"""
A video, or a sound, that a request names: by its id on this account, or by a URL that the service fetches.
"""

from collections.abc import Iterator
from typing import Any, Final

from kling_async.errors import BrokenRule
from kling_async.wire.endpoints.base import stands_in_path
from kling_async.wire.endpoints.inputs import describe_source
from kling_async.wire.endpoints.rules import broken, is_absolute
from kling_async.wire.tasks import Video

__all__ = ["url_rule", "video_fields", "video_source_rules"]

_SUFFIXES: Final = (".mp4", ".mov", ".mp3", ".wav")

_LOCAL: Final = (
    "must be the id of a video or an http(s) URL that the service can fetch: videos are not uploaded, so put the file "
    "on a public web server or storage first, and pass its URL"
)


def video_fields(video: Any, url_field: str = "video_url") -> dict[str, Any]:
    """
    Return the fields of a request that name *video*: a `Video` of a result by its id, or else its URL; text by what it
    looks like. What is neither becomes an id, which no rule accepts.
    """
    if isinstance(video, Video):
        return {"video_id": video.id} if video.id is not None else {url_field: video.url}
    return {url_field: video} if isinstance(video, str) and "://" in video else {"video_id": video}


def video_source_rules(request: Any, url_field: str = "video_url") -> Iterator[BrokenRule]:
    """
    Check `video_id` and the field of the URL, of which exactly one is needed.
    """
    video_id, url = request.video_id, getattr(request, url_field)
    if (video_id is None) == (url is None):
        rule = f"needs a {url_field}" if video_id is None else f"cannot be combined with a {url_field}"
        yield broken("video_id", video_id, rule)
    if url is not None:
        yield from url_rule(url_field, url)
    if video_id is not None and not _is_id(video_id):
        yield BrokenRule("video_id", describe_source(video_id), _LOCAL)


def url_rule(field: str, url: Any) -> Iterator[BrokenRule]:
    """
    Check the URL of a file that is not uploaded.
    """
    if not is_absolute(url):
        shown = describe_source(url)
        rule = "must be an absolute http(s) URL that the service can fetch: put a local file on a web server or storage"
        yield BrokenRule(field, shown, rule)


def _is_id(video_id: Any) -> bool:
    # The vendor's ids are numbers and UUIDs; what has a folder or the suffix of a file is the path of one.
    if not isinstance(video_id, str) or not stands_in_path(video_id):
        return False
    return not {"/", "\\"} & set(video_id) and not video_id.casefold().endswith(_SUFFIXES)
