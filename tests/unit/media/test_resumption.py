"""
Whether a download that broke may continue where it stopped.
"""

import pytest

from kling_async.media.resumption import FileVersion, Resumption, judge

TAG = '"v1"'
DATES = {"Last-Modified": "Mon, 30 Nov 2026 10:00:00 GMT", "Date": "Mon, 30 Nov 2026 10:01:00 GMT"}
TAGGED, DATED = FileVersion(TAG, size=100), FileVersion(None, DATES["Last-Modified"], 100)


@pytest.mark.parametrize(
    ("headers", "size", "version"),
    [
        ({"ETag": TAG}, 100, TAGGED),
        ({"ETag": TAG, "Accept-Ranges": "bytes", "Content-Encoding": "identity"}, 100, TAGGED),
        ({"ETag": TAG, **DATES}, None, FileVersion(TAG)),
        (DATES, 100, DATED),
        ({"ETag": TAG, "Accept-Ranges": "none"}, 100, None),
        ({"ETag": TAG, "Content-Encoding": "gzip"}, 100, None),
        ({"ETag": 'W/"v1"', **DATES}, 100, None),
        ({"ETag": "v1", **DATES}, 100, None),
        ({"ETag": '"\udce9"'}, 100, None),
        (DATES, None, None),
        ({**DATES, "Date": "Mon, 30 Nov 2026 10:00:59 GMT"}, 100, None),
        ({"Last-Modified": DATES["Last-Modified"]}, 100, None),
        ({"Last-Modified": "yesterday", "Date": DATES["Date"]}, 100, None),
        ({"Last-Modified": "Mon, 30 Nov 2026 10:00:00 -0000", "Date": DATES["Date"]}, 100, None),
        ({"Last-Modified": "1" * 10**6, "Date": DATES["Date"]}, 100, None),
        ({}, 100, None),
    ],
)
def test_what_identifies_a_version(headers: dict[str, str], size: int | None, version: FileVersion | None) -> None:
    """
    A strong ETag does; without any, a date that is a minute old and the size. Encoded content cannot be resumed.
    """
    assert version == FileVersion.of(headers, size)


def test_both_conditions_are_sent() -> None:
    """
    Some servers ignore the one, some the other.
    """
    date = DATES["Last-Modified"]

    assert {"Range": "bytes=60-", "If-Range": TAG, "If-Match": TAG} == TAGGED.headers(60)
    assert {"Range": "bytes=60-", "If-Range": date, "If-Unmodified-Since": date} == DATED.headers(60)


@pytest.mark.parametrize(
    ("headers", "is_rest"),
    [
        ({"Content-Range": "bytes 60-99/100"}, True),
        ({"Content-Range": "bytes 60-79/100"}, True),
        ({"Content-Range": "bytes 60-99/*"}, True),
        ({"Content-Range": "bytes 60-99/100", "Content-Length": "40"}, True),
        ({"Content-Range": "bytes 60-99/100", "Content-Length": "100"}, False),
        ({"Content-Range": "bytes 59-99/100"}, False),
        ({"Content-Range": "bytes 0-99/100"}, False),
        ({"Content-Range": "bytes 60-99/101"}, False),
        ({"Content-Range": "bytes 60-79/*"}, False),
        ({"Content-Range": "bytes 60-59/100"}, False),
        ({"Content-Range": "bytes */100"}, False),
        ({"Content-Range": "lines 60-99/100"}, False),
        ({"Content-Type": "multipart/byteranges; boundary=x"}, False),
        ({"Content-Range": "bytes 60-99/100", "Content-Encoding": "gzip"}, False),
    ],
)
def test_rest_begins_where_it_was_requested(headers: dict[str, str], is_rest: bool) -> None:  # noqa: FBT001
    """
    A 206 counts only if it begins there, in a file of the same size.
    """
    expected = Resumption.CONTINUES if is_rest else Resumption.IMPOSSIBLE

    assert expected is judge(TAGGED, 60, 206, {**headers, "ETag": TAG})


@pytest.mark.parametrize(
    ("version", "headers", "is_same"),
    [
        (TAGGED, {"ETag": TAG}, True),
        (TAGGED, {"ETag": '"v2"'}, False),
        (TAGGED, {"ETag": 'W/"v1"'}, False),
        (TAGGED, DATES, False),
        (DATED, DATES, True),
        (DATED, {"Last-Modified": DATES["Date"]}, False),
        (DATED, {**DATES, "ETag": TAG}, False),
        (DATED, {}, False),
    ],
)
def test_rest_is_of_the_same_version(version: FileVersion, headers: dict[str, str], is_same: bool) -> None:  # noqa: FBT001
    """
    A 206 counts only if it repeats what the first part said; that it answers a condition is not enough.
    """
    expected = Resumption.CONTINUES if is_same else Resumption.IMPOSSIBLE

    assert expected is judge(version, 60, 206, {**headers, "Content-Range": "bytes 60-99/100"})


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (200, {}, Resumption.WHOLE),
        (203, {}, Resumption.WHOLE),
        (412, {}, Resumption.IMPOSSIBLE),
        (416, {"Content-Range": "bytes */100"}, Resumption.AT_THE_END),
        (416, {"Content-Range": "bytes */100", "ETag": TAG}, Resumption.AT_THE_END),
        (416, {"Content-Range": "bytes */100", "ETag": '"v2"'}, Resumption.IMPOSSIBLE),
        (416, {"Content-Range": "bytes */99"}, Resumption.IMPOSSIBLE),
        (416, {}, Resumption.IMPOSSIBLE),
        (403, {}, None),
        (503, {}, None),
    ],
)
def test_other_answers(status: int, headers: dict[str, str], expected: Resumption | None) -> None:
    """
    A 416 says that nothing is left if its size is what has come; anything but these is no answer to the question.
    """
    assert expected is judge(TAGGED, 100, status, headers)
    assert expected is judge(FileVersion(TAG), 100, status, headers)


def test_end_of_a_shorter_file() -> None:
    """
    A 416 whose size is what has come is no end if more was announced.
    """
    assert Resumption.IMPOSSIBLE is judge(TAGGED, 60, 416, {"Content-Range": "bytes */60"})
