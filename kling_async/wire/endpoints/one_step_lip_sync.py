"""
Lip sync in one step, of a video in which the service chooses the face.

The vendor's pages of 2026 do not describe it any more; facts are from clients and relays that use it. It was seen at
work, live, in September 2026. `LipSync` is what the vendor documents.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.inputs import FileFacts, FileInput, FileSource, describe_source, take_in
from kling_async.wire.endpoints.lip_sync import units_by_length
from kling_async.wire.endpoints.rules import (
    address_rules,
    audio_rules,
    broken,
    number_rule,
    one_of,
    text_rule,
    unicode_rules,
)
from kling_async.wire.endpoints.video_models import UNIT_PRICE
from kling_async.wire.endpoints.video_source import id_of, video_source_rules
from kling_async.wire.redaction import shown_text, shown_url

__all__ = ["ONE_STEP_LIP_SYNC", "OneStepLipSync"]

_TEXT_MAX: Final = 120
_LANGUAGES: Final = ("zh", "en")
_SECONDS: Final = (2, 60)

_BY_TEXT, _BY_SOUND = "text2video", "audio2video"
_OF_TEXT: Final = ("text", "voice_id", "voice_language", "voice_speed")
_OF_VIDEO: Final = ("video_id", "video_url")


def _sound(source: Any) -> Any:
    return take_in(source, "audio_file")


@explained
@attrs.frozen
class OneStepLipSync:
    """
    A copy of a video in which a face says a text, or what a sound says. Nothing is checked here: `submit` checks it
    before anything is sent.

    Exactly one of `text` and `audio_file` is needed. The service is not known to take an id of ours: a submit whose
    answer is lost is SubmissionUncertain, unless its callback comes.

    Attributes:
        video_id: A `Video` of a result, or the id of one, for 30 days. A relay that serves its clients from several
            accounts may not know it: pass `video_url` there. Exactly one of the two.
        video_url: An http(s) URL of an mp4 or mov that the service fetches: 2 to 60 seconds (10 at some services), at
            most 100 MB, sides of 720 to 1920 pixels.
        text: What the face says; 120 characters at most.
        voice_id: Of the catalogue for speech, such as "oversea_male1"; required with a text.
        voice_language: "zh" or "en", as it fits the voice; required with a text.
        voice_speed: 0.8 to 2; None leaves it to the service (1).
        audio_file: An http(s) URL, or an mp3, wav, m4a or aac of at most 5 MiB in the forms of `ImageRequest.image`.
        callback_url: Where the service reports changes, sent as it is.
        external_task_id: Not taken here.
    """

    video_id: str | None = attrs.field(default=None, converter=id_of)
    video_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    text: str | None = attrs.field(default=None, kw_only=True, repr=shown_text)
    voice_id: str | None = attrs.field(default=None, kw_only=True)
    voice_language: str | None = attrs.field(default=None, kw_only=True)
    voice_speed: float | None = attrs.field(default=None, kw_only=True)
    audio_file: FileSource | None = attrs.field(default=None, kw_only=True, converter=_sound, repr=describe_source)
    callback_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


def _rules(request: OneStepLipSync, dialect: Dialect, files: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    yield from video_source_rules(request)
    if (request.text is None) == (request.audio_file is None):
        rule = "needs an audio_file" if request.text is None else "cannot be combined with an audio_file"
        yield broken("text", request.text, rule)
    yield from _text_rules(request)
    yield from audio_rules("audio_file", request.audio_file, files.get("audio_file"), dialect, seconds=_SECONDS)
    yield from unicode_rules(request, ("video_url", "text", "voice_id", "callback_url"))
    yield from address_rules(dialect, request, takes_external_id=False)


def _text_rules(request: OneStepLipSync) -> Iterator[BrokenRule]:
    if request.text is None:
        for field in _OF_TEXT:
            if (value := getattr(request, field)) is not None:
                yield broken(field, value, "needs a text")
        return
    yield from text_rule("text", request.text, _TEXT_MAX, is_required=True)
    if not isinstance(request.voice_id, str) or not request.voice_id.strip():
        yield broken("voice_id", request.voice_id, 'must be the id of a voice for speech, such as "oversea_male1"')
    if request.voice_language not in _LANGUAGES:
        yield broken("voice_language", request.voice_language, one_of(_LANGUAGES))
    yield from number_rule("voice_speed", request.voice_speed, 0.8, 2)


def _to_body(fields: dict[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {name: fields[name] for name in _OF_VIDEO if name in fields}
    given["mode"] = _BY_TEXT if "text" in fields else _BY_SOUND
    if "audio_file" in fields:
        sound = fields["audio_file"]
        kind = "url" if sound[:8].lower().startswith(("http://", "https://")) else "file"
        given |= {"audio_type": kind, f"audio_{kind}": sound}
    given |= {name: fields[name] for name in _OF_TEXT if name in fields}
    return {"input": given, **({"callback_url": fields["callback_url"]} if "callback_url" in fields else {})}


def _from_body(body: Mapping[str, Any]) -> Mapping[str, Any]:
    given = body.get("input")
    mode = given.get("mode") if isinstance(given, Mapping) else None
    if mode is None:
        raise ValueError("input.mode: must not be null")
    if not isinstance(given, Mapping) or mode not in (_BY_TEXT, _BY_SOUND):
        raise ValueError(f"allowed values: {_BY_TEXT}, {_BY_SOUND}")
    names = _OF_VIDEO + (_OF_TEXT if mode == _BY_TEXT else ())
    fields = {name: given[name] for name in names if name in given}
    if mode == _BY_SOUND:
        fields["audio_file"] = given.get(_sound_field(given.get("audio_type")))
    return {**fields, "callback_url": body.get("callback_url")}


def _sound_field(kind: Any) -> str:
    if kind is None:
        raise ValueError("Audio type is null")
    if kind not in ("file", "url"):
        raise ValueError("allowed values: file, url")
    return f"audio_{kind}"


ONE_STEP_LIP_SYNC: Final = Endpoint(
    name="one-step-lip-sync",
    title="one-step lip sync",
    path="/v1/videos/lip-sync",
    request_class=OneStepLipSync,
    results=("videos",),
    inputs=(FileInput("audio_file", lambda dialect: dialect.sound_max_bytes, media="sound"),),
    rules=_rules,
    bucket=lambda _request, _dialect: "video/lip-sync",
    units_at_most=lambda request, dialect: units_by_length(request, dialect, _SECONDS[1]),
    units_by_length=units_by_length,
    unit_price=UNIT_PRICE,
    to_body=_to_body,
    from_body=_from_body,
    caption=lambda request: request.text or "",
    external_ids=False,
    timeout=1800.0,
)
"""
It costs half a unit for each 5 seconds of a video that only the service reads. The number of its slots is not
documented; one is counted, of those of `lip_sync`.
"""
