"""
What several commands ask for in the same words.
"""

import enum
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Annotated, Final, TypeAlias

import typer

from kling_async.cli.exits import ExitCode
from kling_async.cli.screen import complain
from kling_async.wire.dialects import GATEWAY, OFFICIAL, Dialect

__all__ = [
    "DIALECTS",
    "BaseUrl",
    "DialectName",
    "Emulated",
    "HiddenLatency",
    "HiddenSeed",
    "Latency",
    "Out",
    "Played",
    "Seed",
    "Service",
    "SlotLimit",
    "image_source",
    "parse_latency",
    "read_lines",
    "require_pillow",
]


class DialectName(enum.StrEnum):
    """
    The services there are.
    """

    GATEWAY = GATEWAY.name
    OFFICIAL = OFFICIAL.name


DIALECTS: Final[Mapping[DialectName, Dialect]] = {DialectName.GATEWAY: GATEWAY, DialectName.OFFICIAL: OFFICIAL}


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


def read_lines(file: IO[bytes], name: str) -> list[str]:
    """
    Read one prompt per line of UTF-8; blank lines are skipped.

    Raises:
        typer.BadParameter: There is none, or it is no UTF-8.
    """
    try:
        lines = [line.strip() for line in file.read().decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{name} is no UTF-8: {error.reason} at byte {error.start}") from None
    if not any(lines):
        raise typer.BadParameter(f"{name} has no prompt in it")
    return [line for line in lines if line]


def image_source(text: str) -> str | Path:
    """
    Read what names a reference image: a URL, else a path.
    """
    return text if text[:8].lower().startswith(("http://", "https://", "data:")) else Path(text)


BaseUrl: TypeAlias = Annotated[str | None, typer.Option(metavar="URL", help="Of the API; else KLING_BASE_URL.")]
Emulated: TypeAlias = Annotated[bool, typer.Option("--emulator", help="Ask an emulated service: no cost.")]
HiddenLatency: TypeAlias = Annotated[str, typer.Option(hidden=True)]
HiddenSeed: TypeAlias = Annotated[int, typer.Option(hidden=True)]
Latency: TypeAlias = Annotated[str, typer.Option(metavar="S:S", help="Seconds that tasks take, as in 2:6.")]
Out: TypeAlias = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", help="For the pictures; else pictures/.", show_default=False)
]
Played: TypeAlias = Annotated[
    DialectName, typer.Option(metavar="NAME", help="What to play: gateway or official.", show_default=False)
]
Seed: TypeAlias = Annotated[int, typer.Option(metavar="N", help="Equal seeds give equal luck.")]
Service: TypeAlias = Annotated[
    DialectName | None, typer.Option(metavar="NAME", help="gateway or official; else by host.")
]
SlotLimit: TypeAlias = Annotated[int | None, typer.Option(metavar="N", min=1, help="Pictures at one time; else 9.")]


def require_pillow() -> None:
    """
    End the command kindly where the emulator cannot draw.
    """
    if importlib.util.find_spec("PIL") is None:
        complain('The emulator draws with Pillow, which is not installed: pip install "kling-async[cli,emulator]"')
        raise typer.Exit(ExitCode.USAGE)
