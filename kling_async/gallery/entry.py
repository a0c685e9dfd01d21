"""
One entry of a gallery.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, cast

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
        units: What the whole task was billed in units.
        cash: The same of what it was billed in cash.
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
    cash: Decimal | None = None
    state: str = "done"
    error: str | None = None

    @property
    def name(self) -> str:
        """
        What to call it: the prompt, or the file's name, or the task's id.
        """
        return self.prompt or (self.path.name if self.path is not None else self.task_id or "")


_URL_OR_CONTENT: Final = re.compile(r"https?://|data:|[A-Za-z0-9+/]{100}", re.IGNORECASE)
"""
Text that is shown as "given": a URL may be signed, and the content of a file is long.
"""

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
            name: _describe_file(value) if name in inputs else _describe(value)
            for name, value in fields.items()
            if name not in _SHOWN_ELSEWHERE and not _is_empty(value)
        },
    )


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, (list, tuple, Mapping)) and not value)


def _describe_file(source: object) -> str:
    # Without its content, which may be large, and without URLs, which may be signed.
    if isinstance(source, Path):
        return source.name
    if isinstance(source, (list, tuple)):
        return ", ".join(source.name if isinstance(source, Path) else "given" for source in source)
    return "given"


def _describe(value: object) -> object:
    match value:
        case bool():
            return "on" if value else "off"
        case Mapping():
            return ", ".join(f"{name} {_describe(part)}" for name, part in value.items() if not _is_empty(part))
        case list() | tuple():
            return "; ".join(str(_describe(part)) for part in value)
        case bytes() | Path():
            return _describe_file(value)
        case str():
            return "given" if _URL_OR_CONTENT.match(value) else value
        case _ if attrs.has(type(value)):
            return _describe(attrs.asdict(cast("Any", value), recurse=False))
        case _:
            return value
