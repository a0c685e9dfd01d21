"""
The voices and elements of an account: those that its tasks have made, and the service's own.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from kling_async.emulator.api_errors import ApiError
from kling_async.emulator.result_files import FileUrls, ResultFile
from kling_async.emulator.task_record import SUCCESS, TaskRecord
from kling_async.emulator.task_snapshot import file_id
from kling_async.wire.calls.presets import PRESET_ELEMENTS, PRESET_VOICES
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.custom_element import CUSTOM_ELEMENT, ElementRequest
from kling_async.wire.endpoints.custom_voice import CUSTOM_VOICE, VoiceRequest
from kling_async.wire.library import Element, Voice
from kling_async.wire.tasks import TaskOutput

__all__ = ["PRESET_ELEMENT_IDS", "PRESET_VOICE_IDS", "Library"]

PRESET_ELEMENT_IDS: Final = tuple(range(829836802793406551, 829836802793406561))
"""
Ids of the service's own elements; the first one is in the vendor's examples.
"""

PRESET_VOICE_IDS: Final = tuple(str(number) for number in range(829836802793406601, 829836802793406611))
"""
Ids of the service's own voices, for videos.
"""

_SERVICE: Final = "kling"  # owns the presets, in the vendor's words
_ACCOUNT: Final = "emulator"

_LONG_AGO: Final = 1_700_000_000.0  # when the presets were made, in epoch seconds

_VOICE_NOT_FOUND: Final = "Voice id not found"


class Library:
    """
    What an account can refer to by an id.

    Args:
        records: The account's tasks, by their ids; it grows.
    """

    def __init__(self, records: Mapping[str, TaskRecord]) -> None:
        self.presets: Final = {record.task_id: record for record in (*_preset_voices(), *_preset_elements())}
        self._records = records
        self._deleted: set[str] = set()

    def output_of(self, record: TaskRecord, urls: FileUrls, now: float) -> TaskOutput:
        """
        Return the voices and elements that a task has made.
        """
        if not record.files_at(now):
            return TaskOutput()
        owner = _SERVICE if record.task_id in self.presets else _ACCOUNT
        if "elements" in record.endpoint.results:
            return TaskOutput(elements=(self._element(record, owner, urls, now),))
        voice_id = _id_of(record)
        if voice_id in self._deleted:
            return TaskOutput()
        trial_url = urls.url_of(record, ResultFile("audios", 0, is_wav=True), now)
        return TaskOutput(voices=(Voice(voice_id, record.request.voice_name, trial_url, owner),))

    def check(self, request: Any, now: float) -> None:
        """
        Raises:
            ApiError: *request* names a voice or an element that does not exist (1201).
        """
        for element_id in getattr(request, "element_list", None) or ():
            if self._find(PRESET_ELEMENTS, CUSTOM_ELEMENT, str(element_id), now) is None:
                raise ApiError(400, 1201, f"Element id not found: {element_id}")
        voice_id = getattr(request, "element_voice_id", None)
        for wanted in (*(getattr(request, "voice_list", None) or ()), *([] if voice_id is None else [voice_id])):
            if self._find(PRESET_VOICES, CUSTOM_VOICE, wanted, now) is None:
                raise ApiError(400, 1201, _VOICE_NOT_FOUND)

    def delete_voice(self, voice_id: str, now: float) -> None:
        """
        Raises:
            ApiError: The account has no such voice, or it is deleted already (1201).
        """
        self._delete(CUSTOM_VOICE, voice_id, now, _VOICE_NOT_FOUND)

    def delete_element(self, element_id: int, now: float) -> None:
        """
        Raises:
            ApiError: The account has no such element, or it is deleted already (1201).
        """
        self._delete(CUSTOM_ELEMENT, str(element_id), now, f"Element id not found: {element_id}")

    def _delete(self, endpoint: Endpoint[Any], any_id: str, now: float, not_found: str) -> None:
        if any_id in self._deleted:
            raise ApiError(400, 1201, f"{endpoint.title} {any_id} may already be deleted")
        if self._made(endpoint, any_id, now) is None:
            raise ApiError(400, 1201, not_found)
        self._deleted.add(any_id)

    def _find(self, preset: Endpoint[Any], custom: Endpoint[Any], any_id: str, now: float) -> TaskRecord | None:
        if any_id in self._deleted:
            return None
        presets = (record for record in self.presets.values() if record.endpoint is preset)
        return next((record for record in presets if _id_of(record) == any_id), None) or self._made(custom, any_id, now)

    def _made(self, endpoint: Endpoint[Any], any_id: str, now: float) -> TaskRecord | None:
        made = (record for record in self._records.values() if record.endpoint is endpoint and record.files_at(now))
        return next((record for record in made if _id_of(record) == any_id), None)

    def _element(self, record: TaskRecord, owner: str, urls: FileUrls, now: float) -> Element:
        request = record.request
        element_id = _id_of(record)
        voice_id = request.element_voice_id
        voice = None if voice_id is None else self._find(PRESET_VOICES, CUSTOM_VOICE, voice_id, now)
        return Element(
            int(element_id),
            element_name=request.element_name,
            element_description=request.element_description,
            reference_type="image_refer" if request.refer_video is None else "video_refer",
            status="deleted" if element_id in self._deleted else "succeed",
            owned_by=owner,
            voice=None if voice is None else next(iter(self.output_of(voice, urls, now).voices), None),
            tag_list=request.tag_list,
            raw=_sources_of(record, urls, now),
        )


def _id_of(record: TaskRecord) -> str:
    # A preset has a fixed id, which stands in the id of its task.
    if record.endpoint in (PRESET_VOICES, PRESET_ELEMENTS):
        return record.task_id.removeprefix("preset-")
    return file_id(record, "images", 0)


def _sources_of(record: TaskRecord, urls: FileUrls, now: float) -> dict[str, Any]:
    if record.request.refer_video is not None:
        return {"element_video_list": {"refer_videos": [{"video_url": record.request.refer_video}]}}
    picture = urls.url_of(record, ResultFile("images", 0), now)  # of all of them
    others = [{"image_url": picture} for _ in record.request.refer_images]
    return {"element_image_list": {"frontal_image": picture, "refer_images": others}}


def _preset_voices() -> list[TaskRecord]:
    return [
        _preset(PRESET_VOICES, VoiceRequest(f"Preset voice {number}"), voice_id)
        for number, voice_id in enumerate(PRESET_VOICE_IDS, 1)
    ]


def _preset_elements() -> list[TaskRecord]:
    return [
        _preset(
            PRESET_ELEMENTS,
            ElementRequest(f"Preset {number}", element_description=f"the service's own element {number}"),
            str(element_id),
        )
        for number, element_id in enumerate(PRESET_ELEMENT_IDS, 1)
    ]


def _preset(endpoint: Endpoint[Any], request: Any, any_id: str) -> TaskRecord:
    return TaskRecord(
        task_id=f"preset-{any_id}",
        endpoint=endpoint,
        request=request,
        model_name="",
        bucket="",
        ordinal=0,
        created_at=_LONG_AGO,
        started_at=_LONG_AGO,
        done_at=_LONG_AGO,
        price=Decimal(0),
        seed=0,
        outcome=SUCCESS,
        count=1,
    )
