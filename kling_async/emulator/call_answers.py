"""
Answers calls that create no task, such as speech: reads the body, makes what was asked for, and bills it.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import attrs

from kling_async.emulator import api_errors
from kling_async.emulator.account import Account
from kling_async.emulator.api_errors import ApiError
from kling_async.emulator.bookkeeping import deductions_of, packs_of
from kling_async.emulator.file_rendering import missing_library
from kling_async.emulator.input_files import facts_of
from kling_async.emulator.result_files import ResultFile
from kling_async.emulator.task_snapshot import seconds_of
from kling_async.wire.calls.account import BALANCE_DEDUCTIONS, PACKAGE_DEDUCTIONS, RESOURCE_PACKS, PacksRequest
from kling_async.wire.calls.call import Call
from kling_async.wire.calls.deletes import DELETE_ELEMENT, DELETE_VOICE
from kling_async.wire.calls.faces import FACE_IDENTIFICATION, FaceRequest
from kling_async.wire.calls.recognition import IMAGE_RECOGNITION, RecognitionRequest
from kling_async.wire.calls.speech import SPEECH, SpeechRequest
from kling_async.wire.codec import read_request, write_task
from kling_async.wire.endpoints.base import Endpoint, ResultList
from kling_async.wire.endpoints.rules import image_rules

__all__ = ["answer_call"]

_BETWEEN: Final = 0.9  # seconds between two reads of the packs; one a second is allowed, and some take longer to come
_DIGITS: Final = 16  # of a number in a query

_VIDEO_UNIT: Final = Decimal("0.14")  # dollars; calls draw on the packs for videos


def answer_call(call: Call[Any, Any], body: Any, account: Account, now: float) -> Any:
    """
    Return the data of the answer to *call*, which is made and billed.

    Raises:
        ApiError: The body is invalid (1200, 1201), or there is not enough money (1102).
    """
    data = _ANSWERS[call.name](_read(call, body, account), account, now)
    account.ledger.calls[call.name] += 1
    return data


def fields_of_query(query: Mapping[str, str]) -> dict[str, Any]:
    """
    Return the fields of a GET as JSON would hold them.
    """
    return {name: int(text) if text.isdecimal() and len(text) < _DIGITS else text for name, text in query.items()}


def _read(call: Call[Any, Any], body: Any, account: Account) -> Any:
    if not isinstance(body, dict):
        raise ApiError(400, 1200, api_errors.MESSAGES[1200])
    try:
        request = read_request(body, call.request_class)
    except ValueError as error:
        raise ApiError(400, 1201, api_errors.of_wrong_type(error, body)) from error
    for broken in call.rules(request, account.settings.dialect):
        raise ApiError(400, 1201, api_errors.of_broken_rule(broken, body, {}))
    return request


def _made_by(call: Call[Any, Any], *results: ResultList) -> Endpoint[Any]:
    # What a call makes has files, as a task has.
    return Endpoint(
        name=call.name,
        title=call.title,
        path=call.path,
        request_class=call.request_class,
        results=results,
        rules=lambda *_: (),
        bucket=lambda *_: call.name,
        units=lambda *_: call.units,
        unit_price=_VIDEO_UNIT,
        caption=lambda _: call.title,
        several_ids=False,
    )


_SEGMENTS: Final = ("object_seg", "head_seg", "face_seg", "cloth_seg")

_SOUND: Final = _made_by(SPEECH, "audios")
_PARTS: Final = attrs.evolve(_made_by(IMAGE_RECOGNITION, "images"), files=lambda _: len(_SEGMENTS))
_FACE: Final = _made_by(FACE_IDENTIFICATION, "images")


def _speak(request: SpeechRequest, account: Account, now: float) -> dict[str, Any]:
    if request.voice_id not in account.settings.speech_voices:
        raise ApiError(400, 1201, "Voice id not found")
    if missing := missing_library(_SOUND.results):
        raise ApiError(400, 1201, missing)
    record = account.create_done(_SOUND, request, now)
    snapshot = account.snapshot_of(record, now)
    (sound,) = snapshot.task_result.audios
    only_mp3 = attrs.evolve(snapshot.task_result, audios=(attrs.evolve(sound, wav_url=None),))
    task = write_task(attrs.evolve(snapshot, task_result=only_mp3))
    return {name: value for name, value in task.items() if name != "task_info"}


def _identify(request: FaceRequest, account: Account, now: float) -> dict[str, Any]:
    # Every video shows one face, from its beginning to its end.
    video = None if request.video_id is None else account.find_file("videos", request.video_id, now)
    if request.video_id is not None and video is None:
        raise ApiError(400, 1201, api_errors.invalid("video_id", request.video_id))
    record = account.create_done(_FACE, request, now)
    face = {
        "face_id": "0",
        "face_image": account.urls.url_of(record, ResultFile("images", 0), now),
        "start_time": 0,
        "end_time": round(1000 * seconds_of(video or record, account.settings)),
    }
    return {"session_id": record.task_id, "final_unit_deduction": f"{record.units:f}", "face_data": [face]}


def _recognize(request: RecognitionRequest, account: Account, now: float) -> dict[str, Any]:
    # Every picture contains an object and no person.
    facts = facts_of(request.image)  # None for a URL
    for broken in image_rules("image", request.image, facts, account.settings.dialect):
        raise ApiError(400, 1201, api_errors.of_broken_rule(broken, {}, {} if facts is None else {"image": facts}))
    record = account.create_done(_PARTS, request, now)
    urls = [account.urls.url_of(record, ResultFile("images", index), now) for index in range(len(_SEGMENTS))]
    found = [
        {"type": kind, "is_contain": kind == "object_seg", "url": url if kind == "object_seg" else ""}
        for kind, url in zip(_SEGMENTS, urls, strict=True)
    ]
    return {"task_result": {"images": found}, "final_unit_deduction": f"{record.units:f}"}


def _show_packs(request: PacksRequest, account: Account, now: float) -> dict[str, Any]:
    if now - account.packs_read_at < _BETWEEN:
        raise ApiError(429, 1302, api_errors.MESSAGES[1302])
    account.packs_read_at = now
    packs = [pack for pack in packs_of(account, now) if request.start_time <= pack["purchase_time"] <= request.end_time]
    if request.resource_pack_name is not None:
        packs = [pack for pack in packs if pack["resource_pack_name"] == request.resource_pack_name]
    return {"code": 0, "msg": "success", "resource_pack_subscribe_infos": packs}


_ANSWERS: Final[Mapping[str, Callable[[Any, Account, float], Any]]] = {
    SPEECH.name: _speak,
    FACE_IDENTIFICATION.name: _identify,
    IMAGE_RECOGNITION.name: _recognize,
    RESOURCE_PACKS.name: _show_packs,
    PACKAGE_DEDUCTIONS.name: lambda request, account, now: deductions_of(account, request, "units", now),
    BALANCE_DEDUCTIONS.name: lambda request, account, now: deductions_of(account, request, "cash", now),
    DELETE_VOICE.name: lambda request, account, now: account.library.delete_voice(request.voice_id, now),
    DELETE_ELEMENT.name: lambda request, account, now: account.library.delete_element(request.element_id, now),
}
