"""
Custom voices: a voice for videos, from a sound or a video in which it is heard.

Facts are from the vendor's page "Voices" of September 2026; that a task takes 9 s and 0.05 units was seen live.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.inputs import FileFacts
from kling_async.wire.endpoints.rules import address_rules, text_rule, unicode_rules
from kling_async.wire.endpoints.video_source import id_of, video_source_rules
from kling_async.wire.redaction import shown_url

__all__ = ["CUSTOM_VOICE", "NAME_MAX", "VoiceRequest"]

NAME_MAX: Final = 20
"""
Characters of the name of a voice or an element.
"""


@explained
@attrs.frozen
class VoiceRequest:
    """
    A new voice, which the service keeps for the account.

    Attributes:
        voice_name: 1 to 20 characters.
        voice_url: Of a sound or a video (mp3, wav, mp4, mov) with one clean voice, 5 to 30 seconds long, which the
            service fetches. Exactly one of it and `video_id`.
        video_id: A video of this account that speaks: a `Video` of a result, or the id of one, of kling-v2-6 with
            sound, an avatar or a lip sync.
        callback_url: Where the service reports changes, sent as it is.
        external_task_id: An id of your own, unique on the account for ever; `submit` makes one if it is None.
    """

    voice_name: str
    voice_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    video_id: str | None = attrs.field(default=None, kw_only=True, converter=id_of)
    callback_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


def _rules(request: VoiceRequest, dialect: Dialect, _: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    yield from text_rule("voice_name", request.voice_name, NAME_MAX, is_required=True)
    yield from video_source_rules(request, "voice_url")
    yield from unicode_rules(request, ("voice_name", "voice_url", "callback_url"))
    yield from address_rules(dialect, request)


CUSTOM_VOICE: Final = Endpoint(
    name="custom-voice",
    title="custom voice",
    path="/v1/general/custom-voices",
    request_class=VoiceRequest,
    results=("voices",),
    rules=_rules,
    bucket=lambda _request, _dialect: "custom-voice",
    units=lambda _request, _dialect: Decimal("0.05"),
    unit_price=Decimal("0.14"),
    caption=lambda request: str(request.voice_name),
    several_ids=False,  # how the new standard shows voices is not known
)
"""
The number of its slots is not documented; one is counted.
"""
