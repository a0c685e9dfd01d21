"""
Downloads in parts.
"""

import pytest

from kling_async.emulator.file_response import file_response

CONTENT = b"0123456789"
TAG = file_response(CONTENT, "image/png", {}).headers["ETag"]


@pytest.mark.parametrize(
    ("headers", "status", "body", "content_range"),
    [
        ({}, 200, CONTENT, None),
        ({"Range": "bytes=2-4"}, 206, b"234", "bytes 2-4/10"),
        ({"Range": "bytes=2-"}, 206, b"23456789", "bytes 2-9/10"),
        ({"Range": "bytes=2-99"}, 206, b"23456789", "bytes 2-9/10"),
        ({"Range": "bytes=-3"}, 206, b"789", "bytes 7-9/10"),
        ({"Range": "bytes=-99"}, 206, CONTENT, "bytes 0-9/10"),
        ({"Range": "bytes=10-"}, 416, b"", "bytes */10"),
        ({"Range": "bytes=-0"}, 416, b"", "bytes */10"),
        ({"Range": "bytes=4-2"}, 200, CONTENT, None),
        ({"Range": "bytes=-"}, 200, CONTENT, None),
        ({"Range": "bytes=0-1,3-4"}, 200, CONTENT, None),
        ({"Range": "lines=0-1"}, 200, CONTENT, None),
        ({"Range": "bytes=2-4", "If-Range": TAG}, 206, b"234", "bytes 2-4/10"),
        ({"Range": "bytes=2-4", "If-Range": '"other"'}, 200, CONTENT, None),
        ({"Range": "bytes=2-4", "If-Match": TAG}, 206, b"234", "bytes 2-4/10"),
        ({"Range": "bytes=2-4", "If-Match": f'"other", {TAG}'}, 206, b"234", "bytes 2-4/10"),
        ({"Range": "bytes=2-4", "If-Match": "*"}, 206, b"234", "bytes 2-4/10"),
        ({"Range": "bytes=2-4", "If-Match": '"other"'}, 412, b"", None),
        ({"Range": "bytes=2-4", "If-Match": f"W/{TAG}"}, 412, b"", None),
        ({"Range": "bytes=99-", "If-Match": '"other"'}, 412, b"", None),
        ({"If-None-Match": TAG}, 304, b"", None),
        ({"If-None-Match": f'"other", {TAG}'}, 304, b"", None),
        ({"If-None-Match": '"other"'}, 200, CONTENT, None),
    ],
)
def test_parts_are_those_of_the_standard(
    headers: dict[str, str], status: int, body: bytes, content_range: str | None
) -> None:
    """
    One range is served, an invalid one is ignored, an impossible one refused, and a part of another version never sent.
    """
    response = file_response(CONTENT, "image/png", headers)

    assert (status, body, content_range) == (response.status, response.content(), response.headers.get("Content-Range"))
    assert TAG == response.headers["ETag"]


def test_range_that_is_ignored() -> None:
    """
    A server without ranges sends the whole file; conditions it heeds all the same.
    """
    asked = {"Range": "bytes=2-4"}

    assert 200 == file_response(CONTENT, "image/png", asked, heeds_ranges=False).status
    assert 412 == file_response(CONTENT, "image/png", {**asked, "If-Match": '"other"'}, heeds_ranges=False).status


def test_tag_changes_with_the_content() -> None:
    """
    Other bytes, other tag.
    """
    assert TAG != file_response(b"x", "image/png", {}).headers["ETag"]
