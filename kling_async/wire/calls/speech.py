"""
Speech: text that a voice of the service's own catalogue reads.

Facts are from the vendor's page "Text to speech" of September 2026. The service answers with the sound, after
11 s or so.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import attrs

from kling_async.errors import BrokenRule, TaskFailed
from kling_async.wire.calls.call import Call, read_data
from kling_async.wire.codec import read_task
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.rules import broken, one_of, text_rule, unicode_rules
from kling_async.wire.error_answers import unexpected
from kling_async.wire.http_answer import Answer
from kling_async.wire.redaction import shown_text
from kling_async.wire.status import reason_of
from kling_async.wire.task_shapes import is_task
from kling_async.wire.tasks import Audio, TaskStatus

__all__ = ["LANGUAGES", "SPEECH", "TEXT_MAX", "Speech", "SpeechRequest"]

TEXT_MAX: Final = 1000
"""
Characters of a text that is read.
"""

LANGUAGES: Final = ("zh", "en")

_SPEED: Final = (Decimal("0.8"), Decimal(2))


@attrs.frozen
class Speech:
    """
    Text that was read.

    Attributes:
        audio: The sound. `client.read(speech.audio)` fetches it; its `id` goes into a lip sync or an avatar.
        task_id: What the service calls it. There is no way to read it again.
        units: What was charged, in the vendor's units; None if the service does not say.
        request_id: Of the answer, for the vendor's support.
    """

    audio: Audio
    task_id: str
    units: Decimal | None = None
    request_id: str | None = None


@attrs.frozen
class SpeechRequest:
    """
    What to read, and how; `SpeechApi.generate` has the words for it.
    """

    text: str = attrs.field(repr=shown_text)
    voice_id: str = attrs.field(kw_only=True)
    voice_language: str = attrs.field(kw_only=True)
    voice_speed: float | None = attrs.field(default=None, kw_only=True)


def _rules(request: SpeechRequest, _: Dialect) -> Iterator[BrokenRule]:
    yield from text_rule("text", request.text, TEXT_MAX, is_required=True)
    if not isinstance(request.voice_id, str) or not request.voice_id.strip():
        yield broken("voice_id", request.voice_id, 'must be the id of a voice for speech, such as "oversea_male1"')
    if request.voice_language not in LANGUAGES:
        yield broken("voice_language", request.voice_language, one_of(LANGUAGES))
    yield from unicode_rules(request, ("text", "voice_id"))
    if request.voice_speed is not None:
        yield from _speed_rule(request.voice_speed)


def _speed_rule(speed: Any) -> Iterator[BrokenRule]:
    # The service rounds any other speed without a word.
    if not isinstance(speed, int | float) or isinstance(speed, bool) or not _is_speed(Decimal(repr(speed))):
        yield broken("voice_speed", speed, "must be a number from 0.8 to 2 with at most one decimal")


def _is_speed(speed: Decimal) -> bool:
    slowest, fastest = _SPEED
    return speed.is_finite() and slowest <= speed <= fastest and speed == round(speed, 1)


def _read(answer: Answer) -> Speech:
    data, request_id = read_data(answer)
    if not is_task(data):
        raise unexpected("the answer holds no sound", answer, data)
    task = read_task(data, request_id=request_id)
    if task.task_status is TaskStatus.FAILED:
        raise TaskFailed(f"the text was not read: {reason_of(task)}", task.task_id, request_id, snapshot=task)
    if not task.task_result.audios:
        raise unexpected("the answer holds no sound", answer, data)
    return Speech(task.task_result.audios[0], task.task_id, task.final_unit_deduction, request_id)


SPEECH: Final = Call(
    name="speech",
    title="speech",
    path="/v1/audio/tts",
    request_class=SpeechRequest,
    rules=_rules,
    read=_read,
    units=Decimal("0.05"),
)
