"""
What an emulated service is like: its dialect, pace, slots, money, keys and troubles.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal, TypedDict

import attrs

from kling_async.emulator.fault_rule import Fault
from kling_async.wire.auth import AccessKey
from kling_async.wire.dialects import GATEWAY, Dialect
from kling_async.wire.webhooks import check_secret

DAY = 86_400.0
"""
Seconds.
"""


def _as_faults(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(faults)


def _as_words(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(words)


def _in_order(_: object, __: object, latency: tuple[float, float]) -> None:
    low, high = latency
    if not 0 <= low <= high:
        raise ValueError(f"latency must be (shortest, longest) in seconds, got {latency}")


def _at_least_one(_: object, __: object, slots: int | None) -> None:
    if slots is not None and slots < 1:
        raise ValueError(f"slots must be at least 1, or None for no limit, got {slots}")


def _a_secret(_: object, __: object, secret: str | None) -> None:
    if secret is not None:
        check_secret(secret)


@attrs.frozen(kw_only=True)
class Settings:
    """
    All that shapes one emulated account.

    Attributes:
        dialect: Which service is played. GATEWAY lives under `/kling`, anything else at the root.
        latency: Shortest and longest time in seconds that a task takes; each task draws its own.
        slots: Pictures in the making at one time, per model; None sets no limit.
        units: The account's money in the vendor's units, of which a picture costs 1 to 16; None never runs out.
        paid_in: What tasks take: "units" of a package, or "cash" from the balance, by the list price of a unit.
        seed: Whatever is drawn by lot follows from it: equal seeds and requests give equal runs.
        faults: What goes wrong, see `kling_async.emulator.faults`.
        api_key: The Bearer key that opens the account; made up from the seed where none is given.
        access_key: A pair of keys whose signed tokens open the account too (OFFICIAL alone).
        callback_secret: What callbacks are signed with, `whsec_` and Base64; None sends them unsigned.
        refused_words: Prompts that hold one of them, whatever its case, are refused by the content policy.
        refused_as: Whether that happens at create (1301), or later as a failed task: the service does both.
        host: Address to listen at.
        host_names:
            Names, beside those of this machine, by which it may be called. A request under any other name is refused,
            since a web page could have sent it.
        port: 0 takes a free one.
        url_lifetime: Seconds that a picture's URL is good for.
        picture_scale: Shrinks the pictures that are drawn, where their true size would only cost time.
    """

    dialect: Dialect = GATEWAY
    latency: tuple[float, float] = attrs.field(default=(2.0, 6.0), validator=_in_order)
    slots: int | None = attrs.field(default=9, validator=_at_least_one)
    units: float | None = None
    paid_in: Literal["units", "cash"] = attrs.field(default="units", validator=attrs.validators.in_(("units", "cash")))
    seed: int = 0
    faults: tuple[Fault, ...] = attrs.field(default=(), converter=_as_faults)
    api_key: str = attrs.field(repr=False)
    access_key: AccessKey | None = None
    callback_secret: str | None = attrs.field(default=None, repr=False, validator=_a_secret)
    refused_words: tuple[str, ...] = attrs.field(default=(), converter=_as_words)
    refused_as: Literal["refusal", "failed task"] = "refusal"
    host: str = "127.0.0.1"
    host_names: tuple[str, ...] = attrs.field(default=(), converter=_as_words)
    port: int = 0
    url_lifetime: float = 30 * DAY
    picture_scale: float = 1.0

    @api_key.default
    def _made_up_key(self) -> str:
        return f"sk-emulator-{hashlib.sha256(f'key {self.seed}'.encode()).hexdigest()[:24]}"

    @property
    def is_gateway(self) -> bool:
        """
        Whether errors and paths are those of the gateway family rather than the vendor's.
        """
        return self.dialect.name == GATEWAY.name

    @property
    def prefix(self) -> str:
        """
        What stands before `/v1/...` in every path.
        """
        return "/kling" if self.is_gateway else ""


class SettingsByName(TypedDict, total=False):
    """
    The fields of `Settings`, as keyword arguments; the defaults are there.
    """

    dialect: Dialect
    latency: tuple[float, float]
    slots: int | None
    units: float | None
    paid_in: Literal["units", "cash"]
    seed: int
    faults: Sequence[Fault]
    api_key: str
    access_key: AccessKey | None
    callback_secret: str | None
    refused_words: Sequence[str]
    refused_as: Literal["refusal", "failed task"]
    host: str
    host_names: Sequence[str]
    port: int
    url_lifetime: float
    picture_scale: float
