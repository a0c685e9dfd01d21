"""
What a gallery knows of a picture, wherever it knows it from.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final

import attrs

from kling_async.wire.endpoints.base import TaskRequest
from kling_async.wire.endpoints.registry import caption_of, endpoint_of

__all__ = ["GalleryEntry", "entry_of"]


@attrs.frozen(kw_only=True, hash=False)
class GalleryEntry:
    """
    One picture, or a task that made none. What is not known is None, and not shown.

    Attributes:
        path: The picture's file; None where there is none.
        prompt: Empty where it is not known; the file's name stands in for it.
        negative_prompt: What it should not show.
        model_name: The model that was asked for.
        settings: What else was asked for, in the order in which it is shown; names are the wire's.
        index: Which of its task's pictures; counts from 0.
        seconds: Seconds that the whole task took, from acceptance to its end, or to the last file where that is known.
        units: What the service took for the whole task.
        state: One word to filter by.
        error: Why there is no picture, or not all of them.
    """

    path: Path | None = None
    prompt: str = ""
    negative_prompt: str | None = None
    model_name: str | None = None
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
        What the picture is called: its prompt, else its file's name, else its task's id.
        """
        return self.prompt or (self.path.name if self.path is not None else self.task_id or "")


_SETTINGS: Final = ("aspect_ratio", "resolution", "n", "image_reference", "image_fidelity", "human_fidelity")


def entry_of(request: TaskRequest) -> GalleryEntry:
    """
    Return what *request* says about its files; `attrs.evolve` adds the facts of its task.
    """
    settings = {name: value for name in _SETTINGS if (value := getattr(request, name, None)) is not None}
    for each in endpoint_of(type(request)).inputs:
        source = getattr(request, each.field)
        if source is not None:
            settings[each.field] = source.name if isinstance(source, Path) else "given"
    return GalleryEntry(
        prompt=caption_of(request),
        negative_prompt=getattr(request, "negative_prompt", None),
        model_name=getattr(request, "model_name", None),
        settings=settings,
    )
