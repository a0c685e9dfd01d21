"""
The callbacks of an account as values: content, address and time of each, with faults applied. No waiting, no aiohttp.
"""

import hashlib
import heapq
import itertools
from collections.abc import Collection, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import attrs

from kling_async.emulator import response_bodies
from kling_async.emulator.account import Account
from kling_async.emulator.fault_plan import FaultPlan
from kling_async.emulator.task_record import TaskRecord
from kling_async.wire.codec import write_task
from kling_async.wire.endpoints.registry import caption_of
from kling_async.wire.json_text import dumps
from kling_async.wire.tasks import TaskOutput, TaskSnapshot, TaskStatus
from kling_async.wire.webhooks import sign

FORGED: Final = "forged"

_WRONG_SECRET: Final = "whsec_Zm9yZ2VkIGZvcmdlZCBmb3JnZWQ="  # noqa: S105 (not a secret)
_JSON: Final = {"Content-Type": "application/json; charset=utf-8"}


@attrs.frozen(kw_only=True)
class Webhook:
    """
    One callback, ready to be sent.

    Attributes:
        task_id: The account's id of the task. Webhooks of one task are sent one after another.
        word: Its name in the ledger: the word for the task's status, or "forged".
    """

    task_id: str
    word: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@attrs.frozen(order=True)
class _ScheduledWebhook:
    """
    A change to report at a time. Changes at the same time are sorted by task, and then by rank.
    """

    at: float
    ordinal: int
    rank: int
    record: TaskRecord = attrs.field(order=False)
    changed_at: float = attrs.field(order=False)
    kinds: frozenset[str] = attrs.field(order=False)


class WebhookQueue:
    """
    Reports each change of the tasks that have a `callback_url` like the vendor does, with the faults of *plan*.
    """

    def __init__(self, account: Account, plan: FaultPlan) -> None:
        self._account = account
        self._plan = plan
        self._secret = account.settings.callback_secret
        self._due: list[_ScheduledWebhook] = []
        self._numbers = itertools.count(1)

    @property
    def next_at(self) -> float:
        """
        When `take` has something to do next, in epoch seconds; infinite if nothing is scheduled.
        """
        change = self._account.next_change
        return min(change, self._due[0].at) if self._due else change

    def take(self, now: float) -> Iterator[Webhook]:
        """
        Yield, once each, the webhooks that are due at *now*, signed at *now*.
        """
        for record, changed_at in self._account.take_changes(now):
            heapq.heappush(self._due, self._schedule(record, changed_at))
        while self._due and self._due[0].at <= now:
            yield from self._write(heapq.heappop(self._due), now)

    def _schedule(self, record: TaskRecord, changed_at: float) -> _ScheduledWebhook:
        faults = self._plan.next_faults("callback", caption_of(record.request))
        kinds = frozenset(fault.kind for fault in faults)
        changes = record.changes
        at, rank = changed_at, changes.index(changed_at)
        if "callback_reordered" in kinds:
            at, rank = changes[-1], 2 * len(changes) - rank
        at += sum(fault.seconds for fault in faults if fault.kind == "callback_delayed")
        return _ScheduledWebhook(at, record.ordinal, rank, record, changed_at, kinds)

    def _write(self, due: _ScheduledWebhook, now: float) -> Iterator[Webhook]:
        snapshot = self._account.snapshot_of(due.record, due.changed_at)
        kinds = due.kinds | {"callback_new_standard"} if due.record.is_new else due.kinds
        url = due.record.request.callback_url or ""
        if "callback_forged" in due.kinds:
            for address in (url, _misdirected(url)):
                yield self._webhook(_forged(snapshot), address, FORGED, _WRONG_SECRET, now)
        if "callback_lost" in due.kinds:
            return
        secret = None if "callback_unsigned" in due.kinds else self._secret
        webhook = self._webhook(snapshot, url, snapshot.status_word, secret, now, kinds)
        yield webhook
        if "callback_doubled" in due.kinds:
            yield webhook

    def _webhook(
        self,
        snapshot: TaskSnapshot,
        url: str,
        word: str,
        secret: str | None,
        now: float,
        kinds: Collection[str] = (),
    ) -> Webhook:
        body = dumps(self._payload(snapshot, kinds))
        signature = sign(secret, f"{snapshot.task_id}-{next(self._numbers)}", now, body) if secret is not None else {}
        return Webhook(task_id=snapshot.task_id, word=word, url=url, headers={**_JSON, **signature}, body=body)

    def _payload(self, snapshot: TaskSnapshot, kinds: Collection[str]) -> response_bodies.Payload:
        if "callback_other_id" in kinds:
            snapshot = attrs.evolve(snapshot, task_id=_other_id(snapshot.task_id))
        if "callback_new_standard" in kinds:
            return response_bodies.new_standard(snapshot)
        task = write_task(snapshot)
        return (
            response_bodies.success_body(task, self._account.next_request_id())
            if "callback_enveloped" in kinds
            else task
        )


def _forged(snapshot: TaskSnapshot) -> TaskSnapshot:
    return attrs.evolve(
        snapshot,
        task_status=TaskStatus.FAILED,
        status_word=TaskStatus.FAILED.value,
        task_status_msg=FORGED,
        task_result=TaskOutput(),
    )


def _misdirected(url: str) -> str:
    # The last character of the path belongs to the token, if there is one: nearly right.
    parts = urlsplit(url)
    path = parts.path[:-1] or "/"
    return urlunsplit(parts._replace(path=path + ("B" if parts.path.endswith("A") else "A")))


def _other_id(task_id: str) -> str:
    return str(10**17 + int.from_bytes(hashlib.sha256(task_id.encode()).digest()) % (9 * 10**17))
