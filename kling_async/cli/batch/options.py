"""
What was asked for on the command line, apart from the requests themselves.
"""

import enum
from pathlib import Path

import attrs

from kling_async.cli.service_options import ServiceOptions
from kling_async.client.callbacks.receiver import CallbackReceiver
from kling_async.media.storage import Storage

__all__ = ["BatchOptions", "CallbackServer", "MissingRows"]


class MissingRows(enum.Enum):
    """
    What becomes of rows of the journal that are still to be sent, and are not in the input any more.
    """

    REPORTED = "nothing is sent before somebody decides"
    KEPT = "they are sent as well"
    DROPPED = "they are forgotten"


@attrs.frozen
class CallbackServer:
    """
    A receiver of callbacks, and where it listens.
    """

    receiver: CallbackReceiver
    host: str
    port: int


@attrs.frozen(kw_only=True)
class BatchOptions:
    """
    How a batch is to be run.

    Attributes:
        name: The template of the pictures' names.
        timeout: Seconds to wait for each task, from acceptance.
        rebinds: Whether to go on though the journal was run with another key, base URL or dialect.
        scheduler: Address of the Dask cluster that is to fetch the pictures; None for this process.
    """

    access: ServiceOptions
    journal: Path
    out: Path | Storage
    name: str
    max_attempts: int
    timeout: float
    resends_uncertain: bool
    rebinds: bool
    skips_invalid: bool
    missing: MissingRows
    hook: CallbackServer | None
    scheduler: str | None
    as_json: bool
