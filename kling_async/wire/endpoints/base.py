"""
One row per endpoint: what is posted where, what it makes and how many slots it takes.

A further endpoint of the vendor is a further row here and its request class in `models`.
"""

from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar
from urllib.parse import quote

import attrs

from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.wire.redaction import shorten
from kling_async.wire.tasks import ImageRequest, TaskOutput

__all__ = ["ENDPOINTS", "ID_LENGTH", "IMAGE_GENERATION", "Endpoint", "several", "stands_in_path"]

R = TypeVar("R")


ID_LENGTH: Final = 256
"""
Characters of the longest id that is taken for one. The vendor documents no limit; its ids have 18 or 19 digits, or 36
characters where they are UUIDs. The relay new-api keeps ids in a column of 191 characters (`TaskID` in its
`model/task.go`). Even quoted, an id of this length fits into the 8190 bytes of a request line that servers take.
"""


def stands_in_path(any_id: str) -> bool:
    """
    Tell whether *any_id* can be the last part of a path: a path of dots leads elsewhere, an empty one to the list.
    """
    return len(any_id) <= ID_LENGTH and any_id.strip() not in ("", ".", "..") and any_id.isprintable()


@attrs.frozen(kw_only=True)
class Endpoint(Generic[R]):
    """
    One endpoint that makes tasks.

    Attributes:
        name: In words, for messages.
        path: What follows a client's `base_url`, for POST; tasks are read below it.
        request_class: What it is asked with.
        output_class: What its tasks make.
        slots: How many of the account's slots a request takes, from acceptance until the task is final.
    """

    name: str
    path: str
    request_class: type[R]
    output_class: type
    slots: Callable[[R], int]

    def one(self, any_id: str) -> str:
        """
        Return the path of one task, by its task id or, where the service knows those, its external id.

        Raises:
            InvalidRequest: No task can have such an id.
        """
        if not stands_in_path(any_id):
            rule = f"must be an id that can stand in a path, of at most {ID_LENGTH} characters"
            broken = BrokenRule("task_id", repr(shorten(any_id)), rule)
            raise InvalidRequest(str(broken), broken=(broken,))
        return f"{self.path}/{quote(any_id, safe='')}"

    def page(self, number: int, size: int) -> str:
        """
        Return the path of a page of the account's tasks; *number* counts from 1, *size* is at most 500.
        """
        return f"{self.path}?pageNum={number}&pageSize={size}"


def several(task_ids: Iterable[str]) -> str:
    """
    Return the path of several tasks, of whatever endpoint, by their task ids (the vendor's new standard; 20 at most).
    """
    return "/tasks?task_ids=" + ",".join(quote(task_id, safe="") for task_id in task_ids)


IMAGE_GENERATION: Final = Endpoint(
    name="image generation",
    path="/v1/images/generations",
    request_class=ImageRequest,
    output_class=TaskOutput,
    slots=lambda request: request.n,
)
"""
Images from text or an image. A task takes a slot for each picture (the vendor's concurrency rules).
"""

ENDPOINTS: Final = (IMAGE_GENERATION,)
"""
All that this version knows.
"""
