"""
`kling-async demo`: generate pictures and a video with a built-in emulator. It needs no account and costs nothing.
"""

import asyncio
import itertools
import shlex
import shutil
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from kling_async.cli.command_runner import run
from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.formatting import plural
from kling_async.cli.gallery import entries_of, not_written, require_gallery
from kling_async.cli.options import (
    AsJson,
    EmulatedDialect,
    Latency,
    Out,
    Seed,
    read_prompts,
    require_pillow,
    require_pyav,
)
from kling_async.cli.request_checks import check_requests, make_folder
from kling_async.cli.screen import TaskScreen, open_screen_beside
from kling_async.cli.service_options import ServiceOptions
from kling_async.cli.task_board import TaskBoard, TaskRow
from kling_async.cli.task_runner import TaskRunner
from kling_async.wire.endpoints.base import TaskRequest
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.endpoints.image_to_video import ImageToVideo
from kling_async.wire.endpoints.text_to_video import TextToVideo
from kling_async.wire.endpoints.video_models import VideoModel

if TYPE_CHECKING:
    from kling_async.emulator import Ledger

__all__ = ["demo", "file_name", "make_requests", "next_command", "request_counts"]

EXAMPLES: Final = """\
Examples:
  kling-async demo
  kling-async demo --count 5 --seed 7 --out few
  kling-async demo --prompts my-prompts.txt --dialect official
"""

_RATIOS: Final = ("16:9", "1:1", "3:2", "9:16", "4:3", "2:3", "16:9", "3:4")
_PICTURES: Final = (1, 1, 2)


def demo(
    *,
    count: Annotated[
        int | None, typer.Option("--count", "-c", metavar="N", min=1, help="How many prompts (default: each once)")
    ] = None,
    prompts: Annotated[Path | None, typer.Option(metavar="FILE", help="Your own prompts, one per line.")] = None,
    out: Out = Path("pictures"),
    as_json: AsJson = False,
    seed: Seed = 0,
    dialect: EmulatedDialect = None,
    latency: Latency = "1:3",
) -> None:
    """
    See it work with a built-in emulator: no account, no cost.
    """
    require_pillow()
    require_pyav()
    require_gallery()
    service = ServiceOptions(dialect=dialect, is_emulated=True, latency=latency, seed=seed)
    requests = make_requests(_read_prompts(prompts), count)
    make_folder(out)
    run(_demo(requests, service, out, as_json=as_json))


async def _demo(requests: Sequence[ImageRequest], service: ServiceOptions, out: Path, *, as_json: bool) -> ExitCode:
    board = TaskBoard.of(requests)
    first, video = board.rows[0], TaskRow(len(board.rows) + 1, request=None)
    board.rows = (*board.rows, video)
    screen = open_screen_beside(board, as_json=as_json)
    async with service.make_emulator() as server:
        client, slots = service.make_client(server), server.settings.slots
        await check_requests(client, requests)
        prompts = plural(len(requests), "prompt")
        screen.say(f"{prompts} and a video for an emulated {server.dialect.name} service with {slots} slots")

        def following(row: TaskRow) -> TaskRow | None:
            if row is not first:
                return None
            video.request = video_from(row)
            return video

        runner = TaskRunner(client, board, screen, service, out, name=file_name, following=following, as_json=as_json)
        await runner.run()
    # not gallery.html, which may be the page of other commands' pictures
    page = await _write_page(board, out / "demo.html", server.dialect.default_model, screen)
    code = runner.sum_up({**request_counts(server.ledger), **page})
    command = next_command()
    screen.say(f'Now try your own: {command} generate --emulator "a paper boat on a puddle"')
    screen.say(f'              or: {command} video --emulator "a paper boat sails away"')
    return code


async def _write_page(board: TaskBoard, path: Path, default_model: str, screen: TaskScreen) -> dict[str, str]:
    from kling_async.gallery import write_gallery  # noqa: PLC0415 (needs its own extra)

    entries = entries_of(board.rows, board.clock(), default_model)
    try:
        await asyncio.to_thread(write_gallery, entries, path, title="kling_async demo")
    except OSError as error:
        screen.say(not_written(path, error))
        return {}
    return {"gallery": str(path)}


def make_requests(prompts: Sequence[str], count: int | None) -> list[ImageRequest]:
    """
    Return *count* requests of different kinds, repeating the prompts if needed; None uses each prompt once.
    """
    kinds = zip(itertools.cycle(prompts), itertools.cycle(_RATIOS), itertools.cycle(_PICTURES), strict=False)
    return [
        ImageRequest(prompt, aspect_ratio=ratio, n=n)
        for prompt, ratio, n in itertools.islice(kinds, len(prompts) if count is None else count)
    ]


def video_from(row: TaskRow) -> TaskRequest:
    """
    Return the request for a video that begins with the first picture of *row*; without one, it shows the prompt.
    """
    fields: dict[str, Any] = {"prompt": row.caption, "sound": True, "model_name": VideoModel.V3.value}
    images = () if row.result is None else row.result.images
    return ImageToVideo(images[0].url, **fields) if images else TextToVideo(**fields)


def file_name(row: TaskRow) -> str:
    """
    Return a template of readable file names, such as 03-a-lighthouse-at-dusk.png.
    """
    several = row.result is not None and len(row.result.files) > 1
    return "{number:02}-{prompt}" + ("-{index}" if several else "") + "{ext}"


def next_command() -> str:
    """
    Return how to call this program from the same shell: by its path, if the shell does not find it by its name.
    """
    path = Path(sys.argv[0])
    is_lost = path.name == "kling-async" and shutil.which(path.name) is None
    return shlex.quote(str(path)) if is_lost else "kling-async"


def request_counts(ledger: "Ledger") -> dict[str, str]:
    """
    Return the requests and connections that an emulator has counted, for a summary.
    """
    polls = ledger.reads + ledger.list_reads
    counts = {"submit": ledger.creates_received, "poll": polls, "download": ledger.downloads}
    return {
        "requests": f"{sum(counts.values())} ({', '.join(plural(count, noun) for noun, count in counts.items())})",
        "connections": str(ledger.connections),
    }


def _read_prompts(path: Path | None) -> list[str]:
    if path is None:
        with resources.files(__package__).joinpath("prompts.txt").open("rb") as ours:
            return read_prompts(ours, "prompts.txt")
    try:
        with path.open("rb") as file:
            return read_prompts(file, str(path))
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="--prompts") from None
