"""
A Kling service of your own: no account, no cost, real HTTP, real pictures, and troubles on order.

    async with Emulator(faults=[faults.reset_after("create", rate=0.3)]) as server:
        ...  # server.url is a client's base_url, server.api_key its key, server.ledger tells what happened
"""

from kling_async.emulator import faults
from kling_async.emulator.account import Account, ApiError, TaskOutcome, TaskRecord
from kling_async.emulator.fault_plan import FaultPlan
from kling_async.emulator.fault_rule import Fault
from kling_async.emulator.faults import parse_fault
from kling_async.emulator.ledger import CreatedTask, Ledger
from kling_async.emulator.server import Emulator
from kling_async.emulator.settings import Settings

__all__ = [
    "Account",
    "ApiError",
    "CreatedTask",
    "Emulator",
    "Fault",
    "FaultPlan",
    "Ledger",
    "Settings",
    "TaskOutcome",
    "TaskRecord",
    "faults",
    "parse_fault",
]
