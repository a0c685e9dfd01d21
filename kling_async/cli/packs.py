"""
What is left of the account's resource packs.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from kling_async.wire.calls.account import ResourcePack

__all__ = ["LATE", "units_left", "usable"]

LATE: Final = "The vendor updates this up to 12 hours late."

_USABLE: Final = "online"
"""
The vendor's word for a pack that can be used now.
"""


def usable(packs: Iterable[ResourcePack]) -> list[ResourcePack]:
    """
    Return the packs that can be used now.
    """
    return [pack for pack in packs if pack.status == _USABLE]


def units_left(packs: Iterable[ResourcePack]) -> Decimal | None:
    """
    Return the units that are left in all packs that can be used now; None if there is no such pack, or if what is left
    of one is not known.

    It is the most that can be spent: a pack for images does not pay for videos, and no field says for what a pack is.
    """
    left = [pack.remaining_quantity for pack in usable(packs)]
    known = [quantity for quantity in left if quantity is not None]
    return sum(known, Decimal(0)) if left and len(known) == len(left) else None
