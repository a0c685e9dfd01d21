"""
`kling-async generate`: prompts from the command line or stdin, a task for each, all at the same time.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
import typer

from kling_async.cli.command_runner import run
from kling_async.cli.option_groups import with_option_groups
from kling_async.cli.options import AsJson, Name, PicturesOut, read_words, require_pillow, timeout_option
from kling_async.cli.request_runner import run_requests
from kling_async.cli.service_options import EmulatedServiceOptions
from kling_async.cli.spending import SpendingOptions
from kling_async.media.naming import DEFAULT_NAME
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.request_fields import image_source

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
class RequestFields:
    """
    The fields of a request, without the prompt.
    """

    n: Annotated[int, _field("--n", "-n", metavar="N", help="Pictures per prompt (default 1)")] = 1
    aspect_ratio: Annotated[str | None, _field(metavar="W:H", help="Such as 16:9.")] = None
    negative_prompt: Annotated[str | None, _field(metavar="TEXT", help="What not to show.")] = None
    model_name: Annotated[str | None, _field("--model-name", "--model", metavar="NAME", help="Such as kling-v2.")] = (
        None
    )
    resolution: Annotated[str | None, _field(metavar="1k|2k", help="If the service offers it.")] = None
    image: Annotated[str | None, _field(metavar="FILE|URL", help="Reference image, jpg or png.")] = None
    image_reference: Annotated[str | None, _field(metavar="WORD", help="What to use: subject or face.")] = None
    image_fidelity: Annotated[float | None, _field(metavar="0..1", help="How closely to follow it.")] = None
    human_fidelity: Annotated[float | None, _field(metavar="0..1", help="How closely to keep its subject.")] = None
    callback_url: Annotated[str | None, _field(metavar="URL", help="Where the service reports to.")] = None
    external_task_id: Annotated[str | None, _field(metavar="ID", help="Your own id, for one prompt.")] = None
    element_list: Annotated[
        list[int] | None,
        _field("--element", metavar="ID", help="To show; may be repeated."),
    ] = None
    watermark_info: Annotated[bool | None, _field("--watermark", metavar="", help="Also make marked copies.")] = None

    def make_requests(self, prompts: Sequence[str]) -> list[ImageRequest]:
        fields = attrs.asdict(self)
        fields["image"] = None if self.image is None else image_source(self.image)
        fields["element_list"] = self.element_list or None
        return [ImageRequest(prompt, **fields) for prompt in prompts]


@with_option_groups
def generate(
    *,
    prompts: Annotated[list[str], typer.Argument(metavar="PROMPT", help="What to draw; - reads stdin.")],
    fields: RequestFields,
    out: PicturesOut = Path("pictures"),
    name: Name = DEFAULT_NAME,
    as_json: AsJson = False,
    spending: SpendingOptions,
    service: EmulatedServiceOptions,
    timeout: Annotated[float, timeout_option(600)] = 600.0,
) -> None:
    """
    Generate pictures from prompts, all at the same time.

    The key is in KLING_API_KEY, or in KLING_ACCESS_KEY and KLING_SECRET_KEY.
    """
    texts = read_words(prompts)
    if fields.external_task_id is not None and len(texts) > 1:
        raise typer.BadParameter("an id names one task: give one prompt", param_hint="--external-task-id")
    requests = fields.make_requests(texts)
    if service.is_emulated:
        require_pillow()
    run(run_requests(requests, service, spending, out, name=name, timeout=timeout, as_json=as_json))
