"""
Slots and money of the emulated account.
"""

from collections import Counter
from decimal import Decimal

from kling_async.emulator.api_errors import MESSAGES, ApiError
from kling_async.emulator.settings import Settings
from kling_async.emulator.task_record import TaskRecord

__all__ = ["Usage"]


class Usage:
    """
    The slots and money in use by running tasks, and the cost of ended ones.

    Attributes:
        slots: In use, by bucket.
        units_spent: Of all that has ended.
    """

    def __init__(self) -> None:
        self.slots: Counter[str] = Counter()
        self.units_spent: Decimal = Decimal(0)
        self._units_reserved = Decimal(0)

    def check(self, record: TaskRecord, settings: Settings) -> None:
        """
        Raises:
            ApiError: There is not enough money (1102), or not enough slots (1303), for a task.
        """
        self._check_units(record, settings)
        if settings.slots is not None and self.slots[record.bucket] + record.slots > settings.slots:
            raise ApiError(429, 1303, MESSAGES[1303])

    def _check_units(self, record: TaskRecord, settings: Settings) -> None:
        units = self.units_spent + self._units_reserved + record.price
        if settings.units is not None and units > settings.units:
            raise ApiError(429, 1102, MESSAGES[1102])

    def reserve(self, record: TaskRecord) -> None:
        """
        Take the slots and the money of a new task.
        """
        self.slots[record.bucket] += record.slots
        self._units_reserved += record.price

    def charge(self, record: TaskRecord, settings: Settings) -> None:
        """
        Charge what a call has made at once.

        Raises:
            ApiError: There is not enough money (1102).
        """
        self._check_units(record, settings)
        self.units_spent += record.units

    def settle(self, record: TaskRecord) -> None:
        """
        Release the slots of a task that has ended, and charge it.
        """
        self.slots[record.bucket] -= record.slots
        self._units_reserved -= record.price
        self.units_spent += record.units
