"""
An emulator with short delays, and clients of it that retry and poll at short intervals.
"""

from typing import Any

from kling_async import (
    Dialect,
    ImageRequest,
    KlingClient,
    PollPolicy,
    RetryPolicy,
    SlotPolicy,
    Slots,
)
from kling_async.emulator import Emulator, Fault

BRISK = RetryPolicy(first_delay=0.02, max_delay=0.05, give_up_after=2.0, look_for=0.1, hear_for=0.2)
EAGER = PollPolicy(first_delay=0.02, max_delay=0.1)


LIGHTHOUSE = ImageRequest("a lighthouse")


def emulator(dialect: Dialect, *rules: Fault, **settings: Any) -> Emulator:
    return Emulator(
        dialect=dialect,
        faults=rules,
        **{"latency": (0.05, 0.1), "pictures": "plain", "picture_scale": 0.05, **settings},
    )


def client_of(server: Emulator, **options: Any) -> KlingClient:
    given: dict[str, Any] = {"retry": BRISK, "polling": EAGER, "slots": Slots(policy=SlotPolicy(uncertain_for=0.2))}
    return KlingClient(server.api_key, base_url=server.url, dialect=server.dialect, **{**given, **options})
