"""
Pieces of HTML: whatever is put in, it stays text.
"""

import pytest
from hypothesis import given, strategies as st

from kling_async.integrations.cards import Figure, Tone, bar, card, row_of, table
from tests.fakes.html_reader import HOSTILE, Reader


def shape_of(page: str) -> list[str]:
    return [tag for tag, _ in Reader(page).elements]


@given(st.text())
def test_text_stays_text(text: str) -> None:
    """
    Nothing that comes from outside makes an element, leaves an attribute or runs.
    """
    figure = Figure("https://cdn/a.png", text or "x", text or "x")
    plain = attrs_of("x", Figure("https://cdn/a.png", "x", "x"))

    assert plain == attrs_of(text or "x", figure)


def attrs_of(text: str, figure: Figure) -> list[tuple[str, frozenset[str]]]:
    drawn = card(text, mark=text, text=text, facts=[text], note=text, figures=[figure], body=table({text: text}))
    return [(tag, frozenset(attributes)) for tag, attributes in Reader(drawn).elements]


def test_hostile_prompt_is_shown() -> None:
    """
    As it is, and not as it would like to be.
    """
    page = Reader(card(HOSTILE, figures=[Figure("https://cdn/a.png", HOSTILE)]))

    assert HOSTILE in page.text
    assert [HOSTILE] == [image["alt"] for image in page.all("img")]
    assert [] == page.all("script")


def test_long_text_is_cut() -> None:
    """
    A prompt of 2,500 characters does not fill the page, nor do a hundred facts' worth of error.
    """
    page = card("word " * 500, text="word " * 500, note="word " * 500, figures=[Figure("https://cdn/a", "word " * 500)])

    assert 4_000 > len(page)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "java\nscript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "data:image/svg+xml;base64,PHN2Zz4=",
        'data:image/png;base64,AAAA" onerror="alert(1)',
        "file:///etc/passwd",
        "ftp://cdn/a.png?Signature=secret",
        "//cdn/a.png",
        "https://[broken",
        "https:",
        "pictures/a.png",
        "",
    ],
)
def test_only_harmless_addresses_become_pictures(url: str) -> None:
    """
    Anything but http(s) and a picture's own bytes is said to be left out, and not repeated.
    """
    page = Reader(card(figures=[Figure(url, "a fox")]))

    assert [] == page.all("img") + page.all("a")
    assert "a file whose address is not an http(s) URL" in page.text
    assert "secret" not in page.text


def test_picture_is_linked_and_its_address_is_not_text() -> None:
    """
    It opens large in a tab of its own; the query, which may sign, is where the browser needs it alone.
    """
    url = "https://cdn/a.png?Expires=1&Signature=secret"
    page = Reader(card("a fox", figures=[Figure(url, "a fox", "fox.png")]))

    assert [(url, "lazy", "no-referrer")] == [
        (image["src"], image["loading"], image["referrerpolicy"]) for image in page.all("img")
    ]
    assert [(url, "noopener noreferrer")] == [(link["href"], link["rel"]) for link in page.all("a")]
    assert "secret" not in page.text


@pytest.mark.parametrize("kind", ["video", "audio"])
@pytest.mark.parametrize(
    "local", ["javascript:alert(1)", "/etc/passwd", "//cdn/a.mp4", "\\\\host\\a.mp4", "file:///a.mp4", "C:/a.mp4"]
)
def test_only_files_near_the_page_are_played(kind: str, local: str) -> None:
    """
    Any other address of a file is left out, as is a hostile one of a service.
    """
    page = Reader(card(figures=[Figure("javascript:alert(1)", "a fox", kind=kind, local=local)]))
    linked = Reader(card(figures=[Figure("https://cdn/a", "a fox", kind=kind, local=local)]))

    assert [] == page.all("source") + page.all("a") + page.all(kind)
    assert ([], 1) == (linked.all("source"), len(linked.all("a")))


def test_embedded_video_is_played() -> None:
    """
    With its poster; a sound's content is no video, and only a picture is a poster.
    """
    video, sound, poster = "data:video/mp4;base64,AAAA", "data:audio/mpeg;base64,AAAA", "data:image/webp;base64,AAAA"
    page = Reader(card(figures=[Figure(video, "a fox", kind="video", poster=poster)]))
    odd = Reader(
        card(figures=[Figure(sound, "a fox", kind="video"), Figure(video, "a fox", kind="video", poster=sound)])
    )

    assert [(poster, "metadata")] == [(each["poster"], each["preload"]) for each in page.all("video")]
    assert [video] == [each["src"] for each in page.all("source")]
    assert [False] == ["poster" in each for each in odd.all("video")]


def test_hostile_address_stays_an_address() -> None:
    """
    What it holds of HTML is a part of it.
    """
    url = f"https://cdn/{HOSTILE}"
    page = Reader(card(figures=[Figure(url, "a fox")]))

    assert [url] == [image["src"] for image in page.all("img")]
    assert [] == page.all("script")


def test_embedded_picture_is_shown() -> None:
    """
    A picture's own bytes are shown, and lead nowhere.
    """
    page = Reader(card(figures=[Figure("data:image/webp;base64,UklGRg==", "a fox")]))

    assert (1, 0) == (len(page.all("img")), len(page.all("a")))


def test_style_suits_light_and_dark() -> None:
    """
    No text and no ground has a colour of its own, but for marks; and nothing depends on a style sheet or a script.
    """
    page = Reader(
        card("a fox", mark="failed", tone=Tone.BADLY, text="no", facts=["1"], note="so", body=table({"a": 1}))
    )
    colours = [style for _, attributes in page.elements if "color:" in (style := str(attributes.get("style")))]

    assert [f"color:{Tone.BADLY}"] == colours
    assert [] == [attributes for _, attributes in page.elements if "class" in attributes]


def test_bar_is_as_wide_as_its_parts() -> None:
    """
    Each part in its colour; the rest is empty, and of nothing there is nothing.
    """
    page = Reader(bar([(1, Tone.WELL), (0, Tone.BADLY), (2, Tone.WORKING)], 4))

    assert [True, True] == [
        f"width:{width}" in str(span["style"]) and tone in str(span["style"])
        for span, width, tone in zip(page.all("span"), ("25.00%", "50.00%"), (Tone.WELL, Tone.WORKING), strict=True)
    ]
    assert [] == Reader(bar([(0, Tone.WELL)], 0)).all("span")


def test_cards_stand_side_by_side() -> None:
    """
    In one piece, in their order.
    """
    page = Reader(row_of([card("one"), card("two")]))

    assert "onetwo" == page.text
