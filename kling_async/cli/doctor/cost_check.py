"""
The check of an input: whether its dry run fits into what the account has left.
"""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from kling_async.cli.doctor.findings import Finding, FindingState, ProbeResult, skipped
from kling_async.cli.formatting import plural
from kling_async.cli.packs import LATE, units_left, usable
from kling_async.policy.spending import Amount
from kling_async.wire.dialects import Dialect

if TYPE_CHECKING:
    from kling_async.cli.batch.cost_estimate import CostEstimate  # it loads the journal, and most checks have no input

__all__ = ["DryRun", "check_cost"]

DryRun: TypeAlias = Callable[[Dialect], Awaitable["CostEstimate"]]
"""
Estimates what the input would cost at a service of a dialect.
"""


def check_cost(estimate: "CostEstimate", packs: ProbeResult | str) -> Finding:
    """
    Report whether the requests of an input fit into the account's resource packs, as far as the service says.

    Args:
        packs: Of reading the packs; or why they were not read.
    """
    cost = f"the input may take {plural(estimate.most.units or Decimal(0), 'unit')}"
    if estimate.unbounded:
        cost += f", and unknown units for {plural(estimate.unbounded, 'request')}"
    left = _left(packs)
    if isinstance(left, str):
        return skipped("cost", f"{cost}; what the packs have left is not known: {left}")
    fact = f"{cost}; the packs have {plural(left, 'unit')} left"
    if estimate.beyond(Amount(left)) is not None:
        advice = "It does not fit. Buy a pack, unless the account is paid in cash, or limit the batch with --max-units."
        return Finding("cost", FindingState.WARNING, fact, f"{advice} {LATE}")
    if estimate.unbounded:
        return skipped("cost", fact)
    return Finding("cost", FindingState.OK, fact, LATE)


def _left(packs: ProbeResult | str) -> Decimal | str:
    # The units, or why they are not known.
    if isinstance(packs, str):
        return packs
    if packs.error is not None:
        return f"the service does not show them: {packs.error}"
    if not usable(packs.parsed or ()):
        return Decimal(0)
    left = units_left(packs.parsed)
    return "the service does not say" if left is None else left
