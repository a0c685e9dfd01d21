"""
What may be shown of a text that came from outside: no key, no token, no query of a URL, no picture's bytes.
"""

import re
from urllib.parse import urlsplit, urlunsplit

_END = r"""(?=["'<>)\]}]{0,4}[.,:;]{0,2}(?:\s|$))"""  # of a query: quotes and brackets may be in it, and after it
_URL = re.compile(rf"""[a-z][a-z0-9+.-]{{0,20}}://[^\s"'<>?]+(?:\?\S*?{_END})?""", re.IGNORECASE)
_QUERY = re.compile(rf"(?<=\S)\?[^\s?=]+=\S*?{_END}")  # of a URL without its host, as some libraries show it
_BEARER = re.compile(r"(?i)\b(?:bearer\s+)+[\w.~+/=-]+")
_TOKEN = re.compile(r"\beyJ[\w-]+(?:\.[\w-]*){1,2}")  # a JWT: Base64 of '{"', and dots
_KEY = re.compile(r"\bsk-[\w*-]{4,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{200,}={0,2}")


def hide_query(url: str) -> str:
    """
    Return *url* without what may sign it: user, password, query and fragment.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return "…"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "…" if parts.query else "", ""))


def hide_secrets(text: str, *, limit: int = 500) -> str:
    """
    Return *text* fit for an error or a log: secrets replaced by `…`, at most *limit* characters.
    """
    text = _BASE64.sub("…", text[: 20 * limit])
    text = _URL.sub(lambda url: hide_query(url.group()), text)
    text = _QUERY.sub("?…", text)
    for secret in (_BEARER, _TOKEN, _KEY):
        text = secret.sub("…", text)
    return shorten(text, limit)


def shorten(text: str, limit: int = 60) -> str:
    """
    Return *text* cut to *limit* characters, the cut shown by `…`.
    """
    return text if len(text) <= limit else text[: limit - 1] + "…"
