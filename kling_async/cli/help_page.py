"""
The help of all commands, as typer draws it, in less CPU: typer would also load what draws Markdown and tracebacks.
"""

from collections.abc import Mapping
from typing import Any

from rich.columns import Columns
from rich.console import Console
from rich.highlighter import RegexHighlighter
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.theme import Theme

__all__ = ["print_help"]


class _OptionHighlighter(RegexHighlighter):
    highlights = (r"(?<![\w-])(?P<option>--[\w-]+)", r"(?<![\w-])(?P<switch>-\w+)", r"(?P<usage>Usage: )")


_THEME = Theme({"option": "bold cyan", "switch": "bold green", "usage": "yellow"})

_NO_TYPE = ("", "", "")
"""
The columns that typer has for the names of negative flags, and for types.
"""


def print_help(context: Any, panels: Mapping[str, Mapping[str, str]]) -> None:
    """
    Print the help of a group whose options are flags; *panels* are the summaries of its commands by their names.
    """
    group, highlighted = context.command, _OptionHighlighter()
    console = Console(theme=_THEME, highlighter=highlighted)
    console.print(Padding(highlighted(group.get_usage(context)), 1), style="bold")
    console.print(Padding(highlighted(group.help), (0, 1, 1, 1)))
    options = _table()
    for option in group.get_params(context):
        long = ",".join(name for name in option.opts if name.startswith("--"))
        short = ",".join(name for name in option.opts if not name.startswith("--"))
        options.add_row(highlighted(long), highlighted(short), *_NO_TYPE, Columns([highlighted(option.help)]))
    console.print(_panel("Options", options))
    width = max(len(name) for summaries in panels.values() for name in summaries)
    for title, summaries in panels.items():
        commands = _table()
        commands.add_column(style="bold cyan", no_wrap=True, width=width)
        commands.add_column(ratio=10)
        for name, summary in summaries.items():
            commands.add_row(name, highlighted(summary))
        console.print(_panel(title, commands))
    console.print(Padding(highlighted(group.epilog), 1))


def _table() -> Table:
    return Table(show_header=False, expand=True, box=None, pad_edge=False, padding=(0, 1))


def _panel(title: str, table: Table) -> Panel:
    return Panel(table, border_style="dim", title=title, title_align="left")
