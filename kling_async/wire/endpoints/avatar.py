"""
Avatar: a person in a picture speaks or sings a sound.

Facts are from the vendor's reference and price page of September 2026. What it costs was also seen live.
"""

from collections.abc import Hashable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.inputs import FileFacts, FileInput, FileSource, describe_source, take_in
from kling_async.wire.endpoints.rules import (
    address_rules,
    broken,
    flag_rule,
    image_rules,
    one_of,
    text_rule,
    unicode_rules,
)
from kling_async.wire.endpoints.video_models import UNIT_PRICE
from kling_async.wire.endpoints.video_rules import PROMPT_MAX
from kling_async.wire.endpoints.video_source import id_of, sound_source_rules
from kling_async.wire.field_metadata import ALWAYS_SENT, WATERMARK
from kling_async.wire.redaction import shown_text, shown_url

__all__ = ["AVATAR", "Avatar"]

_SECONDS: Final = (2, 300)  # of the sound
_UNITS_PER_SECOND: Final = {"std": Decimal("0.4"), "pro": Decimal("0.8")}
_MODES: Final = tuple(_UNITS_PER_SECOND)  # compared: what JSON has there may have no hash


def _image(source: Any) -> Any:
    return take_in(source, "image")


def _sound(source: Any) -> Any:
    return take_in(source, "sound_file")


@explained
@attrs.frozen
class Avatar:
    """
    A video of a person that says what a sound says, and is as long as it. Nothing is checked here: `submit` checks it
    before anything is sent.

    Attributes:
        image: The person: an http(s) URL, or a jpg or png as in `ImageRequest.image`.
        audio_id: A sound that this account has made: `speech.audio`, an `Audio` of a result, or the id of one, for 30
            days. A relay that serves its clients from several accounts may not know it: pass the sound as `sound_file`
            there. Exactly one of the two.
        sound_file: An http(s) URL, or an mp3, wav, m4a or aac of at most 5 MiB in the forms of `ImageRequest.image`.
            It lasts 2 to 300 seconds.
        prompt: How the person moves and looks; 2500 characters at most.
        mode: "std" (720p) or "pro" (1080p).
        watermark_info: Whether to make a second file with the vendor's watermark.
        callback_url: Where the service reports changes, sent as it is.
        external_task_id: An id of your own, unique on the account for ever; `submit` makes one if it is None.
    """

    image: FileSource | None = attrs.field(converter=_image, repr=describe_source)
    audio_id: str | None = attrs.field(default=None, kw_only=True, converter=id_of)
    sound_file: FileSource | None = attrs.field(default=None, kw_only=True, converter=_sound, repr=describe_source)
    prompt: str | None = attrs.field(default=None, kw_only=True, repr=shown_text)
    mode: str = attrs.field(default="std", kw_only=True, metadata=ALWAYS_SENT)
    watermark_info: bool | None = attrs.field(default=None, kw_only=True, metadata=WATERMARK)
    callback_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


def _rules(request: Avatar, dialect: Dialect, files: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    if request.image is None:
        yield broken("image", None, "is required")
    yield from image_rules("image", request.image, files.get("image"), dialect)
    yield from sound_source_rules(request, files, dialect, seconds=_SECONDS)
    yield from text_rule("prompt", request.prompt, PROMPT_MAX)
    yield from unicode_rules(request, ("prompt", "callback_url"))
    if request.mode not in _MODES:
        yield broken("mode", request.mode, one_of(_MODES))
    yield from flag_rule("watermark_info", request.watermark_info)
    yield from address_rules(dialect, request)


def _units_by_length(request: Avatar, _: Dialect, seconds: float) -> Decimal | None:
    price = _UNITS_PER_SECOND.get(request.mode)
    return None if price is None else price * Decimal(str(seconds))


def _duration_key(request: Avatar) -> Hashable:
    return request.mode


AVATAR: Final = Endpoint(
    name="avatar",
    title="avatar",
    path="/v1/videos/avatar/image2video",
    request_class=Avatar,
    results=("videos",),
    inputs=(
        FileInput("image", lambda dialect: dialect.image_max_bytes),
        FileInput("sound_file", lambda dialect: dialect.sound_max_bytes, media="sound"),
    ),
    rules=_rules,
    bucket=lambda _request, _dialect: "video/avatar",
    duration_key=_duration_key,
    units_at_most=lambda request, dialect: _units_by_length(request, dialect, _SECONDS[1]),
    units_by_length=_units_by_length,
    unit_price=UNIT_PRICE,
    caption=lambda request: request.prompt or "",
    timeout=1800.0,
)
"""
It costs by the second of its sound, which the service measures. The number of its slots is not documented; one is
counted.
"""
