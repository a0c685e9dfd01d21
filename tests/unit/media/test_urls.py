"""
What a service may put into the field `url`.
"""

import base64
import time
import tracemalloc
from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import given, strategies as st

from kling_async.media.urls import absolute, content_in

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 1000
MIB = 2**20


def outcome(text: str, max_bytes: int) -> bytes | str:
    try:
        return content_in(text, max_bytes) or ""
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://cdn.example/a?b#c", "https://cdn.example/a?b#c"),
        ("HTTP://cdn.example/a", "HTTP://cdn.example/a"),
        ("ftp://cdn.example/a", "ftp://cdn.example/a"),
        ("data:image/png;base64,AAAA", "data:image/png;base64,AAAA"),
        ("/a%2Fb?sig=x%2By#z", "https://relay.example:8443/a%2Fb?sig=x%2By#z"),
        ("//cdn.example/a", "https://cdn.example/a"),
        ("a.png", "https://relay.example:8443/kling/a.png"),
        ("../../../a.png", "https://relay.example:8443/a.png"),
        ("?id=7", "https://relay.example:8443/kling/?id=7"),
        ("//[x", "//[x"),
        (base64.b64encode(PNG).decode(), base64.b64encode(PNG).decode()),
    ],
)
def test_absolute(url: str, asked: str) -> None:
    """
    An address without a scheme or a host is meant relative to the service, and nothing else is changed.
    """
    assert asked == absolute(url, "https://relay.example:8443/kling")
    assert url == absolute(url, None)


@pytest.mark.parametrize("blanks", [" ", "\n", "\r\n\t "])
def test_spaces_around_a_url(blanks: str) -> None:
    """
    They are dropped, as browsers drop them, so that the request does not contain them.
    """
    for base_url in (None, "https://relay.example/kling"):
        assert absolute(f"{blanks}https://cdn.example/a.png?b{blanks}", base_url) == "https://cdn.example/a.png?b"
    assert absolute(f"{blanks}/a.png{blanks}", "https://relay.example/kling") == "https://relay.example/a.png"


def test_path_that_looks_like_base64() -> None:
    """
    A short path of letters is an address, though a JPEG in Base64 begins with a slash as well.
    """
    assert "https://h/9j/4AAQSkZJRgABAQ" == absolute("/9j/4AAQSkZJRgABAQ", "https://h")
    assert content_in("/9j/4AAQSkZJRgABAQ", MIB) is None


@given(st.binary(max_size=300), st.integers(0, 200_000))
def test_quoted_in_any_place(content: bytes, before: int) -> None:
    """
    However many characters stand before what is quoted, it comes back whole.
    """
    content = b"a" * (before % 70_000) + content

    assert content == content_in("data:," + quote_from_bytes(content), MIB)
    assert content == content_in("data:;base64," + quote(base64.b64encode(content), safe=""), MIB)


@given(st.text() | st.text("dataDATA:;,base64/=+%9j \n").map(lambda text: "data:" + text))
def test_anything_else(text: str) -> None:
    """
    Whatever comes is an address, a content or no good; nothing else happens.
    """
    assert len(outcome(text, 1000)) <= 1000
    assert isinstance(absolute(text, "https://relay.example/kling"), str)


@pytest.mark.parametrize(
    "text",
    [
        "data:," + "%41" * (MIB // 3),
        "data:;base64," + "%41" * (MIB // 3),
        "data:;base64," + "A" * MIB,
        "data:;base64," + "A\n" * (MIB // 2),
        "data:;base64," + "=" * MIB,
        "iVBORw0KGgoAAAAN" + "A" * MIB + "!",
        "iVBORw0KGgoAAAAN" + "%" * MIB,
        "\n" * MIB,
    ],
    ids=range(8),
)
def test_megabytes(text: str) -> None:
    """
    Each MiB takes less than a second of CPU, and all of it few times its own size in memory.
    """
    began = time.process_time()
    outcome(text, 100 * MIB)
    assert time.process_time() - began < 1.0

    tracemalloc.start()
    try:
        outcome(text, 100 * MIB)
        assert tracemalloc.get_traced_memory()[1] < 12.5 * MIB
    finally:
        tracemalloc.stop()
