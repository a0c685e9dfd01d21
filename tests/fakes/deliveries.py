"""
Deliveries without a client: a submit on a given transport, with slots that are never wanted by others.
"""

import asyncio
from typing import Any

import attrs

from kling_async.client.delivery import Delivery, SubmitObserver
from kling_async.client.events import TaskEvents
from kling_async.client.exchange import RequestBody
from kling_async.client.spending import Charge, Spending
from kling_async.client.submission import Submission
from kling_async.client.transport import Transport
from kling_async.errors import RateLimited
from kling_async.wire.dialects import GATEWAY
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION, ImageRequest
from kling_async.wire.tasks import TaskSnapshot


@attrs.define
class LonelyLease:
    """
    Slots of a submit while nothing else of ours runs, or only until *busy_until*.
    """

    busy_until: float = 0.0
    since: float | None = None

    def note_refused(self, _: RateLimited) -> bool:
        now = asyncio.get_running_loop().time()
        self.since = now if self.since is None or now < self.busy_until else self.since
        return False

    def refused_seconds(self) -> float:
        return 0.0 if self.since is None else asyncio.get_running_loop().time() - self.since

    async def reacquire(self) -> None:
        pass

    def release(self) -> None:
        pass


class Recorder(SubmitObserver):
    """
    Keeps what is announced and withdrawn; raises *error* in place of the former.
    """

    def __init__(self, error: BaseException | None = None) -> None:
        self.steps: list[str] = []
        self._error = error

    async def sending(self, submit_key: str | None) -> None:
        await asyncio.sleep(0)
        if self._error is not None:
            raise self._error
        self.steps.append("sending")

    def withdrawn(self) -> None:
        self.steps.append("withdrawn")


def delivery(
    external_id: str | None = None,
    *,
    busy_until: float = 0.0,
    observer: SubmitObserver | None = None,
    **facts: Any,
) -> Delivery:
    lease: Any = LonelyLease(busy_until)
    transport: Any = None  # given by `submit`
    return Delivery(
        request=ImageRequest("a lighthouse"),
        endpoint=IMAGE_GENERATION,
        lease=lease,
        charge=Charge(Spending(GATEWAY, None), IMAGE_GENERATION),
        subscription=None,
        observer=observer or SubmitObserver(),
        events=TaskEvents(None),
        submission=Submission(external_id, sent_at=0.0, **facts),
        body=RequestBody(b'{"prompt":"a lighthouse"}', is_traceable=external_id is not None),
        transport=transport,
    )


async def submit(transport: Transport, sent: Delivery) -> TaskSnapshot:
    """
    Submit as the client does; what begins as uncertain is looked up first.
    """
    sent._transport = transport
    found = await sent.find() if sent.submission.ambiguous_error is not None else None
    return found or await sent.send()
