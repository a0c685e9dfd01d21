"""
Records of new tasks: their ids, times and prices, by the account's settings and its seed.
"""

import base64
import hashlib
import math
import random
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

from kling_async.emulator.settings import Settings
from kling_async.emulator.source_files import length_of_source
from kling_async.emulator.task_record import TaskOutcome, TaskRecord
from kling_async.wire.endpoints.base import Endpoint, TaskRequest, sources_of, with_fields, with_sources

__all__ = ["new_record", "with_shared_files"]

R = TypeVar("R", bound=TaskRequest)

_QUEUED: Final = 0.15  # the part of its time that a task stays "submitted"


def new_record(
    endpoint: Endpoint[Any],
    request: Any,
    now: float,
    outcome: TaskOutcome,
    *,
    settings: Settings,
    earlier: Mapping[str, TaskRecord],
) -> TaskRecord:
    """
    Return the record of a task. Equal seeds and equal numbers of earlier tasks give equal times and pictures.

    Args:
        now: When it is created, in epoch seconds.
        earlier: The account's tasks by their ids: a file of one may be the input of the new one.
    """
    dialect = settings.dialect
    ordinal = len(earlier) + 1
    dice = random.Random(f"{settings.seed} task {ordinal}")  # noqa: S311 (repeatable on purpose)
    seconds = dice.uniform(*settings.latency)
    seed = dice.getrandbits(32)
    most = endpoint.files(request)
    count = most if endpoint.fewest_files is None else dice.randint(endpoint.fewest_files(request), most)
    length = length_of_source(request, earlier, settings)
    return TaskRecord(
        task_id=_make_task_id(ordinal, now, settings),
        endpoint=endpoint,
        request=request,
        model_name=getattr(request, "model_name", None) or dialect.default_model,
        bucket=endpoint.bucket(request, dialect),
        ordinal=ordinal,
        created_at=now,
        started_at=now + _QUEUED * seconds,
        done_at=math.inf if outcome.is_stuck else now + seconds,
        price=_price_of(endpoint, request, settings, count, length),
        seed=seed,
        outcome=outcome,
        count=count,
        seconds=length,
    )


def with_shared_files(request: R, endpoint: Endpoint[Any], texts: dict[str, str]) -> R:
    """
    Return *request* with the equal files that are in *texts*, or put its own there: thousands of requests with the same
    file of ten megabytes must not keep thousands of copies.
    """
    sources = sources_of(endpoint, request)
    shared = {place: texts.setdefault(text, text) for place, text in sources.items() if isinstance(text, str)}
    return with_sources(endpoint, request, shared)


def _make_task_id(ordinal: int, now: float, settings: Settings) -> str:
    # The time is part of it: a restarted service must not give known ids to other tasks.
    digest = hashlib.sha256(f"{settings.seed} {ordinal} {now}".encode()).digest()
    if settings.is_gateway:
        return base64.urlsafe_b64encode(b"\x0a" + digest[:15]).decode().rstrip("=")
    return str(10**17 + int.from_bytes(digest) % (9 * 10**17))


def _price_of(endpoint: Endpoint[Any], request: Any, settings: Settings, count: int, length: float | None) -> Decimal:
    if getattr(request, "duration", 0) is None:  # of a video to edit, which is not fetched here
        request = with_fields(request, duration=max(1, round(settings.media_seconds)))
    if (units := endpoint.units(request, settings.dialect)) is not None:
        return Decimal(units)
    seconds = settings.media_seconds if length is None else length
    if (units := endpoint.units_by_length(request, settings.dialect, seconds)) is not None:
        return units
    return Decimal(endpoint.units_at_most(request, settings.dialect) or 0) * count / endpoint.files(request)
