"""
The models that generate videos: what each can do, and what a second costs.

Facts are from the vendor's capability map (May 2026), its reference and its price page (September 2026), and its change
log. Models that are in no table are passed on: the vendor adds some faster than we do.
"""

import enum
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import stands_in_path
from kling_async.wire.endpoints.rules import broken, one_of

__all__ = [
    "MODES",
    "RETIRED",
    "UNIT_PRICE",
    "ModelFacts",
    "VideoModel",
    "VideoPrices",
    "facts_of_model",
    "model_of_segment",
    "model_rules",
]


class VideoModel(enum.StrEnum):
    """
    The vendor's current models for videos, by their names on the legacy paths.
    """

    V3_TURBO = "kling-3.0-turbo"
    V3 = "kling-v3"
    V3_OMNI = "kling-v3-omni"
    O1 = "kling-video-o1"
    V2_6 = "kling-v2-6"
    V2_5_TURBO = "kling-v2-5-turbo"


RETIRED: Final = frozenset(
    ("kling-v1", "kling-v1-5", "kling-v1-6", "kling-v2-1", "kling-v2-master", "kling-v2-1-master")
)
"""
Models that the vendor no longer runs for videos (reported by live probes of September 2026). Gateways may.
"""

MODES: Final = ("std", "pro", "4k")

UNIT_PRICE: Final = Decimal("0.14")
"""
US dollars for a unit of a video pack.
"""


@attrs.frozen(kw_only=True)
class VideoPrices:
    """
    Units per second, by mode; a mode that is not in a table is not offered so.

    Attributes:
        silent: Without sound.
        sound: With the model's own sound.
        voice: With voices that the request names.
        with_video: With a video as input.
    """

    silent: Mapping[str, Decimal] = attrs.field(factory=dict)
    sound: Mapping[str, Decimal] = attrs.field(factory=dict)
    voice: Mapping[str, Decimal] = attrs.field(factory=dict)
    with_video: Mapping[str, Decimal] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class ModelFacts:
    """
    What a model can do.

    Attributes:
        durations: Allowed seconds.
        prices: Units per second.
        tail_modes: Modes with an end frame.
        is_tail_silent: Whether an end frame excludes sound.
        has_shots: Whether a video can have several shots.
        elements_max: Elements in an image-to-video request.
        voices_max: Voices in an image-to-video request.
        always_has_sound: Whether there is sound in each video, and no field for it.
        segment: Its name in the paths of the vendor's new standard; None if it is not there.
        is_new_only: Whether it has no legacy path.
    """

    durations: tuple[int, ...]
    prices: VideoPrices
    tail_modes: tuple[str, ...] = ()
    is_tail_silent: bool = False
    has_shots: bool = False
    elements_max: int = 0
    voices_max: int = 0
    always_has_sound: bool = False
    segment: str | None = None
    is_new_only: bool = False

    @property
    def modes(self) -> tuple[str, ...]:
        """
        The modes that it offers, in order of quality.
        """
        offered = {*self.prices.silent, *self.prices.sound}
        return tuple(mode for mode in MODES if mode in offered)


def _prices(std: str, pro: str, best: str | None = None) -> dict[str, Decimal]:
    prices = {"std": Decimal(std), "pro": Decimal(pro)}
    return prices if best is None else {**prices, "4k": Decimal(best)}


_FIVE_OR_TEN: Final = (5, 10)
_FROM_3_TO_15: Final = tuple(range(3, 16))

_MODELS: Final[Mapping[str, ModelFacts]] = {
    VideoModel.V3_TURBO: ModelFacts(
        durations=_FROM_3_TO_15,
        prices=VideoPrices(sound=_prices("0.8", "1.0")),
        always_has_sound=True,
        segment="kling-3.0-turbo",
        is_new_only=True,
    ),
    VideoModel.V3: ModelFacts(
        durations=_FROM_3_TO_15,
        prices=VideoPrices(silent=_prices("0.6", "0.8", "3.0"), sound=_prices("0.9", "1.2", "3.0")),
        tail_modes=MODES,
        has_shots=True,
        elements_max=3,
        segment="kling-3.0",
    ),
    VideoModel.V3_OMNI: ModelFacts(
        durations=_FROM_3_TO_15,
        prices=VideoPrices(
            silent=_prices("0.6", "0.8", "3.0"),
            sound=_prices("0.8", "1.0", "3.0"),
            with_video=_prices("0.9", "1.2", "3.0"),
        ),
        tail_modes=MODES,
        has_shots=True,
        segment="kling-3.0-omni",
    ),
    VideoModel.O1: ModelFacts(
        durations=tuple(range(3, 11)),
        prices=VideoPrices(silent=_prices("0.6", "0.8"), with_video=_prices("0.9", "1.2")),
        tail_modes=("std", "pro"),
        segment="kling-o1",
    ),
    VideoModel.V2_6: ModelFacts(
        durations=_FIVE_OR_TEN,
        prices=VideoPrices(silent=_prices("0.3", "0.5"), sound={"pro": Decimal("1.0")}, voice={"pro": Decimal("1.2")}),
        tail_modes=("pro",),
        is_tail_silent=True,
        voices_max=2,
        segment="kling-2.6",
    ),
    VideoModel.V2_5_TURBO: ModelFacts(
        durations=_FIVE_OR_TEN,
        prices=VideoPrices(silent=_prices("0.3", "0.5")),
        tail_modes=("pro",),
        segment="kling-2.5-turbo",
    ),
}


def facts_of_model(model: object) -> ModelFacts | None:
    """
    Return what is known of a model, None for one that this version does not know.
    """
    return _MODELS.get(model) if isinstance(model, str) else None


def model_of_segment(segment: str) -> str:
    """
    Return the legacy name of a model that a path of the new standard names; a name that is not known is kept.
    """
    return next((str(model) for model, facts in _MODELS.items() if facts.segment == segment), segment)


def model_rules(model: Any, dialect: Dialect, offered: tuple[str, ...]) -> Iterator[BrokenRule]:
    """
    Check a model's name; None is allowed. Models that are not known pass, since the vendor may have added them.

    Args:
        offered: The models of the endpoint, by the vendor's pages.
    """
    if model is None:
        return
    if not isinstance(model, str) or not stands_in_path(model):
        yield broken("model_name", model, "must be a model's name")
    elif model in RETIRED and dialect.refuses_retired:
        yield broken("model_name", model, f"is retired at the vendor; {one_of(offered)}")
    elif model in _MODELS and model not in offered:
        yield broken("model_name", model, f"is not offered here; {one_of(offered)}")
    elif model in _MODELS and _MODELS[model].is_new_only and dialect.standard == "legacy only":
        rule = "needs the vendor's new standard, which is not spoken by gateways, nor with an AccessKey"
        yield broken("model_name", model, rule)
