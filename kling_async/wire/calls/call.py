"""
A call declares all that differs between calls that create no task, as an endpoint does for tasks.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, Generic, Literal, TypeVar

import attrs

from kling_async.errors import BrokenRule, InvalidRequest, TaskNotFound
from kling_async.wire.dialects import Dialect
from kling_async.wire.error_answers import data_of, is_refusal, refusal
from kling_async.wire.http_answer import Answer
from kling_async.wire.responses import read_payload
from kling_async.wire.scalars import read_request_id

__all__ = ["Call", "is_deleted_already", "read_data"]

A = TypeVar("A")
Q = TypeVar("Q", bound=attrs.AttrsInstance)

_LAYERS: Final = 4
"""
How many envelopes around one answer are opened: the account's answers have two, and a relay adds its own.
"""


def _always(_: Dialect) -> bool:
    return True


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Call(Generic[Q, A]):
    """
    A request that the service answers at once. It creates no task, and takes no id of ours by which it could be found.

    Attributes:
        name: Its name in the emulator's ledger: "speech".
        title: Its name in messages: "speech".
        path: Follows a client's `base_url`.
        request_class: A frozen attrs class with the wire's field names; those of a GET are its query.
        rules: Yields the rules of a service that a request breaks, all of them.
        read: Reads the answer to it.
        method: "POST" or "GET".
        units: What it costs, in the vendor's units; None if it is free, and may be sent again.
        unit_price: Price of one unit in US dollars, by the vendor's price page: all paid calls take units for videos.
        is_offered: Returns whether a service has it.
    """

    name: str
    title: str
    path: str
    request_class: type[Q]
    rules: Callable[[Q, Dialect], Iterable[BrokenRule]]
    read: Callable[[Answer], A]
    method: Literal["POST", "GET"] = "POST"
    units: Decimal | None = None
    unit_price: Decimal = Decimal("0.14")
    is_offered: Callable[[Dialect], bool] = _always

    def check(self, request: Q, dialect: Dialect) -> None:
        """
        Raises:
            InvalidRequest: The service does not have this call, or *request* breaks rules, all of which are listed.
        """
        if not self.is_offered(dialect):
            what = f"{dialect.name} services have no {self.title}, by their pages; nothing was sent"
            raise InvalidRequest(what)
        if broken := tuple(self.rules(request, dialect)):
            raise InvalidRequest("; ".join(map(str, broken)), broken=broken)


def read_data(answer: Answer) -> tuple[Mapping[str, Any], str | None]:
    """
    Return what the envelopes of an answer hold, and its request id. Without data, that is the envelope itself.

    Raises:
        UnexpectedAnswer: A 2xx that cannot be read: the call may have been made.
        KlingError: Its class follows from the code, which may be that of an inner envelope.
    """
    try:
        layer = read_payload(answer, is_create=True)
    except TaskNotFound as error:  # a call names no task: the path or something in the body is missing
        facts = (error.message, error.task_id, error.request_id, error.code, error.http_status)
        raise InvalidRequest(*facts) from error
    request_id = read_request_id(layer.get("request_id"))
    for _ in range(_LAYERS):
        data = data_of(layer)
        if not isinstance(data, dict):
            break
        layer = data
        request_id = request_id or read_request_id(layer.get("request_id"))
        if is_refusal(layer):
            raise refusal(layer, answer, is_create=True)
    return layer, request_id


def is_deleted_already(error: InvalidRequest) -> bool:
    """
    Return whether a delete was refused because there is nothing left to delete (1201, "already be deleted").
    """
    return error.code == 1201 and "already be deleted" in error.message.casefold()
