"""
Redacts text that came from outside: removes keys, tokens, queries of URLs and the bytes of pictures.

Strangers can send such a text, so each pattern takes time in proportion to its length: a pattern that fails somewhere
in a run of characters is not tried again at each later character of that run.
"""

import re
from urllib.parse import urlsplit, urlunsplit

_END = r"""(?=["'<>)\]}]{0,4}[.,:;]{0,2}(?:\s|$))"""  # of a query: quotes and brackets may be in it, and after it
_URL = re.compile(rf"""[a-z][a-z0-9+.-]{{0,20}}://[^\s"'<>?]+(?:\?\S*?{_END})?""", re.IGNORECASE)
_QUERY = re.compile(rf"(?<=\S)\?[^\s?=]+=\S*?{_END}")  # of a URL without its host, as some libraries show it
_BEARER = re.compile(r"(?i)\b(?:bearer\s+)+[\w.~+/=-]+")
_TOKEN = re.compile(r"\beyJ[\w-]++(\.[\w-]*+){0,2}")  # a JWT: Base64 of '{"', and dots; without a dot it is no token
_KEY = re.compile(r"\bsk-[\w*-]{4,}")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{200,}={0,2}")


URL_LENGTH = 300
"""
Characters of a URL that are shown; without its query even a long one is shorter.
"""
_URL_LENGTH_READ = 8000


def hide_query(url: str) -> str:
    """
    Return *url* for an error or a log: without what may sign it (user, password, query and fragment) and without a
    picture's bytes, on one line, and at most `URL_LENGTH` characters.
    """
    if url[:5].lower() == "data:":  # the picture itself
        return shorten(one_line(url[:URL_LENGTH].partition(",")[0]), 60) + ",…"
    try:
        parts = urlsplit(url[:_URL_LENGTH_READ])
    except ValueError:
        return "…"
    if len(url) > _URL_LENGTH_READ and not parts.path:  # what seems to be a host may be a password
        return "…"
    host = parts.netloc.rpartition("@")[2]
    shown = urlunsplit((parts.scheme, host, _BASE64.sub("…", parts.path), "…" if parts.query else "", ""))
    return shorten(one_line(shown), URL_LENGTH)


def hide_secrets(text: str, *, limit: int = 500) -> str:
    """
    Return *text* for an error or a log: on one line, secrets replaced by `…`, at most *limit* characters.
    """
    text = _BASE64.sub("…", one_line(text[: 20 * limit]))
    text = _URL.sub(lambda url: hide_query(url.group()), text)
    text = _QUERY.sub("?…", text)
    text = _BEARER.sub("…", text)
    text = _TOKEN.sub(lambda run: "…" if run[1] is not None else run[0], text)
    text = _KEY.sub("…", text)
    return shorten(text, limit)


def one_line(text: str) -> str:
    """
    Return *text* with a blank for each line break or other white space, and `�` for each character that a terminal or a
    log would not show as itself, such as an escape or a change of the reading direction.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else " " if each.isspace() else "�" for each in text)


def shorten(text: str, limit: int = 60) -> str:
    """
    Return *text* cut to *limit* characters; `…` marks the cut.
    """
    return text if len(text) <= limit else text[: limit - 1] + "…"


def shown_text(text: object) -> str:
    """
    Return the repr of a prompt: shortened.
    """
    return repr(shorten(text)) if isinstance(text, str) else repr(text)


def shown_url(url: object) -> str:
    """
    Return the repr of a URL: without its query.
    """
    return repr(hide_query(url)) if isinstance(url, str) else repr(url)
