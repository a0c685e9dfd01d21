"""
HTML of values in notebooks: `_repr_html_` methods call this, and `integrations` registers the functions that draw.
"""

import functools
from collections.abc import Callable

__all__ = ["draw", "html_of", "load_drawings_with"]

_loaders: list[Callable[[], object]] = []


def html_of(value: object) -> str:
    """
    Return *value* as HTML for a notebook.
    """
    while _loaders:
        _loaders.pop()()
    return draw(value)


@functools.singledispatch
def draw(value: object) -> str:
    """
    Draw *value*; `draw.register` adds how values of a class are drawn. Without that, it is the repr.
    """
    import html  # noqa: PLC0415 (it loads a table of 2,200 names, which only drawing needs)

    return f"<pre>{html.escape(repr(value))}</pre>"


def load_drawings_with(load: Callable[[], object]) -> None:
    """
    Call *load* before the first value is drawn, so that programs without notebooks never load the drawing code.
    """
    _loaders.append(load)
