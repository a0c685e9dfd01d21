"""
What several commands ask for in the same words.
"""

import enum
import importlib.util
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Annotated, Any, Final, TypeAlias

import typer

from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.screen import print_error
from kling_async.cli.text_input import TextKind, UnreadableText, read_list
from kling_async.errors import InvalidRequest
from kling_async.media.destinations import destination_at
from kling_async.media.naming import Names
from kling_async.media.storage import Storage
from kling_async.policy.arguments import MOST_SECONDS
from kling_async.wire.dialects import GATEWAY, OFFICIAL, Dialect
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION
from kling_async.wire.redaction import shorten

__all__ = [
    "DIALECTS",
    "AsJson",
    "BaseUrl",
    "DialectName",
    "Emulated",
    "HiddenLatency",
    "HiddenPatience",
    "HiddenSeed",
    "Latency",
    "Out",
    "Patience",
    "Played",
    "Seed",
    "Service",
    "Shelf",
    "SlotLimit",
    "TaskIds",
    "check_names",
    "image_source",
    "name_of",
    "parse_latency",
    "parse_seconds",
    "read_ids",
    "read_lines",
    "require_pillow",
    "timeout_of",
]


class DialectName(enum.StrEnum):
    """
    The services there are.
    """

    GATEWAY = GATEWAY.name
    OFFICIAL = OFFICIAL.name


DIALECTS: Final[Mapping[DialectName, Dialect]] = {DialectName.GATEWAY: GATEWAY, DialectName.OFFICIAL: OFFICIAL}


SHORTEST: Final = 0.1
"""
Seconds that an option which bounds a time can ask for at least.
"""


def parse_latency(text: str) -> tuple[float, float]:
    """
    Read "2:6", or "2" for always the same.

    Raises:
        typer.BadParameter: It is neither.
    """
    shortest, _, longest = text.partition(":")
    try:
        latency = float(shortest), float(longest or shortest)
    except ValueError:
        latency = (1.0, 0.0)
    if not 0 <= latency[0] <= latency[1] < float("inf"):
        raise typer.BadParameter(f"{text!r} should be SHORTEST:LONGEST in seconds, such as 2:6")
    return latency


def parse_seconds(text: str | float) -> float:
    """
    Read a time of at least 0.1 seconds; "nan" and "inf" are numbers to Python, and no time to wait.

    Raises:
        typer.BadParameter: It is none.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not SHORTEST <= seconds <= MOST_SECONDS:
        raise typer.BadParameter(f"{str(text)[:20]!r} is no number of seconds from {SHORTEST} to {MOST_SECONDS:.0e}")
    return seconds


def read_lines(file: IO[bytes], name: str) -> list[str]:
    """
    Read one prompt per line; blank lines are skipped.

    Raises:
        typer.BadParameter: There is none, or what comes is no list of prompts.
    """
    try:
        lines = read_list(file, name, "prompt")
    except UnreadableText as error:
        raise typer.BadParameter(f"{error}; kling-async batch reads JSON Lines and tables") from None
    if not lines:
        raise typer.BadParameter(f"{name} has no prompt in it")
    return lines


def read_ids(words: Sequence[str]) -> list[str]:
    """
    Read task ids, each once: *words*, and for "-" the lines of stdin, which may also be what `--json` prints.

    Ends the command well where stdin has none: whoever makes the list may find nothing to do.

    Raises:
        typer.BadParameter: No task can have such an id, or what comes is no list of ids.
    """
    ids: list[str] = []
    for word in words:
        ids += map(_id_in, _read_id_lines()) if word == "-" else [word]
    if not ids:
        print_error("There is no task id on stdin.")
        raise typer.Exit(ExitCode.WELL)
    for task_id in ids:
        try:
            IMAGE_GENERATION.one(task_id)
        except InvalidRequest:
            raise typer.BadParameter(f"no task can have the id {shorten(task_id)!r}", param_hint="TASK_ID") from None
    return list(dict.fromkeys(ids))


def _read_id_lines() -> list[str]:
    try:
        return read_list(sys.stdin.buffer, "stdin", "task_id", (TextKind.PLAIN, TextKind.OBJECTS))
    except UnreadableText as error:
        raise typer.BadParameter(str(error), param_hint="TASK_ID") from None


def _id_in(line: str) -> str:
    if not line.startswith("{"):
        return line
    try:
        task_id = json.loads(line).get("task_id")
    except (ValueError, RecursionError):  # of a thousand levels
        task_id = None
    if not isinstance(task_id, str):
        raise typer.BadParameter(f"there is no task_id in {line[:50]!r}", param_hint="TASK_ID")
    return task_id


def check_names(names: Names, most: int) -> None:
    """
    Refuse a template by which pictures could not be saved, before any work: it would stop in the middle.

    Args:
        most: Pictures that a task has at most.

    Raises:
        typer.BadParameter: It cannot be read, leads out of the folder, or gives two pictures one name.
    """
    try:
        names.check(range(most))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--name") from None


def image_source(text: str) -> str | Path:
    """
    Read what names a reference image: a URL, else a path.
    """
    return text if text[:8].lower().startswith(("http://", "https://", "data:")) else Path(text)


def parse_shelf(text: str) -> Path | Storage:
    """
    Read where pictures go: a folder, or a URL such as s3://bucket/pictures.
    """
    try:
        return destination_at(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


_OUT: Final = typer.Option("--out", "-o", metavar="DIR", help="For the pictures; else pictures/.", show_default=False)
_SHELF: Final = typer.Option(
    "--out", "-o", metavar="PLACE", parser=parse_shelf, help="A folder or URL; else pictures/.", show_default=False
)

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Nothing but JSON on stdout.")]
BaseUrl: TypeAlias = Annotated[str | None, typer.Option(metavar="URL", help="Of the API; else KLING_BASE_URL.")]
Emulated: TypeAlias = Annotated[bool, typer.Option("--emulator", help="Ask an emulated service: no cost.")]
HiddenLatency: TypeAlias = Annotated[str, typer.Option(hidden=True)]
HiddenPatience: TypeAlias = Annotated[float, typer.Option("--give-up-after", parser=parse_seconds, hidden=True)]
HiddenSeed: TypeAlias = Annotated[int, typer.Option(hidden=True)]
Latency: TypeAlias = Annotated[str, typer.Option(metavar="S:S", help="Seconds that tasks take, as in 2:6.")]
Out: TypeAlias = Annotated[Path, _OUT]
Shelf: TypeAlias = Annotated[Any, _SHELF]  # a Path or a Storage; typer knows no unions
Patience: TypeAlias = Annotated[
    float,
    typer.Option(
        "--give-up-after",
        metavar="S",
        parser=parse_seconds,
        show_default=False,
        help="Patience with a dead service; else 120.",
    ),
]
Played: TypeAlias = Annotated[
    DialectName, typer.Option(metavar="NAME", help="What to play: gateway or official.", show_default=False)
]
Seed: TypeAlias = Annotated[int, typer.Option(metavar="N", help="Equal seeds give equal luck.")]
Service: TypeAlias = Annotated[
    DialectName | None, typer.Option(metavar="NAME", help="gateway or official; else by host.")
]
SlotLimit: TypeAlias = Annotated[int | None, typer.Option(metavar="N", min=1, help="Pictures at one time; else 9.")]
TaskIds: TypeAlias = Annotated[list[str], typer.Argument(metavar="TASK_ID", help="One or more; - reads stdin.")]


def name_of(fields: str) -> Any:
    """
    Return the option for a template of names that may have *fields*.
    """
    return typer.Option(metavar="NAME", help=f"With {fields}.", show_default=False)


def timeout_of(seconds: int) -> Any:
    """
    Return the option for a time to wait that is *seconds* by default.
    """
    return typer.Option(
        metavar="S", parser=parse_seconds, help=f"Seconds to wait per task; else {seconds}.", show_default=False
    )


def require_pillow() -> None:
    """
    End the command kindly where the emulator cannot draw.
    """
    if importlib.util.find_spec("PIL") is None:
        print_error('The emulator draws with Pillow, which is not installed: pip install "kling-async[cli,emulator]"')
        raise typer.Exit(ExitCode.USAGE)
