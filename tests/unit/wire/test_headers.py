"""
What the headers of an answer say.
"""

import datetime as dt

import pytest
from hypothesis import given, strategies as st
from multidict import CIMultiDict

from kling_async.wire.headers import clock_of, find_header, retry_after

NOW = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
def test_case_does_not_matter(name: str) -> None:
    """
    A plain mapping is as good as aiohttp's.
    """
    for kind in (dict, CIMultiDict):
        assert "7" == find_header(kind({"Date": NOW, name: " 7 "}), "Retry-After")


def test_absent_header_is_empty() -> None:
    """
    A header that is not there is empty text.
    """
    for kind in (dict, CIMultiDict):
        assert "" == find_header(kind({"Date": NOW}), "Retry-After")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("315360000", 315_360_000.0),
        ("Wed, 21 Oct 2015 07:29:30 GMT", 90.0),
        ("Wed, 21 Oct 2015 07:29:30 -0000", 90.0),
        ("Wed, 21 Oct 2015 09:29:30 +0200", 90.0),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0.0),
        ("", None),
        ("-7", None),
        ("1.5", 1.5),
        ("3.2", 3.2),
        ("3.", 3.0),
        (".5", None),
        ("1e3", None),
        ("3,2", None),
        ("nan", None),
        ("٣", None),
        ("²", None),
        ("soon", None),
        ("9" * 400, None),
        ("21 Oct 99999999999999999999 07:28:00", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """
    Both forms of the header: seconds, or a date counted from the answer's own clock. A past date is now.
    """
    assert seconds == retry_after({"Date": NOW, "Retry-After": value})


def test_date_without_a_clock() -> None:
    """
    A date cannot be counted from nothing, and our own clock may be wrong.
    """
    assert retry_after({"Retry-After": NOW}) is None
    assert retry_after({"Retry-After": NOW, "Date": "today"}) is None


@pytest.mark.parametrize("value", [NOW, "Wed, 21 Oct 2015 07:28:00 -0000", "Wed, 21 Oct 2015 07:28:00"])
def test_clock(value: str) -> None:
    """
    The service's clock is an aware time, also where it names no zone.
    """
    assert dt.datetime(2015, 10, 21, 7, 28, tzinfo=dt.UTC) == clock_of({"date": value})


@given(st.text(max_size=40))
def test_any_text_is_a_date_or_none(text: str) -> None:
    """
    No header makes an exception.
    """
    headers = {"Date": text, "Retry-After": text}

    assert (clock_of(headers) is None) or (retry_after(headers) is not None)
