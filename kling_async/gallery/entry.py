"""
One entry of a gallery.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs

from kling_async.wire.endpoints.base import TaskRequest
from kling_async.wire.endpoints.registry import caption_of, endpoint_of

__all__ = ["GalleryEntry", "entry_of"]


@attrs.frozen(kw_only=True, hash=False)
class GalleryEntry:
    """
    One picture, video or sound, or a task without files. Unknown facts are None, and not shown.

    Attributes:
        path: The file; None if there is none.
        prompt: Empty if it is unknown; the file's name is shown instead.
        negative_prompt: What the file should not show.
        model_name: The requested model.
        endpoint: The name of the endpoint of its task, such as "image-generation".
        settings: The other fields of the request, in the order in which they are shown; names are the wire's.
        index: The file's place among those of its task; counts from 0.
        seconds: Seconds from the task's acceptance to its end, or to the last file if that is known.
        units: The cost of the whole task.
        state: A word to filter by.
        error: Why there is no file, or why some are missing.
    """

    path: Path | None = None
    prompt: str = ""
    negative_prompt: str | None = None
    model_name: str | None = None
    endpoint: str | None = None
    settings: Mapping[str, object] = attrs.field(factory=dict)
    index: int | None = None
    task_id: str | None = None
    seconds: float | None = None
    units: Decimal | None = None
    state: str = "done"
    error: str | None = None

    @property
    def name(self) -> str:
        """
        What to call it: the prompt, or the file's name, or the task's id.
        """
        return self.prompt or (self.path.name if self.path is not None else self.task_id or "")


_SHOWN_ELSEWHERE: Final = {"prompt", "negative_prompt", "model_name", "callback_url", "external_task_id"}


def entry_of(request: TaskRequest) -> GalleryEntry:
    """
    Return an entry with what *request* says; add the results with `attrs.evolve`.
    """
    fields: dict[str, Any] = attrs.asdict(request, recurse=False)
    endpoint = endpoint_of(type(request))
    inputs = {each.field for each in endpoint.inputs}
    return GalleryEntry(
        prompt=caption_of(request),
        negative_prompt=fields.get("negative_prompt"),
        model_name=fields.get("model_name"),
        endpoint=endpoint.name,
        settings={
            name: _describe_file(value) if name in inputs else value
            for name, value in fields.items()
            if value is not None and name not in _SHOWN_ELSEWHERE
        },
    )


def _describe_file(source: object) -> str:
    # Without its content, which may be large, and without URLs, which may be signed.
    if isinstance(source, Path):
        return source.name
    if isinstance(source, (list, tuple)):
        names = [each.name for each in source if isinstance(each, Path)]
        return ", ".join(names) if len(names) == len(source) else f"{len(source)} given"
    return "given"
