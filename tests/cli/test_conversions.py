"""
Values of the command line: converted as typer converts them, mostly without loading pydantic.
"""

import enum
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
import typer.testing

from kling_async.cli.first_guesses import GuessingCommand


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


def whole(text: str) -> int:
    """
    Read a number, as the parsers of the commands do.
    """
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number") from None


def values_of(argv: list[str], **settings: Any) -> tuple[dict[str, Any], int, str]:
    """
    Run a command with every kind of parameter, and return the values that it got, its exit code and its messages.
    """
    got: dict[str, Any] = {}
    app = typer.Typer(add_completion=False)

    @app.command("command", **settings)
    def command(  # noqa: PLR0913 (one of each kind)
        *,
        texts: Annotated[list[str], typer.Argument()],
        text: str | None = None,
        several: Annotated[list[str] | None, typer.Option()] = None,
        numbers: Annotated[list[int] | None, typer.Option()] = None,
        number: Annotated[int, typer.Option(min=1, max=9)] = 3,
        ratio: float = 0.5,
        flag: bool = False,
        choice: Annotated[bool | None, typer.Option("--choice/--no-choice")] = None,
        colour: Colour = Colour.RED,
        path: Path | None = None,
        default_path: Path = Path("pictures"),
        parsed: Annotated[Any, typer.Option(parser=whole)] = 7,
    ) -> None:
        got.update(locals())

    result = typer.testing.CliRunner().invoke(app, argv)
    return {name: value for name, value in got.items() if name != "got"}, result.exit_code, result.output


@pytest.mark.parametrize(
    "argv",
    [
        "a",
        "a b -- --c",
        "a --text ü --several b --several c --numbers 1 --numbers 2",
        "a --number 9 --ratio 2 --flag --no-choice --choice",
        "a --colour blue --path x/y --default-path z --parsed 12",
        "",
        "a --number 10",
        "a --number x",
        "a --ratio x",
        "a --numbers x",
        "a --colour green",
        "a --parsed x",
        "a --unknown",
    ],
)
def test_values_are_those_of_typer(argv: str) -> None:
    """
    Values, defaults and errors are the same as those of a command that typer converts alone.
    """
    values, code, output = values_of(argv.split(), cls=GuessingCommand)
    typers_values, typers_code, typers_output = values_of(argv.split())

    assert typers_values == values
    assert {name: type(value) for name, value in typers_values.items()} == {
        name: type(value) for name, value in values.items()
    }
    assert (typers_code, typers_output) == (code, output)


@pytest.mark.parametrize(
    "words",
    [
        ["status", "no-such-task"],
        ["wait", "no-such-task", "--timeout", "5", "--dialect", "official"],
        ["generate", "a fox", "--out", "somewhere"],
        ["batch", "--status", "missing.kling"],
        ["--version"],
    ],
)
def test_commands_do_without_pydantic(tmp_path: Path, words: list[str]) -> None:
    """
    Loading it takes longer than what these commands do before they connect.
    """
    program = """
import sys
from kling_async.cli.commands import app
try:
    app()
finally:
    print("pydantic" in sys.modules)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=tmp_path, env={}, capture_output=True, text=True, check=False
    )

    assert "False" == ended.stdout.splitlines()[-1]
