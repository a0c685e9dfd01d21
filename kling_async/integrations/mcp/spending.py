"""
What the tools may spend: the budget of the server, and asking the user before it is exceeded.
"""

from typing import Any, Final

import attrs
from mcp.server.mcpserver import Context, Elicit
from mcp_types.version import is_version_at_least
from pydantic import BaseModel, Field

from kling_async.client.budget import Budget
from kling_async.errors import BudgetExceeded
from kling_async.policy.spending import Amount, amount_of_task
from kling_async.wire.dialects import GATEWAY, Dialect
from kling_async.wire.endpoints.base import TaskRequest
from kling_async.wire.endpoints.registry import endpoint_of

__all__ = ["Approval", "Spending"]

_ASKS_IN_RESULTS: Final = "2026-07-28"
"""
The first version of the protocol in which a question is part of a result. Before it, the server sends a request.
"""


class Approval(BaseModel):
    """
    The user's answer. The SDK makes a form of it.
    """

    allow: bool = Field(description="Whether this request may be sent and paid for, on top of the limit.")


@attrs.frozen(eq=False)
class Spending:
    """
    The budget of the server's client.

    Attributes:
        dialect: Of its service.
    """

    budget: Budget
    dialect: Dialect

    def price_of(self, request: TaskRequest) -> Amount:
        """
        Return what *request* costs at most; None in it for what is not known.
        """
        return self._counted_price(request) or amount_of_task(endpoint_of(type(request)), request, self.dialect)

    def fits(self, request: TaskRequest) -> bool:
        """
        Return whether *request* can be sent now.
        """
        price = self._counted_price(request)
        return price is not None and self.budget.book.has_room(price)

    def question_for(self, request: TaskRequest, context: Context[Any, Any]) -> Elicit[Approval] | None:
        """
        Return the question for the user if *request* does not fit; None if it fits, if the user cannot be asked, or if
        the price is not known. Then the client refuses it.

        The text stays the same while other calls spend: if it changed, the SDK would ask again.
        """
        price = self._counted_price(request)
        if price is None or self.fits(request) or not _can_ask(context):
            return None
        title = endpoint_of(type(request)).title
        what = f"This {title} task may cost {price}, which is more than is left of the limit of {self.budget.limit}."
        return Elicit(f"{what} Send it all the same?", Approval)

    def allow(self, request: TaskRequest) -> None:
        """
        Enlarge the budget by what *request* costs at most, since the user has agreed to pay for it.
        """
        self.budget.book.extend(self.price_of(request))

    def withdraw(self, request: TaskRequest) -> None:
        """
        Undo `allow`, since no task was created, or it has failed and was not billed.
        """
        self.budget.book.reduce(self.price_of(request))

    @property
    def note(self) -> str:
        """
        A few sentences on what is left, for models.
        """
        budget = self.budget
        facts = f"Limit: {budget.limit}; spent: {budget.spent}; reserved for running tasks: {budget.reserved}."
        return facts if self.dialect.name != GATEWAY.name else f"{facts} Prices are the vendor's; a gateway may differ."

    def _counted_price(self, request: TaskRequest) -> Amount | None:
        # None if it is not known what to count.
        try:
            return self.budget.book.price_of(endpoint_of(type(request)), request, self.dialect)
        except BudgetExceeded:
            return None


def _can_ask(context: Context[Any, Any]) -> bool:
    capabilities = context.client_capabilities
    elicitation = capabilities.elicitation if capabilities is not None else None
    if elicitation is None or (elicitation.form is None and elicitation.url is not None):
        return False
    version = context.protocol_version
    is_in_result = version is not None and is_version_at_least(version, _ASKS_IN_RESULTS)
    return is_in_result or context.session.can_send_request
