"""
Options that several commands share, and the parsers of their values.
"""

import importlib.util
import json
import math
import string
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final, TypeAlias
from urllib.parse import urlsplit

import attrs
import typer

from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.terminal import print_error
from kling_async.cli.text_input import TextKind, UnreadableText, read_list
from kling_async.client.credentials import find_dialect
from kling_async.errors import InvalidRequest
from kling_async.media.naming import check_template, is_url, local_folder, looks_like_file
from kling_async.policy.arguments import MOST_SECONDS
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import stands_in_path
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT, endpoint_named
from kling_async.wire.redaction import shorten

if TYPE_CHECKING:
    from kling_async.media.storage import Storage

__all__ = [
    "GIVE_UP_AFTER",
    "AsJson",
    "BaseUrl",
    "DialectOption",
    "EmulatedDialect",
    "GiveUpAfter",
    "GivenDialect",
    "Kind",
    "Latency",
    "Name",
    "Out",
    "OutByKind",
    "PicturesOut",
    "Seed",
    "TaskIds",
    "check_kind",
    "check_latency",
    "check_name",
    "check_out",
    "emulated_dialect",
    "out_option",
    "parse_address",
    "parse_dialect",
    "parse_latency",
    "parse_out",
    "parse_seconds",
    "read_ids",
    "read_prompts",
    "read_words",
    "require_pillow",
    "require_pyav",
    "timeout_option",
]


@attrs.frozen
class GivenDialect:
    """
    A dialect that an option names, and the option's value: a name or a path.
    """

    word: str
    dialect: Dialect


def parse_dialect(word: str) -> GivenDialect:
    """
    Read the name of a dialect, or the file at a path.

    Raises:
        typer.BadParameter: It is neither, or the file breaks rules.
    """
    try:
        return GivenDialect(word, Dialect.load(word))
    except InvalidRequest as error:
        raise typer.BadParameter(str(error)) from None


def emulated_dialect(given: GivenDialect | None) -> Dialect:
    """
    Return the dialect of an emulator: the given one, or that of `KLING_DIALECT`, or GATEWAY.

    Raises:
        InvalidRequest: `KLING_DIALECT` is invalid.
    """
    return find_dialect(given.dialect if given is not None else None, base_url="")


def parse_latency(text: str) -> tuple[float, float]:
    """
    Read a range of seconds such as "2:6"; "2" means "2:2".

    Raises:
        typer.BadParameter: It is neither.
    """
    shortest, _, longest = text.partition(":")
    try:
        latency = float(shortest), float(longest or shortest)
    except ValueError:
        latency = (1.0, 0.0)
    if not 0 <= latency[0] <= latency[1] < float("inf"):
        raise typer.BadParameter(f"{text!r} must be MIN:MAX in seconds, such as 2:6")
    return latency


def check_latency(text: str) -> str:
    """
    Refuse a value that `parse_latency` cannot read, as a callback of typer.
    """
    parse_latency(text)
    return text


def parse_address(text: str, option: str) -> tuple[str, int]:
    """
    Read HOST:PORT.

    Raises:
        typer.BadParameter: The value of *option* is not an address.
    """
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None:
        raise typer.BadParameter("it must be HOST:PORT, such as 127.0.0.1:8080", param_hint=option)
    return host, port


def parse_seconds(text: str | float) -> float:
    """
    Read a number of seconds, at least 0.1. Python also reads "nan" and "inf" as numbers; they are refused.

    Raises:
        typer.BadParameter: It is not such a number.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.1 <= seconds <= MOST_SECONDS:
        raise typer.BadParameter(f"{str(text)[:20]!r} must be a number of seconds from 0.1 to {MOST_SECONDS:.0e}")
    return seconds


def read_prompts(file: IO[bytes], name: str) -> list[str]:
    """
    Read one prompt per line; skip blank lines.

    Raises:
        typer.BadParameter: There is no prompt, or *file* is not a list of prompts.
    """
    try:
        lines = read_list(file, name, "prompt")
    except UnreadableText as error:
        raise typer.BadParameter(f"{error}; kling-async batch reads JSON Lines and tables") from None
    if not lines:
        raise typer.BadParameter(f"{name} contains no prompt")
    return lines


def read_ids(words: Sequence[str], kind: str = DEFAULT_ENDPOINT.name) -> dict[str, str]:
    """
    Read task ids: *words*, and for "-" the lines of stdin, which may also be what `--json` prints. Return the name of
    the endpoint of each: the line's own, otherwise *kind*. Blanks around an id are ignored.

    If there is none, ends the command with exit code 0: the program that writes the list may have nothing to do.

    Raises:
        typer.BadParameter: An id is invalid, or stdin is not a list of ids.
    """
    kinds: dict[str, str] = {}
    for word in words:
        kinds |= (_task_in(line, kind) for line in _read_id_lines()) if word == "-" else {word.strip(): kind}
    if not kinds:
        print_error("stdin contains no task id.")
        raise typer.Exit(ExitCode.SUCCESS)
    for task_id in kinds:
        if not stands_in_path(task_id):
            raise typer.BadParameter(f"invalid task id {shorten(task_id)!r}", param_hint="TASK_ID")
    return kinds


def _read_id_lines() -> list[str]:
    try:
        return read_list(sys.stdin.buffer, "stdin", "task_id", (TextKind.PLAIN, TextKind.OBJECTS))
    except UnreadableText as error:
        raise typer.BadParameter(str(error), param_hint="TASK_ID") from None


def _task_in(line: str, kind: str) -> tuple[str, str]:
    if not line.startswith("{"):
        return line, kind
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):  # of a thousand levels
        fields = {}
    task_id, own_kind = fields.get("task_id"), fields.get("endpoint")
    if not isinstance(task_id, str):
        raise typer.BadParameter(f"no task_id in {line[:50]!r}", param_hint="TASK_ID")
    return task_id.strip(), check_kind(own_kind) if isinstance(own_kind, str) else kind


def check_kind(name: str) -> str:
    """
    Refuse a name that is none of an endpoint, as a callback of typer.
    """
    try:
        return endpoint_named(name).name
    except InvalidRequest as error:
        raise typer.BadParameter(error.message) from None


def check_name(template: str, fields: Collection[str], *, files: int = 1, is_one: bool = False) -> None:
    """
    Refuse a template of file names as `check_template` does, and one whose files no program would open.

    Raises:
        typer.BadParameter: It has unknown fields or no extension, leads out of the folder, or gives two files the same
            name.
    """
    try:
        check_template(template, fields, files=files, is_one=is_one)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--name") from None
    parts = list(string.Formatter().parse(template))
    if not any("." in text or field in ("ext", "key") for text, field, *_ in parts):  # keys may be names of files
        what = f"The name {shorten(template)!r} has no extension; write {shorten(f'{template}{{ext}}')!r}"
        raise typer.BadParameter(what, param_hint="--name")


def read_words(words: Iterable[str]) -> list[str]:
    """
    Return the prompts of a command line, where "-" stands for those of stdin.
    """
    prompts: list[str] = []
    for word in words:
        prompts += read_prompts(sys.stdin.buffer, "stdin") if word == "-" else [word]
    return prompts


def check_out(folder: Path) -> Path:
    """
    Refuse what seems to be the name of a file, as a callback of typer.
    """
    if looks_like_file(folder):
        raise typer.BadParameter(f"{str(folder)!r} must be a folder")
    return folder


def parse_out(text: str) -> "Path | Storage":
    """
    Return where to save files: a folder, or a storage for a URL such as s3://bucket/pictures.
    """
    if looks_like_file(path := Path(text)):
        folder = str(path.parent) if not is_url(text) else text.rpartition("/")[0]  # a path has no two slashes in a row
        example = f'--out "{folder}" --name "{path.stem}{{ext}}"'
        raise typer.BadParameter(f"{text!r} must be a folder; to name the file, write {example}")
    try:
        local = local_folder(text)
        if local is not None:
            return local
        from kling_async.media.storage import Storage  # noqa: PLC0415 (folders do without it)

        return Storage(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


GIVE_UP_AFTER: Final = "Seconds to keep trying (default 120)"
"""
The help of `--give-up-after`.
"""

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print only JSON to stdout.")]
BaseUrl: TypeAlias = Annotated[str | None, typer.Option(metavar="URL", help="API address (default KLING_BASE_URL)")]
DialectOption: TypeAlias = Annotated[
    GivenDialect | None,
    typer.Option(metavar="NAME", parser=parse_dialect, help="gateway, official or FILE.toml"),
]
EmulatedDialect: TypeAlias = Annotated[
    GivenDialect | None,
    typer.Option(metavar="NAME", parser=parse_dialect, help="gateway, official or FILE.toml"),
]
GiveUpAfter: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="S",
        parser=parse_seconds,
        show_default=False,
        help=GIVE_UP_AFTER,
    ),
]
Kind: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="KIND",
        callback=check_kind,
        show_default=False,
        help="The endpoint of the tasks, such as text-to-video (default image-generation)",
    ),
]
Latency: TypeAlias = Annotated[
    str, typer.Option(metavar="MIN:MAX", callback=check_latency, help="Seconds that a task takes.")
]
Name: TypeAlias = Annotated[
    str, typer.Option(metavar="NAME", help="Like {number}-{prompt}-{index}{ext}", show_default=False)
]
Out: TypeAlias = Annotated[
    Path,
    typer.Option(
        "--out", "-o", metavar="DIR", callback=check_out, help="Folder (default pictures/)", show_default=False
    ),
]
Seed: TypeAlias = Annotated[int, typer.Option(metavar="N", help="Equal seeds give equal files and faults.")]
TaskIds: TypeAlias = Annotated[list[str], typer.Argument(metavar="TASK_ID", help="One or more ids; - reads stdin.")]


def out_option(default: str) -> Any:
    """
    Return the option for where to save files: a folder, which by *default* is this one, or the URL of a storage.
    """
    text = f"Folder or URL (default {default})"
    return typer.Option("--out", "-o", metavar="PLACE", parser=parse_out, help=text, show_default=False)


PicturesOut: TypeAlias = Annotated[Any, out_option("pictures/")]  # a Path or a Storage: typer does not take unions
OutByKind: TypeAlias = Annotated[Any, out_option("by kind")]


def timeout_option(seconds: int | str) -> Any:
    """
    Return the option for the seconds to wait for each task, *seconds* by default.
    """
    return typer.Option(
        metavar="S", parser=parse_seconds, help=f"Seconds per task (default {seconds})", show_default=False
    )


def require_pillow() -> None:
    """
    End the command if Pillow, with which the emulator draws, is not installed.
    """
    _require("PIL", "Pillow", "emulator")


def require_pyav() -> None:
    """
    End the command if PyAV, with which the emulator makes videos, is not installed.
    """
    _require("av", "PyAV", "video")


def _require(module: str, name: str, extra: str) -> None:
    if importlib.util.find_spec(module) is None:
        print_error(f'The emulator needs {name}, which is not installed: pip install "kling-async[cli,{extra}]"')
        raise typer.Exit(ExitCode.USAGE)
