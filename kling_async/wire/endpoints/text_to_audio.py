"""
Text to audio: a sound from text, such as waves or a crowd. It is no speech; `client.speech` reads text aloud.

Facts are from the vendor's reference and price page of 2026.
"""

from collections.abc import Hashable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.inputs import FileFacts
from kling_async.wire.endpoints.rules import address_rules, broken, text_rule, unicode_rules
from kling_async.wire.endpoints.video_models import UNIT_PRICE
from kling_async.wire.field_metadata import ALWAYS_SENT
from kling_async.wire.redaction import shown_text, shown_url

__all__ = ["SOUND_PROMPT_MAX", "TEXT_TO_AUDIO", "UNITS_PER_SOUND", "TextToAudio"]

SOUND_PROMPT_MAX: Final = 200
"""
Characters of a prompt for a sound.
"""

UNITS_PER_SOUND: Final = Decimal("0.25")

_SHORTEST: Final = 3
_LONGEST: Final = 10


@explained
@attrs.frozen
class TextToAudio:
    """
    A sound from text. Nothing is checked here: `submit` checks it before anything is sent.

    The result has the sound as MP3 and as WAV: `Audio.url` and `Audio.wav_url`.

    Attributes:
        prompt: What is heard; 200 characters at most.
        duration: Seconds, 3 to 10; parts of a second are taken.
        callback_url: Where the service reports changes, sent as it is.
        external_task_id: An id of your own, unique on the account for ever; `submit` makes one if it is None.
    """

    prompt: str = attrs.field(repr=shown_text)
    duration: float = attrs.field(default=5, kw_only=True, metadata=ALWAYS_SENT)
    callback_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


def _rules(request: TextToAudio, dialect: Dialect, _: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    yield from text_rule("prompt", request.prompt, SOUND_PROMPT_MAX, is_required=True)
    yield from unicode_rules(request, ("prompt", "callback_url"))
    yield from _duration_rule(request.duration)
    yield from address_rules(dialect, request)


def _duration_rule(seconds: Any) -> Iterator[BrokenRule]:
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not _SHORTEST <= seconds <= _LONGEST:
        yield broken("duration", seconds, f"must be {_SHORTEST} to {_LONGEST} seconds")


def _duration_key(request: TextToAudio) -> Hashable:
    return request.duration


TEXT_TO_AUDIO: Final = Endpoint(
    name="text-to-audio",
    title="text to audio",
    path="/v1/audio/text-to-audio",
    request_class=TextToAudio,
    results=("audios",),
    rules=_rules,
    bucket=lambda _request, _dialect: "video/text-to-audio",
    duration_key=_duration_key,
    units=lambda _request, _dialect: UNITS_PER_SOUND,
    unit_price=UNIT_PRICE,
)
"""
It draws on the packs for videos. The number of its slots is not documented; one is counted.
"""
