"""
What was asked for on the command line, apart from the requests themselves.
"""

import enum
from pathlib import Path

import attrs

from kling_async.cli.access import Access
from kling_async.client.callbacks.receiver import CallbackReceiver
from kling_async.media.storage import Storage

__all__ = ["Hook", "Missing", "Plan"]


class Missing(enum.Enum):
    """
    What becomes of rows of the journal that are still to be sent, and are not in the input any more.
    """

    TOLD = "nothing is sent before somebody decides"
    KEPT = "they are sent as well"
    DROPPED = "they are forgotten"


@attrs.frozen
class Hook:
    """
    A receiver of callbacks, and where it listens.
    """

    receiver: CallbackReceiver
    host: str
    port: int


@attrs.frozen(kw_only=True)
class Plan:
    """
    How a batch is to be run.

    Attributes:
        name: The template of the pictures' names.
        timeout: Seconds to wait for each task, from acceptance.
        rebinds: Whether to go on though the journal was run with another key, base URL or dialect.
        scheduler: Address of the Dask cluster that is to fetch the pictures; None for this process.
    """

    access: Access
    journal: Path
    out: Path | Storage
    name: str
    max_attempts: int
    timeout: float
    resends_uncertain: bool
    rebinds: bool
    skips_invalid: bool
    missing: Missing
    hook: Hook | None
    scheduler: str | None
    as_json: bool
