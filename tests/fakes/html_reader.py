"""
Reads HTML as a browser does, and fails where elements do not close.
"""

import html.parser
from typing import Final

HOSTILE: Final = "</div><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


class Reader(html.parser.HTMLParser):
    """
    Reads what a browser would: elements, which must close in order, with their attributes; and the text.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert [] == self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("img", "source"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self._open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]
