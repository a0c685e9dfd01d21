"""
Recognizes answers that no Kling API gives, because `base_url` is wrong.

Only known shapes are recognized. A 404 with JSON of an unknown shape may mean that a gateway does not know the task,
and a broken body may be a good answer that was cut off.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import attrs

from kling_async.wire.headers import find_header

__all__ = ["NO_ROUTE", "NoRoute", "is_page", "name_of_no_route", "name_of_text"]

LONGEST: Final = 2000
"""
Number of characters of a field that are compared.
"""

NO_ROUTE_STATUSES: Final = (404, 405)
"""
HTTP statuses with which web frameworks report that a path, or a method of it, does not exist.
"""


@attrs.frozen(kw_only=True)
class NoRoute:
    """
    How a web framework reports in JSON that it has no such route.

    Attributes:
        framework: Its name.
        words: Patterns by the names of fields; each must match the whole value.
        needs: Fields that must be present, with any value.
        may: Fields of `words` that may be absent.
        is_all: Whether no other fields are allowed.
    """

    framework: str
    words: Mapping[str, str]
    needs: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()
    is_all: bool = False

    def fits(self, payload: Mapping[str, Any]) -> bool:
        """
        Return whether *payload* has this shape.
        """
        if not self.needs <= payload.keys() or (self.is_all and payload.keys() - self.needs - self.words.keys()):
            return False
        return all(
            (name in self.may and payload.get(name) is None)
            or (
                isinstance(text := payload.get(name), str)
                and re.fullmatch(words, text[:LONGEST], re.DOTALL) is not None
            )
            for name, words in self.words.items()
        )


_NO_METHOD: Final = "Not Found|Method Not Allowed"

NO_ROUTE: Final = (
    NoRoute(framework="FastAPI or Starlette", words={"detail": _NO_METHOD}, is_all=True),
    # The vendor itself answers like this for an unknown path.
    NoRoute(
        framework="Spring",
        words={
            "error": _NO_METHOD,
            "message": "|Not Found|No message available|No (?:static resource|handler found|endpoint) .*|"
            "Request method '[A-Z]+' (?:is )?not supported",
        },
        needs=frozenset({"timestamp", "status", "path"}),
        may=frozenset({"message"}),
    ),
    NoRoute(
        framework="Spring or ASP.NET",  # problem details, RFC 9457
        words={
            "title": _NO_METHOD,
            "detail": "No (?:static resource|endpoint) .*|Method '[A-Z]+' is not supported.*|No route found for .*",
        },
        needs=frozenset({"type", "status"}),
        may=frozenset({"detail"}),
    ),
    NoRoute(framework="Symfony", words={"detail": "No route found for .*"}, needs=frozenset({"type", "status"})),
    NoRoute(
        framework="NestJS", words={"message": "Cannot (?:GET|POST) /.*", "error": "Not Found"}, may=frozenset({"error"})
    ),
    NoRoute(framework="Fastify", words={"message": "Route (?:GET|POST):/.* not found", "error": "Not Found"}),
    NoRoute(framework="Echo or Amazon API Gateway", words={"message": _NO_METHOD}, is_all=True),
    NoRoute(framework="Micronaut", words={"message": "Not Found"}, needs=frozenset({"_links"})),
    NoRoute(framework="Kong", words={"message": "no Route matched with those values"}),
    NoRoute(framework="APISIX", words={"error_msg": "404 Route Not Found"}),
    NoRoute(framework="gRPC-Gateway", words={"message": _NO_METHOD}, needs=frozenset({"code", "details"})),
    NoRoute(framework="Flask", words={"message": r"The requested URL was not found on the server\..*"}),
    NoRoute(framework="Flask", words={"error": r"(?:404 Not Found: )?The requested URL was not found .*"}),
    NoRoute(framework="Flask", words={"description": r"The requested URL was not found on the server\..*"}),
    NoRoute(framework="Sanic", words={"message": "Requested URL /.* not found"}),
    NoRoute(framework="Laravel", words={"message": r"The route .* could not be found\."}),
    NoRoute(
        framework="Laravel",
        words={"message": "|Not Found", "exception": r".*\\NotFoundHttpException"},
    ),
    NoRoute(framework="Rails", words={"error": "Not Found"}, needs=frozenset({"status"}), is_all=True),
    NoRoute(framework="Rails", words={"exception": ".*RoutingError.*No route matches.*"}),
    NoRoute(framework="Go", words={"error": "404 page not found"}, is_all=True),
)
"""
Django REST's `{"detail": "Not found."}` is left out: it means a missing object. Its missing routes are web pages.
"""

NO_ROUTE_IN_ERROR: Final = (
    NoRoute(framework="a relay or OpenAI", words={"message": r"Invalid URL \([A-Z]+ /.*"}),
    NoRoute(framework="vLLM", words={"message": _NO_METHOD, "type": "NotFoundError"}),
    NoRoute(framework="one-hub", words={"message": r"Not Found", "type": "one_hub_error"}),
)
"""
The same for the fields of an object called `error`.
"""

_NO_ROUTE_IN_TEXT: Final = re.compile(
    r"(?:404[ :]+)?(?:page )?not found\.?|no such (?:route|page)|cannot (?:get|post) /\S*|not_found|"
    r"the page could not be found.*|not found - request id.*|method not allowed|404",
    re.IGNORECASE | re.DOTALL,
)
"""
Of Go, Gin, Traefik and Koa, Express and Fiber, Elysia, Vercel, Netlify, aiohttp and Hono.
"""


def name_of_no_route(status: int, payload: Mapping[str, Any]) -> str | None:
    """
    Return the web framework that reports in *payload* that it has no such route; None for any other payload.
    """
    error = payload.get("error")
    inner = error if isinstance(error, Mapping) else {}
    if status not in NO_ROUTE_STATUSES:
        return None
    shapes = [(shape, payload) for shape in NO_ROUTE] + [(shape, inner) for shape in NO_ROUTE_IN_ERROR]
    return next((shape.framework for shape, said in shapes if shape.fits(said)), None)


def is_page(headers: Mapping[str, str], body: bytes) -> bool:
    """
    Return whether an answer that is not JSON is a web page, or XML as storages send it. The content type by itself
    proves nothing, since some relays send JSON as "text/html", and it may be cut off.
    """
    start = body[:LONGEST].lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    return start == b"<" or (start not in (b"", b"{", b"[") and "html" in find_header(headers, "Content-Type"))


def name_of_text(status: int, headers: Mapping[str, str], body: bytes) -> str | None:
    """
    Describe an answer that is not JSON; return None for one that may be a good answer, cut off or garbled.
    """
    if is_page(headers, body):
        return "a web page"
    text = body[:500].decode(errors="replace").strip()
    is_no_route = status in NO_ROUTE_STATUSES and _NO_ROUTE_IN_TEXT.fullmatch(text) is not None
    return "a web server's message for an unknown path" if is_no_route else None
