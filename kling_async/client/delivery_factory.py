"""
Make deliveries: complete a request, reserve what it may cost, give it its callback address, and write its body.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from kling_async.client.delivery import Delivery, SubmitObserver
from kling_async.client.events import TaskEvents
from kling_async.client.exchange import RequestBody
from kling_async.client.limits.bucket import SlotLease
from kling_async.client.spending import Charge, Spending
from kling_async.client.submission import Submission
from kling_async.client.transport import Transport
from kling_async.media.input_files import Reference, with_texts
from kling_async.wire.codec import write_request
from kling_async.wire.endpoints.base import Endpoint, TaskRequest, with_fields
from kling_async.wire.json_text import dumps

if TYPE_CHECKING:
    from kling_async.client.callbacks.router import CallbackRouter

__all__ = ["DeliveryFactory", "body_of"]


@attrs.frozen(eq=False, repr=False)
class DeliveryFactory:
    """
    Makes the deliveries of one client.

    Attributes:
        _transport: Sends them.
        _spending: What they are charged to.
        _router: Where callbacks for them arrive; None without callbacks.
    """

    _transport: Transport
    _spending: Spending
    _router: "CallbackRouter | None"

    def make(
        self,
        endpoint: Endpoint[Any],
        request: TaskRequest,
        submission: Submission,
        lease: SlotLease,
        observer: SubmitObserver,
        events: TaskEvents,
        submit_key: str | None,
        files: Mapping[str, Reference] | None = None,
    ) -> Delivery:
        """
        Return a delivery that has its slots, and for which budgets have reserved what it may cost. If that fails, its
        slots are released.

        Args:
            submit_key: Of the callbacks of an earlier run; None if it had none.
            files: Of *request*, by field; None if an earlier run has sent it.

        Raises:
            BudgetExceeded: It does not fit, or its price is not known.
        """
        charge, dialect = Charge(self._spending, endpoint), self._spending.dialect
        try:
            if self._spending.budget is not None or observer.has_budget:  # now that it has its slots
                charge.reserve(request, observer.reserve, forced=files is None)
            fields = dict(endpoint.defaults(request, dialect))
            if submission.external_id is not None:
                fields["external_task_id"] = submission.external_id
            request = with_fields(request, **fields) if fields else request
            if endpoint.new_standard is not None:
                endpoint = endpoint.spoken(request, dialect)
            submission.lookup_proves_absence = endpoint.lookup_proves_absence
            events.request = request
            router = self._router if request.callback_url is None else None  # else callbacks go to the caller's address
            delivery = Delivery(
                request=request,
                endpoint=endpoint,
                lease=lease,
                charge=charge,
                subscription=None if router is None else router.subscribe(submit_key),
                observer=observer,
                events=events,
                submission=submission,
                transport=self._transport,
            )
            delivery.body = None if files is None else body_of(delivery, files)
        except BaseException:  # such as of a budget, or of an endpoint that a program has registered
            lease.release()
            charge.release()
            raise
        return delivery


def body_of(delivery: Delivery, files: Mapping[str, Reference]) -> RequestBody:
    """
    Return what is sent for a delivery, with its files in it.
    """
    fields = write_request(with_texts(delivery.request, files) if files else delivery.request)
    if delivery.subscription is not None:
        fields["callback_url"] = delivery.subscription.address  # a secret, so not in the caller's request
    if delivery.endpoint.to_body is not None:
        fields = delivery.endpoint.to_body(fields)
    return RequestBody(dumps(fields), is_traceable=delivery.submission.external_id is not None)
