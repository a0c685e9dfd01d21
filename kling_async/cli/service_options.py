"""
Which service a command uses, how long it keeps trying, and how many slots there are: the options, and the client that
they create.
"""

from typing import TYPE_CHECKING, Annotated

import attrs
import typer

from kling_async.cli.options import (
    GIVE_UP_AFTER,
    BaseUrl,
    DialectOption,
    GiveUpAfter,
    check_latency,
    emulated_dialect,
    parse_latency,
    parse_seconds,
)
from kling_async.policy.policies import RetryPolicy

if TYPE_CHECKING:
    from kling_async.client.budget import Budget
    from kling_async.client.callbacks.receiver import CallbackReceiver
    from kling_async.client.client import KlingClient
    from kling_async.client.events import OnEvent
    from kling_async.emulator import Emulator

__all__ = ["BatchServiceOptions", "EmulatedServiceOptions", "ServiceOptions"]


@attrs.frozen(kw_only=True)
class ServiceOptions:
    """
    The options of commands that use an account's tasks. The fields after `give_up_after` are options of subclasses.

    Attributes:
        is_emulated: Whether the service is an emulator that runs inside the command and ends with it.
        latency: Seconds that emulated tasks take, as "2:6".
        seed: Of the emulator's random choices.
    """

    base_url: BaseUrl = None
    dialect: DialectOption = None
    give_up_after: GiveUpAfter = None
    slots: int | None = None
    is_emulated: bool = False
    latency: str = "1:3"
    seed: int = 0

    def make_emulator(self, port: int = 0) -> "Emulator":
        """
        Create the emulator that the command uses.
        """
        from kling_async.emulator import Emulator  # noqa: PLC0415 (needs its own extra)

        dialect, latency = emulated_dialect(self.dialect), parse_latency(self.latency)
        return Emulator(dialect=dialect, latency=latency, slots=self.slots or 9, seed=self.seed, port=port)

    def make_client(
        self,
        server: "Emulator | None",
        callbacks: "CallbackReceiver | None" = None,
        on_event: "OnEvent | None" = None,
        budget: "Budget | None" = None,
    ) -> "KlingClient":
        """
        Create a client of *server*, or without one, of the account that the environment names.
        """
        from kling_async.client.client import KlingClient  # noqa: PLC0415 (reports and help do without aiohttp)

        given = self.dialect.dialect if self.dialect is not None else None
        retry = RetryPolicy()
        if self.give_up_after is not None:
            retry = RetryPolicy(give_up_after=self.give_up_after, connect_for=self.give_up_after)
        return KlingClient(
            server.api_key if server is not None else None,
            base_url=server.url if server is not None else self.base_url,
            dialect=server.dialect if server is not None else given,
            slots=self.slots,
            retry=retry,
            callbacks=callbacks,
            on_event=on_event,
            budget=budget,
        )


@attrs.frozen(kw_only=True)
class EmulatedServiceOptions(ServiceOptions):
    """
    The options of commands that create tasks, at the account's service or at an emulator.
    """

    is_emulated: Annotated[bool, typer.Option("--emulator", help="Use a built-in emulator (free).")] = False
    slots: Annotated[int | None, typer.Option(metavar="N", min=1, help="Files at a time (default 9)")] = None
    latency: Annotated[
        str,
        typer.Option(
            metavar="MIN:MAX", hidden=True, callback=check_latency, help="Seconds that a task of --emulator takes."
        ),
    ] = "1:3"
    seed: Annotated[int, typer.Option(metavar="N", hidden=True, help="Equal seeds give equal files of --emulator.")] = 0


@attrs.frozen(kw_only=True)
class BatchServiceOptions(EmulatedServiceOptions):
    """
    The same for `batch`, whose help would not fit a screen with one option more.
    """

    give_up_after: Annotated[
        float | None,
        typer.Option(metavar="S", parser=parse_seconds, hidden=True, show_default=False, help=GIVE_UP_AFTER),
    ] = None
