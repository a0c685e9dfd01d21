"""
The directive `commands`: the help of the command line, as it is when the pages are built.
"""

import os
from typing import TYPE_CHECKING, Final
from unittest import mock

import typer.main
import typer.testing
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from kling_async.cli.commands import app, load_command

if TYPE_CHECKING:
    from sphinx.application import Sphinx

WIDTH: Final = "80"


def help_of(*words: str) -> str:
    """
    Return what `kling-async WORDS --help` prints on a terminal of 80 columns.
    """
    environment = {"COLUMNS": WIDTH, "TERMINAL_WIDTH": WIDTH, "NO_COLOR": "1", "TERM": "dumb"}
    with mock.patch.dict(os.environ, environment):
        ended = typer.testing.CliRunner().invoke(app, [*words, "--help"], prog_name="kling-async")
    if ended.exit_code != 0:
        raise RuntimeError(f"kling-async {' '.join(words)} --help ended with {ended.exit_code}: {ended.output}")
    lines = [line.rstrip() for line in ended.output.splitlines()]
    return "\n".join(lines).strip("\n")


def not_shown(name: str) -> str:
    """
    Return the options that the help of a command leaves out, a line for each.
    """
    hidden = [parameter for parameter in load_command(name).params if getattr(parameter, "hidden", False)]
    return "\n".join(f"{' '.join(each.opts):<16} {each.metavar:<8} {each.help}" for each in hidden)


class Commands(SphinxDirective):
    """
    The help of `kling-async`, and a section with the help of each command and the options that it leaves out.
    """

    def run(self) -> list[nodes.Node]:
        names = list(getattr(typer.main.get_command(app), "commands", {}))
        return [self.block(), *(self.section(name) for name in names)]

    def section(self, name: str) -> nodes.Node:
        section = nodes.section(ids=[f"kling-async-{name}"], names=[nodes.fully_normalize_name(name)])
        section += nodes.title(text=name)
        section += self.block(name)
        if rest := not_shown(name):
            section += nodes.paragraph(text="Options for which this screen has no room:")
            section += nodes.literal_block(rest, rest, language="text", classes=["terminal"])
        return section

    def block(self, *words: str) -> nodes.Node:
        text = help_of(*words)
        return nodes.literal_block(text, text, language="text", classes=["terminal"])


def setup(app: "Sphinx") -> dict[str, bool]:
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
