"""
What programs may be told while a client works: one value for each step of a submit and of its task.
"""

import enum
from pathlib import Path

import attrs

from kling_async.errors import KlingError
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.tasks import TaskSnapshot

__all__ = ["EventKind", "TaskEvent"]


class EventKind(enum.Enum):
    """
    What happened.

    Of each submit come WAITING, SENDING and RETRY in any number, then either SUBMITTED or NO_TASK. Of its task come
    PROCESSING (not of all, as looks are rare), TROUBLE in any number, and FINAL once. In a batch, a task of an earlier
    run begins with RESUMED. A task that was picked up by its id begins with whatever is seen of it.
    """

    WAITING = "waiting"
    """
    It waits for free slots; `error` is the refusal, where it had been sent and the service had none left.
    """

    SENDING = "sending"
    """
    It has its slots, and is on its way to the service; once more after each refusal.
    """

    RETRY = "retry"
    """
    It went wrong with `error`, and goes on in `delay` seconds: is sent again, or looked for where it may have arrived.
    """

    SUBMITTED = "submitted"
    """
    The service has accepted it; from here on there is a `task_id`, and something to pay.
    """

    NO_TASK = "no_task"
    """
    It ended without a task that is known; `error` says why, None where its caller cancelled it or an exception that is
    none of ours ended it. After `SubmissionUncertain` a callback may still tell of one: then SUBMITTED follows.
    """

    RESUMED = "resumed"
    """
    A task that an earlier run had submitted is watched again.
    """

    PROCESSING = "processing"
    """
    The service works on it.
    """

    FINAL = "final"
    """
    It has ended, well or badly, as `snapshot` tells; its slots are free.
    """

    TROUBLE = "trouble"
    """
    Every wait for it has ended with `error`, such as a closed client or a refused key; the task itself may go on.
    """

    SAVED = "saved"
    """
    Pictures of it are on the disk, at `paths`; `error` where some did not arrive.
    """


@attrs.frozen(kw_only=True)
class TaskEvent:
    """
    One step of one submit and of its task.

    Attributes:
        at: Unix time in seconds.
        number: Counts the submits of the client from 1; None for a task that was picked up by its id.
        task_id: None until the service has accepted the task.
        request: What was asked for; None for a task that was picked up by its id.
        snapshot: The sighting that told of it, from SUBMITTED on.
        error: What went wrong. Errors hide keys and queries of URLs.
        delay: Seconds until it goes on, with RETRY alone.
        paths: With SAVED alone, in the order of the pictures.
        urls: With SAVED alone, of pictures that went to a storage.
    """

    kind: EventKind
    at: float
    number: int | None = None
    task_id: str | None = None
    request: ImageRequest | None = None
    snapshot: TaskSnapshot | None = None
    error: KlingError | None = None
    delay: float | None = None
    paths: tuple[Path, ...] = ()
    urls: tuple[str, ...] = ()

    @property
    def key(self) -> int | str | None:
        """
        What all events of one submit and its task have in common: the `number`, or where there is none the `task_id`.
        """
        return self.task_id if self.number is None else self.number
