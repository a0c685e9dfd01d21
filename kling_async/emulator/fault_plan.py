"""
Decides which faults apply to each request.
"""

import random
from collections.abc import Sequence
from typing import Final, Literal

import attrs

from kling_async.emulator.fault_rule import AFTER_SERVICE, BEFORE_SERVICE, RESHAPING, Fault
from kling_async.emulator.ledger import Route

__all__ = ["FaultPlan", "applies"]

_EXCLUSIVE: Final = (
    BEFORE_SERVICE | AFTER_SERVICE,
    RESHAPING,
    frozenset({"callback_enveloped", "callback_new_standard"}),
)
"""
Groups of kinds of which only one can apply to a request.
"""


def applies(fault: Fault, *, seed: str, seen: int, applied: int) -> bool:
    """
    Return whether a rule applies to a request that it matches.

    Args:
        seed: Equal seeds give equal random choices.
        seen: How many matching requests came before this one.
        applied: To how many of them the rule applied.
    """
    if seen < fault.after or (fault.times is not None and applied >= fault.times):
        return False
    return fault.rate >= 1 or random.Random(f"{seed} {seen}").random() < fault.rate  # noqa: S311 (repeatable)


@attrs.define
class _RuleCounter:
    seen: int = 0
    applied: int = 0


class FaultPlan:
    """
    All rules of a server, and how often each has applied.
    """

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self._rules = [(fault, f"{seed} fault {place}", _RuleCounter()) for place, fault in enumerate(faults)]

    def next_faults(self, route: Route | Literal["callback"], prompt: str = "") -> list[Fault]:
        """
        Return the faults of the next request of this route, or of the next callback.

        Of the kinds that replace or spoil an answer only the first rule applies, and of those that reshape it. The
        others do not count as applied.
        """
        chosen: list[Fault] = []
        for fault, seed, counter in self._rules:
            if not fault.matches(route, prompt):
                continue
            if not _is_excluded(fault, chosen) and applies(
                fault, seed=seed, seen=counter.seen, applied=counter.applied
            ):
                counter.applied += 1
                chosen.append(fault)
            counter.seen += 1
        return chosen


def _is_excluded(fault: Fault, chosen: Sequence[Fault]) -> bool:
    return any(fault.kind in group and other.kind in group for group in _EXCLUSIVE for other in chosen)
