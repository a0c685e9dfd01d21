"""
The help of all commands is typer's, in less CPU.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.core
import typer.main

from kling_async.cli.commands import app


def joined(text: str) -> str:
    """
    Join neighbours that have the same colour.
    """
    count = 1
    while count:
        text, count = re.subn(r"(\x1b\[[\d;]+m)([^\x1b]+)\x1b\[0m\1", r"\1\2", text)
    return text


@pytest.mark.parametrize("is_coloured", [False, True])
@pytest.mark.parametrize("columns", [20, 50, 80, 130, 200])
def test_it_is_drawn_as_typer_draws_it(
    *, columns: int, is_coloured: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    At every width, with and without colours.
    """
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR" if is_coloured else "NO_COLOR", "1")
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    context = group.make_context("kling-async", ["--help"], resilient_parsing=True)

    group.format_help(context, context.make_formatter())
    drawn = joined(capsys.readouterr().out)
    typer.core.TyperGroup.format_help(group, context, context.make_formatter())

    assert joined(capsys.readouterr().out) == drawn
    assert is_coloured == ("\x1b[1;36m" in drawn)
    assert "callback-test" in drawn or columns < 50


@pytest.mark.parametrize("variable", ["TYPER_USE_RICH=0", "TERMINAL_WIDTH=60", "GITHUB_ACTIONS=true", "PY_COLORS=1"])
def test_variables_that_typer_reads_apply_to_it(variable: str, tmp_path: Path) -> None:
    """
    Without boxes, in another width, or coloured in a log: as the help of each command.
    """
    program = """
from kling_async.cli import commands
commands.app(["--help"], standalone_mode=False)
commands.LazyGroup.format_help = super(commands.LazyGroup, commands.LazyGroup).format_help
print("---")
commands.app(["--help"], standalone_mode=False)
"""
    name, _, value = variable.partition("=")
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
        check=True,
    )

    drawn, by_typer = ended.stdout.split("---\n")
    assert by_typer == drawn


def test_it_loads_neither_markdown_nor_tracebacks(tmp_path: Path) -> None:
    """
    What typer loads to draw a help takes as long as the rest of it.
    """
    program = """
import sys
from kling_async.cli.commands import app
try:
    app()
finally:
    print(sorted({"rich.markdown", "rich.traceback", "typer.rich_utils", "asyncio", "attrs"} & set(sys.modules)))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert "[]" == ended.stdout.splitlines()[-1]
