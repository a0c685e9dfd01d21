"""
`kling-async video`: videos from prompts, or from prompts and pictures.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
import typer

from kling_async.cli.command_runner import run
from kling_async.cli.option_groups import with_option_groups
from kling_async.cli.options import (
    AsJson,
    Name,
    out_option,
    read_words,
    require_pillow,
    timeout_option,
)
from kling_async.cli.request_runner import run_requests
from kling_async.cli.service_options import EmulatedServiceOptions
from kling_async.cli.spending import SpendingOptions
from kling_async.media.naming import DEFAULT_NAME
from kling_async.wire.endpoints.base import TaskRequest
from kling_async.wire.endpoints.image_to_video import ImageToVideo
from kling_async.wire.endpoints.text_to_video import TextToVideo
from kling_async.wire.request_fields import image_source

__all__ = ["video"]

EXAMPLES: Final = """\
Examples:
  kling-async video "a paper boat leaves the harbour"
  kling-async video "it sails away" --image boat.png -d 10
  kling-async video --emulator --json - < prompts.txt
"""


def _field(*names: str, metavar: str | None, help: str) -> Any:  # noqa: A002 (typer's own word)
    return typer.Option(*names, metavar=metavar, help=help, show_default=False, rich_help_panel="The videos")


@attrs.frozen(kw_only=True)
class VideoFields:
    """
    The fields of a request for a video, without the prompt.
    """

    image: Annotated[str | None, _field(metavar="FILE|URL", help="First frame.")] = None
    tail: Annotated[str | None, _field("--tail", "--image-tail", metavar="FILE|URL", help="Last frame.")] = None
    duration: Annotated[int, _field("--duration", "-d", metavar="S", help="Seconds (default 5)")] = 5
    mode: Annotated[str | None, _field(metavar="std|pro|4k", help="720p, 1080p or 4k.")] = None
    sound: Annotated[bool | None, _field("--sound/--no-sound", metavar=None, help="Whether with sound.")] = None
    aspect_ratio: Annotated[str | None, _field(metavar="W:H", help="Without pictures.")] = None
    negative_prompt: Annotated[str | None, _field(metavar="TEXT", help="What not to show.")] = None
    model_name: Annotated[str | None, _field("--model-name", "--model", metavar="NAME", help="Such as kling-v3.")] = (
        None
    )

    def make_requests(self, prompts: Sequence[str]) -> list[TaskRequest]:
        """
        Return a request for each prompt: from pictures if there is one, otherwise from text.
        """
        pictures = {"image": self.image, "image_tail": self.tail}
        sources: dict[str, Any] = {name: image_source(text) for name, text in pictures.items() if text is not None}
        fields = {name: value for name, value in attrs.asdict(self).items() if name not in ("image", "tail")}
        if not sources:
            return [TextToVideo(prompt, **fields) for prompt in prompts]
        if fields.pop("aspect_ratio") is not None:
            raise typer.BadParameter("the video has the ratio of its picture", param_hint="--aspect-ratio")
        return [ImageToVideo(prompt=prompt, **sources, **fields) for prompt in prompts]


@with_option_groups
def video(
    *,
    prompts: Annotated[list[str], typer.Argument(metavar="PROMPT", help="What happens; - reads stdin.")],
    fields: VideoFields,
    out: Annotated[Any, out_option("videos/")] = Path("videos"),
    name: Name = DEFAULT_NAME,
    as_json: AsJson = False,
    spending: SpendingOptions,
    service: EmulatedServiceOptions,
    timeout: Annotated[float, timeout_option(1800)] = 1800.0,
) -> None:
    """
    Generate videos from prompts, or prompts and pictures.

    The key is in KLING_API_KEY, or in KLING_ACCESS_KEY and KLING_SECRET_KEY.
    """
    texts = read_words(prompts)
    requests = fields.make_requests(texts)
    if service.is_emulated:
        require_pillow()
    run(run_requests(requests, service, spending, out, name=name, timeout=timeout, as_json=as_json))
