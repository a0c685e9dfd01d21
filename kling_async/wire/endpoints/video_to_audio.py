"""
Video to audio: a sound that fits a video, and the video with it.

Facts are from the vendor's reference and price page of 2026.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.inputs import FileFacts
from kling_async.wire.endpoints.rules import address_rules, flag_rule, text_rule, unicode_rules
from kling_async.wire.endpoints.text_to_audio import SOUND_PROMPT_MAX, UNITS_PER_SOUND
from kling_async.wire.endpoints.video_models import UNIT_PRICE
from kling_async.wire.endpoints.video_source import id_of, video_source_rules
from kling_async.wire.redaction import shown_text, shown_url

__all__ = ["VIDEO_TO_AUDIO", "VideoToAudio"]


@explained
@attrs.frozen
class VideoToAudio:
    """
    A sound for a video. Nothing is checked here: `submit` checks it before anything is sent.

    The result has both: the video with the sound in `videos`, and the sound alone, as MP3 and WAV, in `audios`.

    Attributes:
        video_id: A `Video` of a result, or the id of one, for 30 days. A relay that serves its clients from several
            accounts may not know it: pass `video_url` there. Exactly one of the two.
        video_url: An http(s) URL of an mp4 or mov that the service fetches: 3 to 20 seconds, at most 100 MB.
        sound_effect_prompt: Which sounds are heard; 200 characters at most. None lets the service choose.
        bgm_prompt: Which music is heard; 200 characters at most.
        asmr_mode: Whether fine sounds are stressed; None leaves it to the service (not).
        callback_url: Where the service reports changes, sent as it is.
        external_task_id: An id of your own, unique on the account for ever; `submit` makes one if it is None.
    """

    video_id: str | None = attrs.field(default=None, converter=id_of)
    video_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    sound_effect_prompt: str | None = attrs.field(default=None, kw_only=True, repr=shown_text)
    bgm_prompt: str | None = attrs.field(default=None, kw_only=True, repr=shown_text)
    asmr_mode: bool | None = attrs.field(default=None, kw_only=True)
    callback_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


def _rules(request: VideoToAudio, dialect: Dialect, _: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    yield from video_source_rules(request)
    yield from text_rule("sound_effect_prompt", request.sound_effect_prompt, SOUND_PROMPT_MAX)
    yield from text_rule("bgm_prompt", request.bgm_prompt, SOUND_PROMPT_MAX)
    yield from unicode_rules(request, ("video_url", "sound_effect_prompt", "bgm_prompt", "callback_url"))
    yield from flag_rule("asmr_mode", request.asmr_mode)
    yield from address_rules(dialect, request)


VIDEO_TO_AUDIO: Final = Endpoint(
    name="video-to-audio",
    title="video to audio",
    path="/v1/audio/video-to-audio",
    request_class=VideoToAudio,
    results=("videos", "audios"),
    rules=_rules,
    bucket=lambda _request, _dialect: "video/video-to-audio",
    units=lambda _request, _dialect: UNITS_PER_SOUND,
    unit_price=UNIT_PRICE,
    caption=lambda request: request.sound_effect_prompt or request.bgm_prompt or "",
)
"""
It draws on the packs for videos. The number of its slots is not documented; one is counted.
"""
