"""
HTML of values in notebooks: `_repr_html_` methods call this, and a module of `integrations` registers how to draw.
"""

import functools
import importlib
from typing import Final

__all__ = ["draw", "html_of"]

_DRAWINGS: Final = "kling_async.integrations.value_cards"
"""
Registers the drawings. It is known by its name only: it needs what it draws, and only notebooks need it.
"""


def html_of(value: object) -> str:
    """
    Return *value* as HTML for a notebook.
    """
    importlib.import_module(_DRAWINGS)
    return draw(value)


@functools.singledispatch
def draw(value: object) -> str:
    """
    Draw *value*; `draw.register` adds how values of a class are drawn. Without that, it is the repr.
    """
    import html  # noqa: PLC0415 (it loads a table of 2,200 names, which only drawing needs)

    return f"<pre>{html.escape(repr(value))}</pre>"
