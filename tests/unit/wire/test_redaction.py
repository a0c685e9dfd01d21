"""
What may be shown of a text that came from outside.
"""

import pytest
from hypothesis import assume, given, strategies as st

from kling_async.wire.redaction import hide_query, hide_secrets, one_line, shorten


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://cdn.klingai.com/a.png", "https://cdn.klingai.com/a.png"),
        ("https://cdn.klingai.com/a.png?Expires=1&Signature=c2Vj", "https://cdn.klingai.com/a.png?…"),
        ("https://user:pass@cdn.klingai.com:8443/a.png#part", "https://cdn.klingai.com:8443/a.png"),
        ("https://[broken", "…"),
        ("https://cdn.klingai.com/a\x1b[31m.png\n?x=1", "https://cdn.klingai.com/a�[31m.png?…"),
        ("data:image/png;base64,iVBORw0KGgo", "data:image/png;base64,…"),
        ("DATA:text/html\nERROR,x", "DATA:text/html ERROR,…"),
        ("iVBORw0K" * 40, "…"),
        ("https://user:" + "secret" * 10_000 + "@cdn.klingai.com/a", "…"),
        ("plain text", "plain text"),
        ("", ""),
    ],
)
def test_query_is_hidden(url: str, shown: str) -> None:
    """
    Host and path help to find a fault; user, query and fragment may sign.
    """
    assert shown == hide_query(url)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("prompt is too long", "prompt is too long"),
        ("Authorization: Bearer abc.def-ghi refused", "Authorization: … refused"),
        ("BEARER Bearer 00000000000000000000 refused", "… refused"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJhayJ9.c2ln ended", "token … ended"),
        ("key sk-9fK2aB7xQe1234567890 unknown", "key … unknown"),
        ("无效的令牌 sk-9fK2*****7xQe (request id: 2026)", "无效的令牌 … (request id: 2026)"),
        ('Post "https://api.klingai.com/v1?ak=1": timeout', 'Post "https://api.klingai.com/v1?…": timeout'),
        ("see HTTPS://x/y?a=1 and http://u:p@z/w", "see https://x/y?… and http://z/w"),
        ("no sftp://me:secret@host/a?b=c#d here", "no sftp://host/a?… here"),
        ("exceeded with url: /v1/x?op=CREATE&delegation=SECRET (x)", "exceeded with url: /v1/x?… (x)"),
        ("to https://h/p.png?name='x'&Signature=SECRET", "to https://h/p.png?…"),
        ("(see 'https://h/p?a=1', https://h/q?b=2).", "(see 'https://h/p?…', https://h/q?…)."),
        ("really? a=b, or is 1 == 2?", "really? a=b, or is 1 == 2?"),
        (f"image {'QUJD' * 100}== is broken", "image … is broken"),
        ("task-sketch", "task-sketch"),
    ],
)
def test_secrets_are_hidden(text: str, shown: str) -> None:
    """
    Keys, tokens, queries and pictures' bytes become an ellipsis; all else stays.
    """
    assert shown == hide_secrets(text)


def test_long_text_is_cut() -> None:
    """
    A page of HTML does not fill the log.
    """
    assert 500 == len(hide_secrets("word " * 10_000))
    assert 20 == len(hide_secrets("word " * 10_000, limit=20))


@given(st.text(max_size=300), st.text("abcdefghij0123456789", min_size=20, max_size=40), st.text(max_size=300))
def test_key_never_survives(before: str, key: str, after: str) -> None:
    """
    Wherever a key stands as a word of its own, it is hidden.
    """
    assume(key not in before + after)

    assert key not in hide_secrets(f"{before} sk-{key} {after}")
    assert key not in hide_secrets(f"{before} Bearer {key} {after}")
    assert key not in hide_secrets(f"{before} https://x/y?z={key} {after}")


@pytest.mark.parametrize(
    "url", ["https://h/" + "word-" * 10**5, "data:" + "a" * 10**6, "data:," + "a" * 10**6, "/" + "a-" * 10**6]
)
def test_long_url_is_cut(url: str) -> None:
    """
    Of megabytes in place of a URL some hundred characters are shown.
    """
    assert len(hide_query(url)) <= 300


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("一张狐狸的图片 é 🦊 ok", "一张狐狸的图片 é 🦊 ok"),
        ("a\r\n\tb\x0b\x0c\x85\u2028c", "a   b    c"),
        ("a\x1b[31mb\0\x7f\u202e\u200b\ufeff\ud800", "a�[31mb������"),
        ("", ""),
    ],
)
def test_one_line(text: str, shown: str) -> None:
    """
    Words of any language stay; breaks become blanks, and what would change screen or reading direction is shown.
    """
    assert shown == one_line(text)
    assert shown == hide_secrets(text)


@given(st.text())
def test_shown_text_is_printable(text: str) -> None:
    """
    Whatever comes, what is shown is one line that any terminal can write.
    """
    for shown in (hide_secrets(text), hide_query(text), one_line(text)):
        assert shown.isprintable()
        assert shown == shown.encode().decode()


@given(st.text())
def test_hiding_twice_changes_nothing(text: str) -> None:
    """
    What is fit to be shown stays as it is, so that a stored reason reads the same for ever.
    """
    shown = hide_secrets(text)

    assert shown == hide_secrets(shown)


@pytest.mark.parametrize(("text", "limit", "short"), [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("", 3, "")])
def test_shorten(text: str, limit: int, short: str) -> None:
    """
    The cut is shown, and counts.
    """
    assert short == shorten(text, limit)
