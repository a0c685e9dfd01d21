"""
How values become JSON and back: the one cattrs converter, and the one place that knows the shapes.

Reading is strict where money hangs on it (a task must have an id) and forgiving elsewhere: a word, a time, a price or
a picture that cannot be read is absent, since an odd field at some gateway must not cost the caller a task that is paid
for. Unknown fields are ignored and kept in `TaskSnapshot.raw`. Written in the vendor's legacy standard, which all image
endpoints speak; gateways' re-shaped answers and the vendor's new standard are read as well.
"""

import datetime as dt
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeGuard, TypeVar

import attrs
from cattrs import BaseValidationError, Converter, transform_error
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from kling_async.wire.endpoints.base import ID_LENGTH, TaskRequest
from kling_async.wire.endpoints.inputs import FileSource
from kling_async.wire.fields import is_always_sent
from kling_async.wire.redaction import hide_secrets, one_line, shorten
from kling_async.wire.status import read_word
from kling_async.wire.tasks import Audio, BalanceDeduction, Image, TaskInfo, TaskOutput, TaskSnapshot, TaskStatus, Video

try:
    import orjson
except ImportError:  # the extra "fast" is not there, or not for this interpreter
    orjson = None  # type: ignore[assignment]

__all__ = [
    "CODEC",
    "addresses_in",
    "dumps",
    "is_task",
    "loads",
    "read_id",
    "read_nested",
    "read_patiently",
    "read_request",
    "read_request_id",
    "read_task",
    "read_whole",
    "write_request",
    "write_task",
]

R = TypeVar("R", bound=TaskRequest)
F = TypeVar("F", Image, Video, Audio)

_SECONDS_BELOW: Final = 10**11
"""
A time smaller than this is in seconds (so do some gateways), a larger one in milliseconds: 10^11 ms is March 1973.
"""

_DIGITS_MAX: Final = 12
"""
Digits of the largest number that is taken for an index, a price or a code; at 4300 Python itself refuses to read it.
"""

_NOTHING: Final[tuple[object, ...]] = (None, "", {}, [], 0)  # 0 is how some gateways leave out a time

_RESULTS: Final = ("task_result", "outputs", "output", "result", "data", "metadata")
"""
Where services keep the pictures of a task: `outputs` is the vendor's new standard, the others but for the first are
relays'. Nothing that repeats what was asked for is among them, such as `input`.
"""

FILES_MAX: Final = 100
"""
Files of each list of an answer that are read; a task makes nine pictures at most. Without a bound, 4 MiB of addresses
would become half a million downloads. `TaskSnapshot.raw` has them all.
"""

_PICTURE_LISTS: Final = ("images", "image_urls", "result_urls", "urls")
_ONE_PICTURE: Final = ("url", "result_url", "image_url")
_OF_THE_TASK: Final = ("image_urls", "result_urls", "url", "result_url")
"""
The names under which pictures stand there, and the ones that mean a result right in the task. `image_url` and `images`
do not: right in the task they may be the reference image that was sent.
"""

_ADDRESSES: Final = ("http://", "https://", "data:image/", "/")
"""
How text begins that is a picture's address by itself.
"""

_MARKS_OF_A_TASK: Final = ("task_status", "status", "object")

_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_DECODER: Final = json.JSONDecoder(parse_constant=lambda _: None)

_OUTLINE: Final = bytes.maketrans(b"123456789,:[ \t\n\r", b"000000000-------")
_LONG_NUMBER: Final = b"-" + 19 * b"0"
"""
What the outline of a body has where a number follows that may not fit in 64 bits: orjson would round it.
"""


def loads(body: bytes) -> Any:
    """
    Read JSON, with or without a byte order mark. A byte that is not UTF-8 or half a surrogate pair costs that character
    alone, and NaN is null. Raises ValueError for anything that is not JSON, and for what no service means in earnest: a
    thousand levels, a number of thousands of digits.
    """
    if orjson is not None and _LONG_NUMBER not in (b"-" + body).translate(_OUTLINE):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:  # it is stricter: what it refuses may still be read, or gets the usual error
            pass
    return read_patiently(body)


def read_patiently(body: bytes) -> Any:
    """
    Read as `loads` does, with the standard library alone.
    """
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    try:
        if _SURROGATE.search(text):  # frees the first value before it decodes again
            text = json.dumps(_DECODER.decode(text), ensure_ascii=False).encode(errors="replace").decode()
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def dumps(value: object) -> bytes:
    """
    Write JSON as compact UTF-8. Always with the standard library: the bytes are hashed, and numbers look different in
    others.
    """
    return _ENCODER.encode(value).encode()


def is_task(value: object) -> TypeGuard[Mapping[str, Any]]:
    """
    Tell whether *value* looks like a task of any known shape: it has an id, and it is no envelope around one.
    """
    if not isinstance(value, dict):
        return False
    return bool(read_id(value.get("task_id"))) or (
        bool(read_id(value.get("id"))) and not value.keys().isdisjoint(_MARKS_OF_A_TASK)
    )


def read_id(value: object) -> str | None:
    """
    Return an id as text, None for what cannot be one. Some gateways send numbers; JSON integers are exact in Python.
    """
    if isinstance(value, str):
        return value if value.strip() and len(value) <= ID_LENGTH else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def read_request_id(value: object) -> str | None:
    """
    Return the id of an answer as text, fit to be shown; None for what cannot be one. It is never sent back.
    """
    shown = read_id(shorten(one_line(value), ID_LENGTH) if isinstance(value, str) else value)
    return shown if shown is None else shown.strip()


def read_whole(value: object) -> int | None:
    """
    Return a whole number, which may also come as text or as 1.0; None for anything else.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value) if isinstance(value, int | str) else ""
    return int(text) if text.removeprefix("-").isdecimal() and len(text) <= _DIGITS_MAX else None


def read_nested(value: object) -> object:
    """
    Return *value*, or where it is text that holds a JSON object or list, what that holds.
    """
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        nested: object = loads(value.encode())
    except ValueError:
        return value
    return nested


def read_task(task: Mapping[str, Any], *, request_id: str | None = None) -> TaskSnapshot:
    """
    Read one task of any known shape.

    Raises:
        ValueError: It has no id that could be read.
    """
    fields = _canonical(task)
    if read_id(fields.get("task_id")) is None:
        raise ValueError("this is no task: it has no id that can be read")
    fields["raw"] = task
    if request_id:
        fields["request_id"] = request_id
    return CODEC.structure(fields, TaskSnapshot)


def write_task(snapshot: TaskSnapshot) -> dict[str, Any]:
    """
    Write *snapshot* as the vendor's legacy standard shows a task.
    """
    task: dict[str, Any] = CODEC.unstructure(snapshot)
    return task


def read_request(body: Mapping[str, Any], request_class: type[R]) -> R:
    """
    Read the body of a create, as a service does; empty text for an optional field is no value (the vendor's own habit).

    Raises:
        ValueError: A field has the wrong type.
    """
    needed = {field.name for field in attrs.fields(request_class) if field.default is attrs.NOTHING}
    given = {name: value for name, value in body.items() if value not in (None, "") or name in needed}
    try:
        return CODEC.structure(given, request_class)
    except BaseValidationError as error:
        raise ValueError("; ".join(transform_error(error))) from error


def write_request(request: TaskRequest) -> dict[str, Any]:
    """
    Write the body of a create. Fields that have their default are left out, unless they are `ALWAYS_SENT`; files must
    be text by now.
    """
    body: dict[str, Any] = CODEC.unstructure(request)
    return body


def _canonical(task: Mapping[str, Any]) -> dict[str, Any]:
    # The vendor's legacy words, whatever the shape of the task; nulls are dropped so that defaults apply.
    fields = {name: value for name, value in task.items() if value is not None}
    if read_id(fields.get("task_id")) is None:
        fields.pop("task_id", None)
    if "task_id" not in fields or "task_status" not in fields:
        _translate(fields)
    if not _has_files(fields.get("task_result")) and (pictures := _find_pictures(fields)):
        fields["task_result"] = {"images": pictures}
    fields["status_word"] = fields.setdefault("task_status", "")
    return fields


def _has_files(result: Any) -> bool:
    # In the vendor's own lists.
    if _pictures_in(result, ("images",)):
        return True
    return isinstance(result, dict) and any(result.get(name) for name in ("videos", "audios"))


def _translate(fields: dict[str, Any]) -> None:
    error = fields.get("error")
    inner = _inner_task(read_nested(fields.get("data")))
    said = fields.get("message") if "code" not in fields else None  # else it is the envelope's "SUCCEED"
    _settle(fields, "task_id", fields.get("id"), inner.get("task_id"))
    _settle(fields, "task_status", fields.get("status"), inner.get("task_status"))
    _settle(
        fields,
        "task_status_msg",
        fields.get("fail_reason"),
        error,
        said,
        inner.get("task_status_msg"),
    )
    _settle(fields, "created_at", fields.get("create_time"), fields.get("submit_time"), inner.get("created_at"))
    _settle(fields, "updated_at", fields.get("update_time"), fields.get("finish_time"), inner.get("updated_at"))
    billing = fields.get("billing")
    _settle(fields, "final_unit_deduction", _billed(billing, "unit"), inner.get("final_unit_deduction"))
    _settle(fields, "final_balance_deduction", _billed_cash(billing), inner.get("final_balance_deduction"))
    external_id = fields.get("external_task_id") or fields.get("external_id")
    _settle(fields, "task_info", {"external_task_id": external_id} if external_id else inner.get("task_info"))
    # Beside the raw answer with all pictures, new-api shows one of them as its own result: the raw answer goes first.
    _settle(fields, "task_result", inner.get("task_result"))


def _settle(fields: dict[str, Any], name: str, *others: Any) -> None:
    # The field itself, else the first of the others that says something.
    if fields.get(name) in _NOTHING:
        fields.pop(name, None)
        for found in others:
            if found not in _NOTHING:
                fields[name] = found
                return


def _inner_task(data: Any) -> Mapping[str, Any]:
    # new-api keeps the vendor's raw answer, or the task of it, in `data` of its own task.
    for candidate in (data, read_nested(data.get("data")) if isinstance(data, dict) else None):
        if isinstance(candidate, dict) and "task_status" in candidate:
            return candidate
    return {}


def addresses_in(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """
    Return the addresses of the pictures in an answer that names no task. What OpenAI's API sends as Base64 becomes a
    `data:` address.
    """
    pictures = _find_pictures(answer) or _pictures_in(answer, ("images",)) or _encoded_in(answer.get("data"))
    found = (_read_image(picture, place) for place, picture in enumerate(pictures[:FILES_MAX]))
    return tuple(image.url for image in found if image is not None)


def _encoded_in(data: Any) -> list[str]:
    items = data if isinstance(data, list) else []
    encoded = (item.get("b64_json") for item in items if isinstance(item, dict))
    return [f"data:image/png;base64,{text}" for text in encoded if isinstance(text, str) and text]


def _find_pictures(answer: Mapping[str, Any]) -> list[Any]:
    # As they stand there, from the first place that has any.
    for name in _RESULTS:
        value = read_nested(answer.get(name))
        is_one = name in ("output", "result") and _is_address(value)
        if found := [value] if is_one else _pictures_in(value, _PICTURE_LISTS + _ONE_PICTURE):
            return found
    return _pictures_in(answer, _OF_THE_TASK)


def _pictures_in(value: Any, names: Iterable[str]) -> list[Any]:
    if isinstance(value, list):  # of whatever: text in it is a picture only if it looks like an address
        return [item for item in value if _is_picture(item) and (isinstance(item, dict) or _is_address(item))]
    for name in names if isinstance(value, dict) else ():
        told = value.get(name)
        is_list = isinstance(told, list) and name in _PICTURE_LISTS
        if found := [item for item in (told if is_list else [told]) if _is_picture(item)]:
            return found
    return []


def _is_picture(item: Any) -> bool:
    if isinstance(item, dict):
        return item.get("type", "image") == "image" and _address_of(item) is not None
    return isinstance(item, str) and bool(item)


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(_ADDRESSES)


def _address_of(item: Mapping[str, Any]) -> str | None:
    addresses = (item.get(name) for name in ("url", "image_url"))
    return next((address for address in addresses if isinstance(address, str) and address), None)


def _billed(billing: Any, charge_type: str, field: str = "amount") -> str | None:
    items = billing if isinstance(billing, list) else []
    charges = [item for item in items if isinstance(item, dict) and item.get("charge_type") == charge_type]
    amounts = [amount for item in charges if (amount := _read_decimal(item.get(field), Decimal)) is not None]
    return str(sum(amounts)) if amounts else None


def _billed_cash(billing: Any) -> dict[str, Any] | None:
    quota = _billed(billing, "cash")
    if quota is None:
        return None
    charges = (item for item in billing if isinstance(item, dict) and item.get("charge_type") == "cash")
    currency = next((item.get("currency") for item in charges), None)
    return {"quota": quota, "list_price": _billed(billing, "cash", "list_price"), "currency": currency}


def _exact_text(value: Any, _: object) -> str:
    # cattrs would read null as "None" and a list as its repr.
    if isinstance(value, str):
        return value
    raise TypeError(f"expected text, got {type(value).__name__}")


def _exact_int(value: Any, _: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError(f"expected an integer, got {type(value).__name__}")


def _exact_float(value: Any, _: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise TypeError(f"expected a number, got {type(value).__name__}")


def _read_text(value: Any, _: object) -> str:
    return value if isinstance(value, str) else ""


def _read_status_word(value: Any, _: object) -> str:
    # It is shown where it is not known; the service's own is in `raw`.
    return shorten(one_line(_read_text(value, str)))


def _read_reason(value: Any, _: object) -> str:
    # It will be shown, in errors and reprs; as it came it stays in `raw`.
    text = value.get("message") if isinstance(value, dict) else value
    return hide_secrets(text) if isinstance(text, str) else ""


def _read_time(value: Any, _: object) -> dt.datetime | None:
    try:
        number = 0.0 if isinstance(value, bool) else float(value)
        if not number > 0:  # absent at some gateways, 0 in others' examples
            return None
        seconds = number if number < _SECONDS_BELOW else number / 1000
        return dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _write_time(at: dt.datetime) -> int:
    return round(at.timestamp() * 1000)


def _read_decimal(value: Any, _: object) -> Decimal | None:
    try:
        number = Decimal(str(value) if isinstance(value, str | int | float) else "")
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number.adjusted()) < _DIGITS_MAX else None


_NO_OUTPUT: Final = TaskOutput()


def _read_output(value: Any, _: object) -> TaskOutput:
    if not isinstance(value, dict):
        return _NO_OUTPUT
    images = _read_files(value.get("images"), _read_image)
    videos = _read_files(value.get("videos"), _read_video)
    audios = _read_files(value.get("audios"), _read_audio)
    return TaskOutput(images, videos, audios) if images or videos or audios else _NO_OUTPUT


def _read_files(items: Any, read: Callable[[Any, int], F | None]) -> tuple[F, ...]:
    if not isinstance(items, list):
        return ()
    found = (file for place, item in enumerate(items) if (file := read(item, place)) is not None)
    files = list(itertools.islice(found, FILES_MAX))
    if len({file.index for file in files}) < len(files):  # some gateways number every picture 0
        files = [attrs.evolve(file, index=place) for place, file in enumerate(files)]
    return tuple(sorted(files, key=lambda file: file.index))


def _read_video(item: Any, place: int) -> Video | None:
    url = _address_of(item) if isinstance(item, dict) else None
    if url is None:
        return None
    watermark_url, duration = _text_or_none(item.get("watermark_url")), _read_seconds(item.get("duration"))
    return Video(_read_index(item, place), url, watermark_url, read_id(item.get("id")), duration)


def _read_audio(item: Any, place: int) -> Audio | None:
    if not isinstance(item, dict):
        return None
    wav_url = _text_or_none(item.get("url_wav"))
    url = _address_of(item) or _text_or_none(item.get("url_mp3")) or wav_url
    if url is None:
        return None
    durations = (_read_seconds(item.get(name)) for name in ("duration", "duration_mp3", "duration_wav"))
    duration = next((seconds for seconds in durations if seconds is not None), None)
    return Audio(_read_index(item, place), url, wav_url, read_id(item.get("id")), duration)


def _read_index(item: Mapping[str, Any], place: int) -> int:
    index = read_whole(item.get("index"))
    return place if index is None or index < 0 else index


def _read_seconds(value: Any) -> float | None:
    seconds = _read_decimal(value, Decimal)
    return None if seconds is None or seconds < 0 else float(seconds)


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _read_image(item: Any, place: int) -> Image | None:
    if isinstance(item, str):
        item = {"url": item}
    url = _address_of(item) if isinstance(item, dict) else None
    if url is None:
        return None
    return Image(_read_index(item, place), url, _text_or_none(item.get("watermark_url")), read_id(item.get("id")))


def _read_info(value: Any, _: object) -> TaskInfo:
    external_id = value.get("external_task_id") if isinstance(value, dict) else None
    return TaskInfo(read_id(external_id))


def _read_cash(value: Any, _: object) -> BalanceDeduction | None:
    value = read_nested(value)
    quota = _read_decimal(value.get("quota"), Decimal) if isinstance(value, dict) else None
    if quota is None:
        return None
    currency = value.get("currency")
    is_told = isinstance(currency, str) and bool(currency)
    return BalanceDeduction(quota, _read_decimal(value.get("list_price"), Decimal), currency if is_told else None)


def _write_cash(taken: BalanceDeduction) -> dict[str, str]:
    written = {"quota": f"{taken.quota:f}"}
    if taken.list_price is not None:
        written["list_price"] = f"{taken.list_price:f}"
    return written if taken.currency is None else {**written, "currency": taken.currency}


def _write_source(source: FileSource | None) -> str | None:
    if source is None or isinstance(source, str):
        return source
    raise AssertionError("a path or bytes must have become Base64 before it is written")


def _write_snapshot(snapshot: TaskSnapshot) -> dict[str, Any]:
    task: dict[str, Any] = {
        "task_id": snapshot.task_id,
        "task_status": _written_word(snapshot),
        "task_status_msg": snapshot.task_status_msg,
        "task_info": _write_info(snapshot.task_info),
    }
    task["task_result"] = _write_output(snapshot.task_result)
    if snapshot.final_unit_deduction is not None:
        task["final_unit_deduction"] = f"{snapshot.final_unit_deduction:f}"
    if snapshot.final_balance_deduction is not None:
        task["final_balance_deduction"] = _write_cash(snapshot.final_balance_deduction)
    for name, at in (("created_at", snapshot.created_at), ("updated_at", snapshot.updated_at)):
        if at is not None:
            task[name] = _write_time(at)
    return task


def _write_info(info: TaskInfo) -> dict[str, str]:
    return {"external_task_id": info.external_task_id} if info.external_task_id else {}


def _written_word(snapshot: TaskSnapshot) -> str:
    meant = "" if snapshot.task_status is TaskStatus.UNKNOWN else str(snapshot.task_status.value)
    return snapshot.status_word or meant


def _write_output(output: TaskOutput) -> dict[str, Any]:
    lists = {
        "images": [_write_image(image) for image in output.images],
        "videos": [_write_video(video) for video in output.videos],
        "audios": [_write_audio(audio) for audio in output.audios],
    }
    return {name: files for name, files in lists.items() if files}


def _write_image(image: Image) -> dict[str, Any]:
    return _without_none({"index": image.index, "url": image.url, "watermark_url": image.watermark_url, "id": image.id})


def _write_video(video: Video) -> dict[str, Any]:
    item = {"id": video.id, "url": video.url, "watermark_url": video.watermark_url}
    return _without_none({**item, "duration": _write_seconds(video.duration)})


def _write_audio(audio: Audio) -> dict[str, Any]:
    item = {"id": audio.id, "url": audio.url, "url_wav": audio.wav_url}
    return _without_none({**item, "duration": _write_seconds(audio.duration)})


def _write_seconds(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:g}"


def _without_none(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if value not in (None, "")}


def _request_reader(kind: type, codec: Converter) -> Callable[[Mapping[str, Any], Any], Any]:
    return make_dict_structure_fn(kind, codec, _cattrs_detailed_validation=True)


def _request_writer(kind: type, codec: Converter) -> Callable[[Any], dict[str, Any]]:
    always = {field.name for field in attrs.fields(kind) if is_always_sent(field.metadata)}
    overrides: Any = {name: override(omit_if_default=False) for name in always}
    return make_dict_unstructure_fn(kind, codec, _cattrs_omit_if_default=True, **overrides)


def make_codec() -> Converter:
    """
    Build the converter.
    """
    codec = Converter(detailed_validation=False)
    codec.register_structure_hook(str, _exact_text)
    codec.register_structure_hook(int, _exact_int)
    codec.register_structure_hook(float, _exact_float)
    codec.register_structure_hook(TaskStatus, lambda word, _: read_word(_read_text(word, str)))
    codec.register_structure_hook(TaskOutput, _read_output)
    codec.register_structure_hook(TaskInfo, _read_info)
    codec.register_structure_hook_func(lambda kind: kind == dt.datetime | None, _read_time)
    codec.register_structure_hook_func(lambda kind: kind == Decimal | None, _read_decimal)
    codec.register_structure_hook_func(lambda kind: kind == BalanceDeduction | None, _read_cash)
    codec.register_structure_hook_func(lambda kind: kind == Mapping[str, Any], lambda value, _: value)
    codec.register_structure_hook_func(lambda kind: kind == FileSource | None, _exact_text)
    codec.register_structure_hook_factory(attrs.has, lambda kind: _request_reader(kind, codec))
    codec.register_structure_hook(
        TaskSnapshot,
        make_dict_structure_fn(
            TaskSnapshot,
            codec,
            task_id=override(struct_hook=lambda value, _: read_id(value)),
            status_word=override(struct_hook=_read_status_word),
            task_status_msg=override(struct_hook=_read_reason),
            request_id=override(struct_hook=lambda value, _: read_request_id(value)),
            is_confirmed=override(omit=True),  # no service tells us whom to believe
        ),
    )
    codec.register_unstructure_hook(TaskSnapshot, _write_snapshot)
    codec.register_unstructure_hook_func(lambda kind: kind == FileSource | None, _write_source)
    codec.register_unstructure_hook_factory(attrs.has, lambda kind: _request_writer(kind, codec))
    return codec


CODEC: Final = make_codec()
