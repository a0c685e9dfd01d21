"""
Answers downloads like a storage service: with a strong `ETag`, and with parts of files (RFC 9110, sections 13 and 14).
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from kling_async.emulator.api import ApiResponse

__all__ = ["file_response"]

_RANGE: Final = re.compile(r"bytes=(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})")


def file_response(
    content: bytes, content_type: str, headers: Mapping[str, str], *, heeds_ranges: bool = True
) -> ApiResponse:
    """
    Return the answer to a download of *content*.

    Args:
        headers: Those of the request.
        heeds_ranges: False sends the whole file whatever part is requested.
    """
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    known = {"ETag": tag, "Accept-Ranges": "bytes"}
    if not _names(headers.get("If-Match", "*"), tag):
        return ApiResponse(status=412, content_type="application/xml", headers=known)
    if _names(headers.get("If-None-Match", ""), tag):
        return ApiResponse(status=304, content_type=content_type, headers=known)
    whole = ApiResponse(body=content, content_type=content_type, headers=known)
    match = _RANGE.fullmatch(headers.get("Range", ""))
    if not heeds_ranges or match is None or match[0] == "bytes=-" or headers.get("If-Range", tag) != tag:
        return whole  # several ranges at a time and other units may be ignored
    size = len(content)
    if match["first"]:
        first, last = int(match["first"]), int(match["last"] or size)
        if last < first and match["last"]:
            return whole  # not a valid range
        last = min(last, size - 1)
    else:
        first, last = max(0, size - int(match["last"])), size - 1
    if first > last:
        unsatisfied = {**known, "Content-Range": f"bytes */{size}"}
        return ApiResponse(status=416, content_type="application/xml", headers=unsatisfied)
    part = {**known, "Content-Range": f"bytes {first}-{last}/{size}"}
    return ApiResponse(status=206, body=content[first : last + 1], content_type=content_type, headers=part)


def _names(tags: str, tag: str) -> bool:
    return tags.strip() == "*" or tag in (each.strip() for each in tags.split(","))
