"""
What comes of one request of many: of a stream's, or of a batch's.
"""

import inspect
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from kling_async.errors import KlingError
from kling_async.media.saved_files import SavedFile
from kling_async.wire import cards
from kling_async.wire.cards import Figure, Tone
from kling_async.wire.endpoints.base import TaskRequest
from kling_async.wire.endpoints.registry import caption_of
from kling_async.wire.tasks import TaskResult, _how_many, _shown_cash, _shown_units

__all__ = ["Done", "Failed"]


@attrs.frozen
class Done:
    """
    One request of many that ended well.

    Attributes:
        index: Counts the requests from 0 in the order of the input.
        key: By which a batch knows it; None in a stream.
        result: Its pictures at the service.
        paths: Its pictures on the disk, in their order; empty where none were to be saved, or in a storage.
        value: What a batch's `process=` has made of its pictures, a tuple in their order; else None, and room for what
            a program of yours adds by `attrs.evolve`.
        pictures: What is known of those that a batch has saved, on the disk or in a storage; empty in a stream.
    """

    index: int
    key: str | None
    request: TaskRequest
    result: TaskResult
    paths: tuple[Path, ...] = ()
    value: Any = None
    pictures: tuple[SavedFile, ...] = ()

    @property
    def caption(self) -> str:
        """
        Return the text that shows people which request it was, mostly its prompt.
        """
        return caption_of(self.request)

    def _repr_html_(self) -> str:
        # By their URLs: for as long as those live they show everywhere, while VS Code finds no file of an output.
        captions = itertools.chain((path.name for path in self.paths), itertools.repeat(""))
        images, prompt = self.result.images, self.caption
        return cards.card(
            prompt,
            facts=(
                *_facts_of(self),
                _how_many(images),
                _shown_units(self.result.snapshot.final_unit_deduction),
                _shown_cash(self.result.snapshot.final_balance_deduction),
                f"task {self.result.task_id}",
            ),
            figures=[Figure(image.url, prompt, caption) for image, caption in zip(images, captions, strict=False)],
        )


@attrs.frozen
class Failed:
    """
    One request of many that did not end well.

    Attributes:
        index: Counts the requests from 0 in the order of the input.
        key: By which a batch knows it; None in a stream.
        request: What was asked, None where it could not be read.
        error: Why; `error.task_id` where there is a task.
    """

    index: int
    key: str | None
    request: TaskRequest | None
    error: KlingError

    @property
    def caption(self) -> str:
        """
        Return the text that shows people which request it was; empty where it could not be read.
        """
        return caption_of(self.request)

    def _repr_html_(self) -> str:
        kind = type(self.error)
        return cards.card(
            self.caption,
            mark=kind.__name__,
            tone=Tone.BADLY,
            text=str(self.error),
            facts=_facts_of(self),
            note=" ".join(inspect.cleandoc(kind.__doc__ or "").split()),  # it says what that means for the caller
        )


def _facts_of(outcome: Done | Failed) -> Iterator[str]:
    yield f"#{outcome.index}"
    for field in ("model_name", "aspect_ratio"):
        yield str(getattr(outcome.request, field, None) or "")
