"""
What a command may spend: the options, and the budget that they create.
"""

from typing import TYPE_CHECKING, Annotated

import attrs
import typer

from kling_async.policy.spending import Amount

if TYPE_CHECKING:
    from kling_async.client.budget import Budget

__all__ = ["SpendingOptions", "unknown_amount"]


@attrs.frozen(kw_only=True)
class SpendingOptions:
    """
    Limits of what a command spends; for `batch`, of what all runs of its journal spend.
    """

    max_units: Annotated[
        float | None, typer.Option(metavar="N", min=0, help="Spend at most so many units.", show_default=False)
    ] = None
    max_cost: Annotated[
        float | None, typer.Option(metavar="N", min=0, help="Spend at most so many US dollars.", show_default=False)
    ] = None
    unknown_units: Annotated[
        float | None,
        typer.Option(metavar="N", min=0, hidden=True, help="What a request of unknown price counts under a limit."),
    ] = None

    def make_budget(self) -> "Budget | None":
        """
        Return the budget; None without a limit.
        """
        if self.max_units is None and self.max_cost is None:
            return None
        from kling_async.client.budget import Budget  # noqa: PLC0415 (without a limit, not needed)

        return Budget(self.max_units, self.max_cost, unknown=unknown_amount(self.unknown_units))


def unknown_amount(units: float | None) -> Amount | None:
    """
    Return what a request of unknown price counts: so many units, and dollars as if they were units for videos.
    """
    if units is None:
        return None
    from kling_async.wire.endpoints.video_models import UNIT_PRICE  # noqa: PLC0415 (without limits, not needed)

    return Amount(units, float(UNIT_PRICE) * units)
