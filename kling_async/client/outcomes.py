"""
What comes of one request of many: of a stream's, or of a batch's.
"""

from pathlib import Path
from typing import Any

import attrs

from kling_async.errors import KlingError
from kling_async.media.saved_files import SavedFile
from kling_async.wire.endpoints.base import TaskRequest
from kling_async.wire.endpoints.registry import caption_of
from kling_async.wire.html import html_of
from kling_async.wire.tasks import TaskResult

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
        return html_of(self)


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
        return html_of(self)
