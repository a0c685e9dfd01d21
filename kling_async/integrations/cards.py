"""
Cards for notebooks: small pieces of HTML, built from text.

They include their style and set no colour of text or background, so that they suit light and dark pages. All text is
escaped, and only harmless addresses become pictures, players and links.
"""

import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import attrs

from kling_async.wire.redaction import shorten

__all__ = ["Figure", "Tone", "bar", "card", "row_of", "table"]

_TEXT: Final = 300  # characters
_WIDTH: Final = 240  # of a file, in pixels
_BAR: Final = 400
_EMBEDDED: Final = re.compile(
    r"data:(image|video|audio)/(?:webp|png|jpeg|mp4|webm|mpeg|wav|ogg|aac);base64,[A-Za-z0-9+/]+={0,2}"
)

_CARD: Final = (
    "display:inline-block;box-sizing:border-box;vertical-align:top;margin:0 8px 8px 0;padding:10px 12px;"
    "border:1px solid rgba(128,128,128,.4);border-radius:8px;font-family:system-ui,sans-serif;font-size:13px;"
    "line-height:1.45;overflow-wrap:anywhere"
)
_QUIET: Final = "opacity:.75;font-size:12px"
_STRIP: Final = (
    f"width:{_BAR}px;max-width:100%;height:8px;line-height:0;white-space:nowrap;margin:6px 0;border-radius:4px;"
    "overflow:hidden;background-color:rgba(128,128,128,.25)"
)
_SHOWN: Final = f"display:block;max-width:100%;max-height:{_WIDTH}px;margin:6px 0 0;border-radius:4px"
_LINK: Final = (
    "display:block;margin:6px 0 0;padding:18px 12px;border:1px solid rgba(128,128,128,.4);border-radius:4px;"
    "text-align:center;text-decoration:none"
)
_NO_ADDRESS: Final = f'<div style="{_QUIET}">a file whose address is not an http(s) URL</div>'
_NOUNS: Final = {"video": "video", "audio": "sound"}
_NUMBERS: Final = "font-variant-numeric:tabular-nums"


class Tone(enum.StrEnum):
    """
    Colours of marks and bars, visible on light and dark backgrounds; a text always says the same.
    """

    WELL = "#2f9e5f"
    BADLY = "#d9483b"
    WORKING = "#3d83d9"
    IDLE = "#8a8a8a"


@attrs.frozen
class Figure:
    """
    A file to show. No part of its address is shown as text.

    Attributes:
        src: An http(s) URL, or the file itself as a `data:` URL; empty if there is only *local*.
        alt: What it shows.
        caption: Below it; empty for none.
        kind: "image", "video" or "audio".
        local: Where the notebook's page finds a saved video or sound: a relative URL, as from `urllib.parse.quote`.
        poster: A picture of a video, as a `data:` URL.
    """

    src: str
    alt: str
    caption: str = ""
    kind: str = "image"
    local: str = ""
    poster: str = ""


def card(
    title: str = "",
    *,
    mark: str = "",
    tone: Tone = Tone.IDLE,
    text: str = "",
    facts: Iterable[str] = (),
    note: str = "",
    figures: Sequence[Figure] = (),
    body: str = "",
) -> str:
    """
    Draw one value.

    Args:
        mark: The state in a word, after a dot in the colour *tone*.
        text: Below the title.
        facts: Small, in one line; empty ones are left out.
        note: Small, at the end.
        body: HTML from these functions.
    """
    columns = min(len(figures), 4) or 2
    parts = [f'<div style="font-weight:600">{_text(title)}</div>'] if title else []
    if mark:
        parts.append(f'<div><span style="color:{tone}">&#9679;</span> {_text(mark)}</div>')
    if text:
        parts.append(f"<div>{_text(text, 2 * _TEXT)}</div>")
    if line := " &#183; ".join(_text(fact) for fact in facts if fact):
        parts.append(f'<div style="{_QUIET};{_NUMBERS}">{line}</div>')
    parts.append(body)
    if figures:
        parts.append(f'<div style="display:flex;flex-wrap:wrap;gap:8px">{"".join(map(_figure, figures))}</div>')
    if note:
        parts.append(f'<div style="{_QUIET}">{_text(note, 2 * _TEXT)}</div>')
    return f'<div style="{_CARD};max-width:min(100%,{columns * (_WIDTH + 8) + 18}px)">{"".join(parts)}</div>'


def row_of(cards: Iterable[str]) -> str:
    """
    Put *cards* side by side if there is room.
    """
    return f"<div>{''.join(cards)}</div>"


def table(rows: Mapping[str, object]) -> str:
    """
    Draw names and their numbers.
    """
    name, number = "text-align:left;padding:1px 16px 1px 0", f"text-align:right;padding:1px 0;{_NUMBERS}"
    lines = (
        f'<tr style="background:none"><td style="{name}">{_text(key)}</td>'
        f'<td style="{number}">{_text(str(value))}</td></tr>'
        for key, value in rows.items()
    )
    return f'<table style="border:none;border-collapse:collapse;margin:4px 0 0;font-size:13px">{"".join(lines)}</table>'


def bar(parts: Iterable[tuple[int, Tone]], total: int) -> str:
    """
    Draw a progress bar: each part of *total* in its colour; the rest is empty.
    """
    pieces = (
        f'<span style="display:inline-block;height:8px;vertical-align:top;width:{100 * count / max(total, 1):.2f}%;'
        f'background-color:{tone}"></span>'
        for count, tone in parts
        if count
    )
    return f'<div style="{_STRIP}">{"".join(pieces)}</div>'


def _text(text: str, limit: int = _TEXT) -> str:
    return _escaped(shorten(text, limit))


def _escaped(text: str) -> str:
    import html  # noqa: PLC0415 (it loads a table of 2,200 names, which only drawing needs)

    return html.escape(text)


def _figure(figure: Figure) -> str:
    shown = _picture(figure) if figure.kind == "image" else _player(figure)
    caption = f'<div style="{_QUIET}">{_text(figure.caption)}</div>' if figure.caption else ""
    return f'<div style="max-width:{_WIDTH}px">{shown or _NO_ADDRESS}{caption}</div>'


def _picture(figure: Figure) -> str:
    alt, src = _text(figure.alt), _escaped(figure.src)
    image = f'<img src="{src}" alt="{alt}" title="{alt}" loading="lazy" referrerpolicy="no-referrer" style="{_SHOWN}">'
    if _is_linkable(figure.src):
        return f'<a href="{src}" target="_blank" rel="noopener noreferrer">{image}</a>'
    return image if _is_embedded(figure.src, "image") else ""


def _player(figure: Figure) -> str:
    # A URL alone is a link: with a player, its host would see which page plays it.
    alt = _text(figure.alt)
    is_linkable = _is_linkable(figure.src)
    if _is_embedded(figure.src, figure.kind):
        sources, preload = [figure.src], "metadata"
    elif _is_relative(figure.local):
        sources, preload = [figure.local, *([figure.src] if is_linkable else [])], "none"
    elif is_linkable:
        return (
            f'<a href="{_escaped(figure.src)}" title="{alt}" target="_blank" rel="noopener noreferrer" '
            f'style="{_LINK}"><span aria-hidden="true">&#9654;</span> Open the {_NOUNS[figure.kind]}</a>'
        )
    else:
        return ""
    poster = f' poster="{figure.poster}"' if _is_embedded(figure.poster, "image") else ""
    inner = "".join(f'<source src="{_escaped(url)}">' for url in sources)
    return (
        f'<{figure.kind} controls preload="{preload}"{poster} title="{alt}" aria-label="{alt}" style="{_SHOWN}">'
        f"{inner}</{figure.kind}>"
    )


def _is_embedded(url: str, kind: str) -> bool:
    found = _EMBEDDED.fullmatch(url)
    return found is not None and found[1] == kind


def _is_relative(url: str) -> bool:
    return bool(url) and ":" not in url and not url.startswith(("/", "\\"))


def _is_linkable(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)
