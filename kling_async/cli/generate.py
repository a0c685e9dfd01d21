"""
`kling-async generate`: prompts from the command line or stdin, one task each, side by side.
"""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
import typer

from kling_async.cli.demo import requests_made
from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.options import (
    AsJson,
    BaseUrl,
    Emulated,
    HiddenLatency,
    HiddenSeed,
    Patience,
    Service,
    Shelf,
    SlotLimit,
    image_source,
    parse_latency,
    read_lines,
    require_pillow,
    timeout_of,
)
from kling_async.cli.request_checks import check_requests, make_ready
from kling_async.cli.screen import open_screen_beside
from kling_async.cli.service_options import ServiceOptions
from kling_async.cli.task_board import TaskBoard
from kling_async.cli.task_runner import TaskRunner, run
from kling_async.media.storage import Storage
from kling_async.wire.endpoints.image_generation import ImageRequest

__all__ = ["generate"]

EXAMPLES: Final = """\
Examples:
  kling-async generate "a lighthouse" "a fox in snow" -n 2 --aspect-ratio 3:2
  kling-async generate "the same in winter" --image lighthouse.png
  kling-async generate --emulator --json - < prompts.txt
"""


def _field(*names: str, metavar: str, help: str) -> Any:  # noqa: A002 (typer's own word)
    return typer.Option(*names, metavar=metavar, help=help, show_default=False, rich_help_panel="The pictures")


@attrs.frozen(kw_only=True)
class _Plan:
    """
    What was asked for, apart from the requests themselves.
    """

    access: ServiceOptions
    out: Path | Storage
    timeout: float
    as_json: bool


def generate(  # noqa: PLR0913 (every field of a request is an option)
    *,
    prompts: Annotated[list[str], typer.Argument(metavar="PROMPT", help="What to draw; - reads stdin.")],
    n: Annotated[int, _field("--n", "-n", metavar="N", help="Pictures per prompt, 1 to 9.")] = 1,
    aspect_ratio: Annotated[str | None, _field(metavar="W:H", help="For example 16:9.")] = None,
    negative_prompt: Annotated[str | None, _field(metavar="TEXT", help="What it should not show.")] = None,
    model_name: Annotated[
        str | None, _field("--model-name", "--model", metavar="NAME", help="For example kling-v2.")
    ] = None,
    resolution: Annotated[str | None, _field(metavar="1k|2k", help="Where the service offers it.")] = None,
    image: Annotated[str | None, _field(metavar="FILE|URL", help="A reference, jpg or png.")] = None,
    image_reference: Annotated[str | None, _field(metavar="WORD", help="subject or face: what to take of it.")] = None,
    image_fidelity: Annotated[float | None, _field(metavar="0..1", help="How much of it.")] = None,
    human_fidelity: Annotated[float | None, _field(metavar="0..1", help="How much of the subject.")] = None,
    callback_url: Annotated[str | None, _field(metavar="URL", help="Where the service reports to.")] = None,
    external_task_id: Annotated[str | None, _field(metavar="ID", help="Of your own; for one prompt.")] = None,
    out: Shelf = Path("pictures"),
    as_json: AsJson = False,
    emulator: Emulated = False,
    base_url: BaseUrl = None,
    dialect: Service = None,
    slots: SlotLimit = None,
    timeout: Annotated[float, timeout_of(600)] = 600.0,
    give_up_after: Patience = 120.0,
    latency: HiddenLatency = "1:3",
    seed: HiddenSeed = 0,
) -> None:
    """
    Make a picture of each PROMPT, side by side.

    The key is KLING_API_KEY's, or KLING_ACCESS_KEY's and KLING_SECRET_KEY's.
    """
    texts = _read_prompts(prompts)
    if external_task_id is not None and len(texts) > 1:
        raise typer.BadParameter("an id is for one task, so give one prompt", param_hint="--external-task-id")
    access = ServiceOptions(
        base_url=base_url,
        dialect=dialect,
        slots=slots,
        give_up_after=give_up_after,
        is_emulated=emulator,
        latency=parse_latency(latency),
        seed=seed,
    )
    plan = _Plan(access=access, out=out, timeout=timeout, as_json=as_json)
    requests = [
        ImageRequest(
            text,
            negative_prompt=negative_prompt,
            n=n,
            aspect_ratio=aspect_ratio,
            model_name=model_name,
            resolution=resolution,
            image=None if image is None else image_source(image),
            image_reference=image_reference,
            image_fidelity=image_fidelity,
            human_fidelity=human_fidelity,
            callback_url=callback_url,
            external_task_id=external_task_id,
        )
        for text in texts
    ]
    if emulator:
        require_pillow()
    run(_generate(requests, plan))


async def _generate(requests: Sequence[ImageRequest], plan: _Plan) -> ExitCode:
    board = TaskBoard.of(requests)
    screen = open_screen_beside(board, as_json=plan.as_json)
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(plan.access.make_emulator()) if plan.access.is_emulated else None
        client = plan.access.make_client(server)
        await check_requests(client, requests)
        await make_ready(plan.out)
        work = TaskRunner(client, board, screen, plan.access, plan.out, timeout=plan.timeout, as_json=plan.as_json)
        await work.run()
    return work.sum_up(requests_made(server.ledger) if server is not None else {})


def _read_prompts(words: Sequence[str]) -> list[str]:
    prompts: list[str] = []
    for word in words:
        prompts += read_lines(sys.stdin.buffer, "stdin") if word == "-" else [word]
    return prompts
