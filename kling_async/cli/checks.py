"""
Requests judged before anything is sent, all of them and by all rules, in the words of the command line.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import typer

from kling_async.cli.exits import ExitCode
from kling_async.cli.screen import complain, printable
from kling_async.client import KlingClient
from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.references import read_reference
from kling_async.wire.dialects import ImageFacts, broken_rules
from kling_async.wire.models import ImageRequest, ImageSource

__all__ = ["check_requests", "make_folder"]


async def check_requests(client: KlingClient, requests: Sequence[ImageRequest]) -> None:
    """
    End the command where requests break rules, having named each rule once.
    """
    seen: dict[ImageSource, _Seen] = {}  # all prompts of a command mostly share one picture
    lines: dict[str, None] = {}  # a set that keeps its order
    for number, request in enumerate(requests, 1):
        image = request.image
        if image is not None and image not in seen:
            seen[image] = await _look_at(image, client.dialect.image_max_bytes)
        facts, broken = seen[image] if image is not None else (None, ())
        for rule in (*broken_rules(client.dialect, request, facts), *broken, *_broken_slots(client, request)):
            lines[_in_words(rule, number)] = None
    if lines:
        complain("Nothing was sent, for there are broken rules:", *(f"  {line}" for line in lines))
        raise typer.Exit(ExitCode.USAGE)


_Seen = tuple[ImageFacts | None, Sequence[BrokenRule]]


async def _look_at(image: ImageSource, max_bytes: int) -> _Seen:
    try:
        return (await read_reference(image, max_bytes=max_bytes)).facts, ()
    except InvalidRequest as error:
        return None, error.broken


def _broken_slots(client: KlingClient, request: ImageRequest) -> Iterable[BrokenRule]:
    if 1 <= request.n <= client.dialect.n_max:
        try:
            client.slots.check(request.n)
        except InvalidRequest as error:
            return error.broken
    return ()


def _in_words(broken: BrokenRule, number: int) -> str:
    name = f"prompt {number}" if broken.field == "prompt" else "--" + broken.field.replace("_", "-")
    rule = broken.rule.partition("; another one passes with attrs")[0]  # a way that is open to programs alone
    return printable(f"{name} {broken.value}: {rule}")


def make_folder(folder: Path) -> None:
    """
    Make sure that pictures can be saved, before any is paid for.

    Raises:
        typer.BadParameter: They cannot.
    """
    trial = folder / ".kling-async"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        what = f"nothing can be saved in {str(folder)!r}: {error.strerror or error}"
        raise typer.BadParameter(what, param_hint="--out") from None
