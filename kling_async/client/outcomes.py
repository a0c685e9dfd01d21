"""
The outcome of one request of a stream or batch.
"""

from pathlib import Path
from typing import Any

import attrs

from kling_async.errors import KlingError
from kling_async.media.saved_files import SavedFile
from kling_async.wire.endpoints.base import TaskRequest
from kling_async.wire.endpoints.registry import caption_of
from kling_async.wire.notebook_html import html_of
from kling_async.wire.tasks import TaskResult

__all__ = ["Done", "Failed"]


@attrs.frozen
class Done:
    """
    A request of a stream or batch whose task succeeded.

    Attributes:
        index: Counts the requests from 0 in the order of the input.
        key: Its key in a batch; None in a stream.
        result: Its files at the service.
        paths: The paths of its files on disk, in order; empty if none were saved, or if they are in remote storage.
        value: The return values of a batch's `process=` for its files, a tuple in order; otherwise None. Your program
            may set it with `attrs.evolve`.
        files: The files that a batch has saved, on disk or in remote storage; empty in a stream.
    """

    index: int
    key: str | None
    request: TaskRequest
    result: TaskResult
    paths: tuple[Path, ...] = ()
    value: Any = None
    files: tuple[SavedFile, ...] = ()

    @property
    def caption(self) -> str:
        """
        Return a text that identifies the request for people, usually its prompt.
        """
        return caption_of(self.request)

    def _repr_html_(self) -> str:
        return html_of(self)


@attrs.frozen
class Failed:
    """
    A request of a stream or batch that failed.

    Attributes:
        index: Counts the requests from 0 in the order of the input.
        key: Its key in a batch; None in a stream.
        request: What was asked for; None if it could not be read.
        error: The reason; `error.task_id` if there is a task.
    """

    index: int
    key: str | None
    request: TaskRequest | None
    error: KlingError

    @property
    def caption(self) -> str:
        """
        Return a text that identifies the request for people; empty if it could not be read.
        """
        return caption_of(self.request)

    def _repr_html_(self) -> str:
        return html_of(self)
