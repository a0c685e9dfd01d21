"""
Which service a command asks, and how patiently: the account's own, or one that is emulated inside.
"""

from typing import TYPE_CHECKING

import attrs

from kling_async.cli.options import DIALECTS, DialectName
from kling_async.client.callbacks.receiver import CallbackReceiver
from kling_async.client.client import KlingClient
from kling_async.policy.policies import RetryPolicy

if TYPE_CHECKING:
    from kling_async.emulator import Emulator

__all__ = ["ServiceOptions"]


@attrs.frozen(kw_only=True)
class ServiceOptions:
    """
    What was asked for in the command's words; what was not is None.

    Attributes:
        give_up_after: Seconds of patience with a service that is not there.
        latency: Of the emulated service, as its `seed`.
    """

    base_url: str | None
    dialect: DialectName | None
    give_up_after: float = 120.0
    slots: int | None = None
    is_emulated: bool = False
    latency: tuple[float, float] = (1.0, 3.0)
    seed: int = 0

    def make_emulator(self, port: int = 0) -> "Emulator":
        """
        Make the service that lives inside the command.
        """
        from kling_async.emulator import Emulator  # noqa: PLC0415 (needs an extra of its own)

        dialect = DIALECTS[self.dialect or DialectName.GATEWAY]
        return Emulator(dialect=dialect, latency=self.latency, slots=self.slots or 9, seed=self.seed, port=port)

    def make_client(self, server: "Emulator | None", callbacks: CallbackReceiver | None = None) -> KlingClient:
        """
        Make a client of *server*, or where that is None of the account that the environment names.
        """
        dialect = DIALECTS[self.dialect] if self.dialect is not None else None
        return KlingClient(
            server.api_key if server is not None else None,
            base_url=server.url if server is not None else self.base_url,
            dialect=server.dialect if server is not None else dialect,
            slots=self.slots,
            retry=RetryPolicy(give_up_after=self.give_up_after),
            callbacks=callbacks,
        )
