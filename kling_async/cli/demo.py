"""
`kling-async demo`: a service inside, a client at work, pictures in a folder and on a page. No account, no cost.
"""

import asyncio
import itertools
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.gallery import entries_of, not_written, require_gallery
from kling_async.cli.options import (
    AsJson,
    DialectName,
    Latency,
    Out,
    Played,
    Seed,
    parse_latency,
    read_lines,
    require_pillow,
)
from kling_async.cli.request_checks import check_requests, make_folder
from kling_async.cli.screen import Screen, open_screen_beside
from kling_async.cli.service_options import ServiceOptions
from kling_async.cli.task_board import TaskBoard, TaskRow
from kling_async.cli.task_runner import TaskRunner, run
from kling_async.wire.endpoints.image_generation import ImageRequest

if TYPE_CHECKING:
    from kling_async.emulator import Ledger

__all__ = ["demo", "file_name", "make_requests", "requests_made"]

EXAMPLES: Final = """\
Examples:
  kling-async demo
  kling-async demo --count 5 --seed 7 --out few
  kling-async demo --prompts my-prompts.txt --dialect official
"""

PAGE: Final = "demo.html"
"""
Not "gallery.html": the folder is that of other commands too, and the page of its other pictures stays.
"""

_RATIOS: Final = ("16:9", "1:1", "3:2", "9:16", "4:3", "2:3", "16:9", "3:4")
_PICTURES: Final = (1, 1, 2)
"""
How the demo's requests vary from one to the next.
"""


def demo(
    *,
    count: Annotated[
        int | None, typer.Option("--count", "-c", metavar="N", min=1, help="How many of the prompts, over and over.")
    ] = None,
    prompts: Annotated[Path | None, typer.Option(metavar="FILE", help="Your own, one per line.")] = None,
    out: Out = Path("pictures"),
    as_json: AsJson = False,
    seed: Seed = 0,
    dialect: Played = DialectName.GATEWAY,
    latency: Latency = "1:3",
) -> None:
    """
    See it work: a service emulated inside, no account, no cost.
    """
    require_pillow()
    require_gallery()
    access = ServiceOptions(base_url=None, dialect=dialect, is_emulated=True, latency=parse_latency(latency), seed=seed)
    requests = make_requests(_read_prompts(prompts), count)
    make_folder(out)
    run(_show(requests, access, out, as_json=as_json))


async def _show(requests: Sequence[ImageRequest], access: ServiceOptions, out: Path, *, as_json: bool) -> ExitCode:
    board = TaskBoard.of(requests)
    screen = open_screen_beside(board, as_json=as_json)
    async with access.make_emulator() as server:
        client, slots = access.make_client(server), server.settings.slots
        await check_requests(client, requests)
        screen.say(f"{len(requests)} prompts for a {server.dialect.name} service of {slots} slots, emulated")
        work = TaskRunner(client, board, screen, access, out, name=file_name, as_json=as_json)
        await work.run()
    page = await _write_page(board, out / PAGE, server.dialect.default_model, screen)
    code = work.sum_up({**requests_made(server.ledger), **page})
    screen.say('Now yours: kling-async generate --emulator "a paper boat on a puddle"')
    return code


async def _write_page(board: TaskBoard, path: Path, default_model: str, screen: Screen) -> dict[str, str]:
    from kling_async.gallery import write_gallery  # noqa: PLC0415 (needs an extra of its own)

    entries = entries_of(board.rows, board.clock(), default_model)
    try:
        await asyncio.to_thread(write_gallery, entries, path, title="A demo of kling_async")
    except OSError as error:
        screen.say(not_written(path, error))
        return {}
    return {"gallery": str(path)}


def make_requests(prompts: Sequence[str], count: int | None) -> list[ImageRequest]:
    """
    Return *count* requests of different kinds, beginning anew where the prompts are used up; None takes each once.
    """
    kinds = zip(itertools.cycle(prompts), itertools.cycle(_RATIOS), itertools.cycle(_PICTURES), strict=False)
    return [
        ImageRequest(prompt, aspect_ratio=ratio, n=n)
        for prompt, ratio, n in itertools.islice(kinds, len(prompts) if count is None else count)
    ]


def file_name(row: TaskRow) -> str:
    """
    Return a template of names that can be read, such as "03-a-lighthouse-at-dusk{ext}".
    """
    words = re.findall(r"\w+", row.title.lower())[:5]
    name = "-".join([f"{row.number:02}", *words])[:40]
    several = row.result is not None and len(row.result.images) > 1
    return name + ("-{index}" if several else "") + "{ext}"


def requests_made(ledger: "Ledger") -> dict[str, str]:
    """
    Return what an emulated service has been asked, ready to be shown.
    """
    looks = ledger.reads + ledger.list_reads
    total = ledger.creates_received + looks + ledger.downloads
    return {
        "requests": f"{total} ({ledger.creates_received} submits, {looks} looks, {ledger.downloads} downloads)",
        "connections": str(ledger.connections),
    }


def _read_prompts(path: Path | None) -> list[str]:
    if path is None:
        with resources.files(__package__).joinpath("prompts.txt").open("rb") as ours:
            return read_lines(ours, "prompts.txt")
    try:
        with path.open("rb") as file:
            return read_lines(file, str(path))
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="--prompts") from None
