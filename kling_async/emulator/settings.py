"""
The settings of an emulated service: dialect, latency, slots, money, keys and faults.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal, TypedDict

import attrs

from kling_async.emulator.fault_rule import Fault
from kling_async.wire.auth import AccessKey
from kling_async.wire.constructors import explained
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


@explained
@attrs.frozen(kw_only=True)
class Settings:
    """
    The settings of one emulated account.

    Attributes:
        dialect: The service to emulate. The paths of GATEWAY begin with `/kling`.
        latency: Shortest and longest time in seconds that a task takes; each task gets a random one.
        slots: Slots per bucket, for images one for each picture and model; None sets no limit.
        units: The account's money in the vendor's units, of which a picture costs 1 to 16; None sets no limit.
        paid_in: How tasks are paid: in "units" of a package, or in "cash" at the list price of a unit.
        seed: Of all random choices: equal seeds and requests give equal runs.
        faults: What goes wrong, see `kling_async.emulator.faults`.
        api_key: The Bearer key of the account; derived from the seed by default.
        access_key: A pair of keys whose signed tokens are accepted too (only with OFFICIAL).
        callback_secret: Signs callbacks: `whsec_` and Base64; None sends them unsigned.
        refused_words: The content policy refuses prompts that contain one of them, in any case.
        refused_as: Whether it refuses the create (1301), or the task fails later. The vendor does both.
        host: The address to listen at.
        host_names:
            Names that clients may use for it, besides those of this machine. A request with any other name in its
            `Host` header is refused, because a web page could have sent it.
        port: 0 chooses a free one.
        url_lifetime: Seconds until the URL of a file expires.
        pictures:
            "drawn" ones show the prompt. "plain" ones have one colour, differ for each task and index, and cost next to
            nothing at any size: for tests that only need files.
        picture_scale: Multiplies the sides of pictures and videos; small ones are rendered faster.
        speech_voices: The catalogue of voices for speech; a few of the vendor's.
        media_seconds: Seconds of videos and sounds whose request has no `duration`.
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
    pictures: Literal["drawn", "plain"] = attrs.field(
        default="drawn", validator=attrs.validators.in_(("drawn", "plain"))
    )
    picture_scale: float = 1.0
    speech_voices: tuple[str, ...] = attrs.field(default=("genshin_vindi2", "oversea_male1"), converter=_as_words)
    media_seconds: float = attrs.field(default=2.0, validator=attrs.validators.gt(0))

    @api_key.default
    def _made_up_key(self) -> str:
        return f"sk-emulator-{hashlib.sha256(f'key {self.seed}'.encode()).hexdigest()[:24]}"

    @property
    def is_gateway(self) -> bool:
        """
        Whether errors and paths are those of gateways rather than the vendor's.
        """
        return self.dialect.name == GATEWAY.name

    @property
    def prefix(self) -> str:
        """
        What comes before the paths of endpoints.
        """
        return "/kling" if self.is_gateway else ""


class SettingsByName(TypedDict, total=False):
    """
    The fields of `Settings` as keyword arguments; see there for the defaults.
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
    pictures: Literal["drawn", "plain"]
    picture_scale: float
    speech_voices: Sequence[str]
    media_seconds: float
