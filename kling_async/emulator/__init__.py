"""
An emulated Kling service: no account, no cost, real HTTP, real files, and faults on demand.

    async with Emulator(faults=[faults.reset_after("create", rate=0.3)]) as server:
        ...  # server.url is a client's base_url, server.api_key its key, server.ledger records what happened
"""

from kling_async.emulator import faults
from kling_async.emulator.account import Account
from kling_async.emulator.api_errors import ApiError
from kling_async.emulator.fault_plan import FaultPlan
from kling_async.emulator.fault_rule import Fault
from kling_async.emulator.faults import parse_fault
from kling_async.emulator.ledger import CreatedTask, Ledger
from kling_async.emulator.server import Emulator
from kling_async.emulator.settings import Settings
from kling_async.emulator.task_record import TaskOutcome, TaskRecord

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
