"""
The simulated service: tasks, slots, money and ids, as values; whoever calls says what time it is.
"""

import base64
import datetime as dt
import hashlib
import heapq
import hmac
import math
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import attrs

from kling_async.emulator import error_messages
from kling_async.emulator.ledger import CreatedTask, Ledger
from kling_async.emulator.settings import Settings
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION, ImageRequest
from kling_async.wire.tasks import BalanceDeduction, Image, TaskInfo, TaskOutput, TaskSnapshot, TaskStatus

RISK_CONTROL = "Failure to pass the risk control system"
"""
The vendor's words for a task that failed since its content policy does not let the prompt or picture pass.
"""

_QUEUED = 0.15  # the part of its time that a task stays "submitted"


@attrs.define(slots=False)
class ApiError(Exception):
    """
    The service says no.

    Attributes:
        http_status: As the vendor's table of errors has it for the code.
        code: The vendor's, such as 1303.
        message: The vendor's words.
    """

    http_status: int
    code: int
    message: str


@attrs.frozen(kw_only=True)
class TaskOutcome:
    """
    What is to become of a task, decided when it is accepted.

    Attributes:
        failure: Why it will fail; None lets it succeed.
        is_stuck: It never ends, and keeps its slots for good.
        word: What its status is called in place of "processing".
        pictures_after: Seconds for which it has succeeded already but lists no picture yet.
        missing: Pictures it makes too few.
    """

    failure: str | None = None
    is_stuck: bool = False
    word: str = TaskStatus.PROCESSING.value
    pictures_after: float = 0.0
    missing: int = 0


SUCCESS = TaskOutcome()


@attrs.frozen(kw_only=True)
class TaskRecord:
    """
    A task's whole story, written when it is accepted: what it is at a moment follows from the moment.

    Attributes:
        model_name: The model that runs, where the request named none the dialect's default.
        ordinal: Counts accepted tasks from 1.
        created_at: Epoch seconds of its acceptance.
        started_at: Epoch seconds from which it is processed.
        done_at: Epoch seconds of its end; infinite for a stuck task.
        units: What it costs in the end: 0 for one that fails.
        picture_seed: Makes its pictures differ from those of an equal request.
        outcome: What was decided about it at acceptance.
        watermark: Whether its pictures also come with a watermark; None where the request said nothing about it.
    """

    task_id: str
    request: ImageRequest
    model_name: str
    ordinal: int
    created_at: float
    started_at: float
    done_at: float
    units: int
    picture_seed: int
    outcome: TaskOutcome
    watermark: bool | None = None

    def status_at(self, now: float) -> TaskStatus:
        """
        Return how it is at *now*, in epoch seconds.
        """
        if now >= self.done_at:
            return TaskStatus.FAILED if self.outcome.failure is not None else TaskStatus.SUCCEEDED
        return TaskStatus.PROCESSING if now >= self.started_at else TaskStatus.SUBMITTED

    @property
    def changes(self) -> tuple[float, ...]:
        """
        When its status changes, acceptance included; a status that takes no time is passed over.
        """
        return tuple(sorted({self.created_at, self.started_at, self.done_at} - {math.inf}))

    def pictures_at(self, now: float) -> int:
        """
        Return how many pictures there are to see.
        """
        if self.outcome.failure is not None or now < self.done_at + self.outcome.pictures_after:
            return 0
        return max(0, self.request.n - self.outcome.missing)


class Account:
    """
    One account at the simulated service. No sockets, no waiting, no clock: *now* is epoch seconds, from the caller.

    Attributes:
        settings: Of the account.
        origin: Scheme, host and port of picture URLs.
        ledger: What was created and billed; call `settle` before you read it.
    """

    def __init__(self, settings: Settings | None = None, *, origin: str = "http://127.0.0.1") -> None:
        self.settings: Settings = settings or Settings()
        self.origin = origin
        self.ledger: Final = Ledger()
        self._records: list[TaskRecord] = []
        self._by_task_id: dict[str, TaskRecord] = {}
        self._by_external_id: dict[str, TaskRecord] = {}
        self._running: list[tuple[float, int, TaskRecord]] = []
        self._changes: list[tuple[float, int, TaskRecord]] = []  # to come, of tasks that report them
        self._slots_used: Counter[str] = Counter()
        self._units_reserved = 0
        self._units_spent = 0
        self._images: dict[str, str] = {}
        self._good_from: dict[str, int] = {}
        self._creates = 0
        self._request_ids = random.Random(f"{self.settings.seed} request ids")  # noqa: S311 (repeatable on purpose)
        self._url_secret = f"{self.settings.seed} picture urls".encode()

    def __repr__(self) -> str:
        return f"<Account {self.settings.dialect.name}: {len(self._records)} tasks, {len(self._running)} running>"

    def create(
        self, request: ImageRequest, now: float, outcome: TaskOutcome = SUCCESS, *, watermark: bool | None = None
    ) -> TaskRecord:
        """
        Accept *request*, which is taken to be valid, or refuse it. With a *watermark* each picture has a marked copy.

        Raises:
            ApiError: Its external id has a task (1201), its prompt holds a refused word (1301), the money (1102) or the
                slots (1303) do not suffice.
        """
        self.settle(now)
        self._creates += 1
        model_name = request.model_name or self.settings.dialect.default_model
        outcome = self._judge(request, outcome)
        units = self._units_of(request)
        try:
            self._refuse_duplicate(request.external_task_id)
            self._refuse_content(request)
            self._refuse_poor(units)
            self._refuse_crowd(model_name, request.n)
        except ApiError as refusal:
            self.ledger.refusals[refusal.code] += 1
            raise
        record = self._make_record(request, model_name, 0 if outcome.failure is not None else units, now, outcome)
        record = attrs.evolve(record, watermark=watermark)
        self._enter(record, units)
        return record

    def _units_of(self, request: ImageRequest) -> int:
        return int(IMAGE_GENERATION.units(request, self.settings.dialect) or 0)

    def recall(self, task_id: str, request: ImageRequest, accepted_at: float) -> TaskRecord:
        """
        Take over a task that an earlier service like this one had accepted then, in epoch seconds. Neither slots nor
        money are counted for it, and the ledger does not know it.
        """
        model_name = request.model_name or self.settings.dialect.default_model
        record = self._make_record(request, model_name, self._units_of(request), accepted_at, SUCCESS)
        record = attrs.evolve(record, task_id=task_id)
        self._list(record)
        return record

    def find(self, any_id: str) -> TaskRecord | None:
        """
        Return the task with this id, or where the dialect knows them with this external id.
        """
        return self.find_task(any_id) or self.find_external(any_id)

    def find_task(self, task_id: str) -> TaskRecord | None:
        """
        Return the task with this id of the service's own.
        """
        return self._by_task_id.get(task_id)

    def find_external(self, external_task_id: str) -> TaskRecord | None:
        """
        Return the task that was made under this id of its client's.
        """
        return self._by_external_id.get(external_task_id)

    def page(self, number: int, size: int) -> list[TaskRecord]:
        """
        Return a page of all tasks, newest first; *number* counts from 1.
        """
        end = len(self._records) - (number - 1) * size
        return self._records[max(0, end - size) : max(0, end)][::-1]

    def snapshot_of(self, record: TaskRecord, now: float) -> TaskSnapshot:
        """
        Return what the service says about a task.
        """
        status = record.status_at(now)
        is_final = now >= record.done_at
        is_paid_in_cash = self.settings.paid_in == "cash"
        return TaskSnapshot(
            task_id=record.task_id,
            task_status=status,
            status_word=record.outcome.word if status is TaskStatus.PROCESSING else status.value,
            task_status_msg=(record.outcome.failure or "") if is_final else "",
            task_result=TaskOutput(self._images_of(record, now) if is_final else ()),
            task_info=TaskInfo(record.request.external_task_id),
            created_at=_as_datetime(record.created_at),
            updated_at=_as_datetime(_updated_at(record, now)),
            final_unit_deduction=Decimal(record.units) if is_final and not is_paid_in_cash else None,
            final_balance_deduction=_cash_of(record.units) if is_final and is_paid_in_cash else None,
        )

    def may_fetch(self, record: TaskRecord, name: str, expires: str, signature: str, now: float) -> bool:
        """
        Tell whether a picture's URL is signed by this service and still good; *name* is as in `picture_name`.
        """
        if (
            not expires.isdecimal()
            or len(expires) > 18
            or not hmac.compare_digest(signature.encode(), self._sign(record.task_id, name, int(expires)).encode())
        ):
            return False
        return now < int(expires) and int(expires) >= self._good_from.get(record.task_id, 0)

    def expire_urls(self, record: TaskRecord, now: float) -> None:
        """
        Make all URLs of a task that were given out so far worthless; whoever reads the task again gets good ones.
        """
        self._good_from[record.task_id] = self._expiry(record, now) + 1

    def slots_used(self, model_name: str, now: float) -> int:
        """
        Return how many pictures of a model are in the making.
        """
        self.settle(now)
        return self._slots_used[model_name]

    def running(self, now: float) -> int:
        """
        Return how many tasks will still end.
        """
        self.settle(now)
        return len(self._running)

    def settle(self, now: float) -> None:
        """
        Give back the slots of tasks that have ended by *now*, and bill them.

        Everything that asks for slots or money does it first; call it before you read the ledger.
        """
        while self._running and self._running[0][0] <= now:
            record = heapq.heappop(self._running)[2]
            self._slots_used[record.model_name] -= record.request.n
            self._units_reserved -= self._units_of(record.request)
            self._units_spent += record.units
            if self.settings.paid_in == "cash":
                self.ledger.cash_billed += record.units * UNIT_PRICE
            else:
                self.ledger.units_billed += record.units

    @property
    def next_change(self) -> float:
        """
        When a task with a `callback_url` changes next; infinite where none does.
        """
        return self._changes[0][0] if self._changes else math.inf

    def take_changes(self, now: float) -> Iterator[tuple[TaskRecord, float]]:
        """
        Yield, once each, the changes up to *now* of tasks with a `callback_url`: the task, and when it changed.
        """
        while self._changes and self._changes[0][0] <= now:
            at, _, record = heapq.heappop(self._changes)
            yield record, at

    def next_request_id(self) -> str:
        """
        Return an id for one answer; equal seeds give equal ones.
        """
        return str(uuid.UUID(int=self._request_ids.getrandbits(128), version=4))

    def _judge(self, request: ImageRequest, outcome: TaskOutcome) -> TaskOutcome:
        if self.settings.refused_as == "failed task" and self._is_refused(request.prompt):
            return attrs.evolve(outcome, failure=RISK_CONTROL)
        return outcome

    def _is_refused(self, prompt: str) -> bool:
        return any(word.casefold() in prompt.casefold() for word in self.settings.refused_words)

    def _refuse_duplicate(self, external_task_id: str | None) -> None:
        if external_task_id is not None and external_task_id in self._by_external_id:
            self.ledger.duplicates_refused += 1
            raise ApiError(400, 1201, f"External_task_id {external_task_id} already exists")

    def _refuse_content(self, request: ImageRequest) -> None:
        if self.settings.refused_as == "refusal" and self._is_refused(request.prompt):
            raise ApiError(400, 1301, error_messages.MESSAGES[1301])

    def _refuse_poor(self, units: int) -> None:
        money = self.settings.units
        if money is not None and self._units_spent + self._units_reserved + units > money:
            raise ApiError(429, 1102, error_messages.MESSAGES[1102])

    def _refuse_crowd(self, model_name: str, n: int) -> None:
        slots = self.settings.slots
        if slots is not None and self._slots_used[model_name] + n > slots:
            raise ApiError(429, 1303, error_messages.MESSAGES[1303])

    def _make_record(
        self, request: ImageRequest, model_name: str, units: int, now: float, outcome: TaskOutcome
    ) -> TaskRecord:
        ordinal = len(self._records) + 1
        lot = random.Random(f"{self.settings.seed} task {ordinal}")  # noqa: S311 (repeatable on purpose)
        seconds = lot.uniform(*self.settings.latency)
        return TaskRecord(
            task_id=self._make_task_id(ordinal, now),
            request=self._with_shared_image(request),
            model_name=model_name,
            ordinal=ordinal,
            created_at=now,
            started_at=now + _QUEUED * seconds,
            done_at=math.inf if outcome.is_stuck else now + seconds,
            units=units,
            picture_seed=lot.getrandbits(32),
            outcome=outcome,
        )

    def _make_task_id(self, ordinal: int, now: float) -> str:
        # The moment is part of it: a service that is started anew must not give known ids to other tasks.
        digest = hashlib.sha256(f"{self.settings.seed} {ordinal} {now}".encode()).digest()
        if self.settings.is_gateway:
            return base64.urlsafe_b64encode(b"\x0a" + digest[:15]).decode().rstrip("=")
        return str(10**17 + int.from_bytes(digest) % (9 * 10**17))

    def _with_shared_image(self, request: ImageRequest) -> ImageRequest:
        # Thousands of requests with one reference of ten megabytes must not keep thousands of copies.
        if not isinstance(request.image, str):
            return request
        return attrs.evolve(request, image=self._images.setdefault(request.image, request.image))

    def _enter(self, record: TaskRecord, units: int) -> None:
        self._list(record)
        self._slots_used[record.model_name] += record.request.n
        self._units_reserved += units
        if not record.outcome.is_stuck:
            heapq.heappush(self._running, (record.done_at, record.ordinal, record))
        if record.request.callback_url is not None:
            for at in record.changes:
                heapq.heappush(self._changes, (at, record.ordinal, record))
        self.ledger.note_peak(record.model_name, self._slots_used[record.model_name])
        self.ledger.tasks.append(
            CreatedTask(
                record.task_id,
                record.request.external_task_id,
                record.request.prompt,
                record.request.n,
                record.model_name,
                record.created_at,
                record.units,
                self._creates,
            )
        )

    def _list(self, record: TaskRecord) -> None:
        self._records.append(record)
        self._by_task_id[record.task_id] = record
        if record.request.external_task_id is not None:
            self._by_external_id[record.request.external_task_id] = record

    def _images_of(self, record: TaskRecord, now: float) -> tuple[Image, ...]:
        expires = self._expiry(record, now)
        return tuple(self._image_of(record, index, expires) for index in range(record.pictures_at(now)))

    def _image_of(self, record: TaskRecord, index: int, expires: int) -> Image:
        marked = self._url_of(record.task_id, picture_name(index, has_watermark=True), expires)
        url = self._url_of(record.task_id, picture_name(index), expires)
        return Image(index, url, marked if record.watermark else None)

    def _expiry(self, record: TaskRecord, now: float) -> int:
        # As the vendor's: counted from the end of the task. Whoever reads it later still gets a good URL.
        lifetime = self.settings.url_lifetime
        ends = record.done_at + lifetime
        return max(math.ceil(ends if now < ends else now + lifetime), self._good_from.get(record.task_id, 0))

    def _url_of(self, task_id: str, name: str, expires: int) -> str:
        signature = self._sign(task_id, name, expires)
        return f"{self.origin}/pictures/{task_id}/{name}.png?Expires={expires}&Signature={signature}"

    def _sign(self, task_id: str, name: str, expires: int) -> str:
        return hmac.new(self._url_secret, f"{task_id}/{name}/{expires}".encode(), "sha256").hexdigest()


WATERMARK: Final = "-watermark"
"""
What follows a picture's number in the name of its marked copy.
"""


def picture_name(index: int, *, has_watermark: bool = False) -> str:
    """
    Return the name of a picture's file, without its suffix.
    """
    return f"{index}{WATERMARK if has_watermark else ''}"


UNIT_PRICE: Final = IMAGE_GENERATION.unit_price or Decimal(0)


def _cash_of(units: int) -> BalanceDeduction:
    dollars = (units * UNIT_PRICE).normalize()
    return BalanceDeduction(dollars, dollars)


def _updated_at(record: TaskRecord, now: float) -> float:
    pictures_at = record.done_at + record.outcome.pictures_after
    steps = (record.started_at, record.done_at, pictures_at)
    return max((step for step in steps if step <= now), default=record.created_at)


def _as_datetime(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
