"""
Converts the shapes in which services show a task to the vendor's legacy standard.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeGuard

from kling_async.wire.result_lists import ADDRESS, FILES_MAX, read_image, text_of
from kling_async.wire.scalars import read_decimal, read_id, read_nested

__all__ = ["addresses_in", "canonical", "id_of_task", "is_task"]

_NOTHING: Final[tuple[object, ...]] = (None, "", {}, [], 0)  # 0 is how some gateways leave out a time

_RESULTS: Final = ("task_result", "outputs", "output", "result", "data", "metadata")
"""
Where services keep the pictures of a task: `outputs` is the vendor's new standard, the others except the first are
relays'. Fields that repeat the request, such as `input`, are not among them.
"""

_PICTURE_LISTS: Final = ("images", "image_urls", "result_urls", "urls")

_ONE_PICTURE: Final = ("url", "result_url", "image_url")

_OF_THE_TASK: Final = ("image_urls", "result_urls", "url", "result_url")
"""
The names of pictures there, and the names that mean a result directly in the task. `image_url` and `images`
do not: directly in the task they may be the reference image that was sent.
"""

_PLACES: Final = frozenset((*_RESULTS, *_OF_THE_TASK))

_ADDRESSES: Final = ("http://", "https://", "data:image/", "/")
"""
How text begins that is a picture's address by itself.
"""

_MARKS_OF_A_TASK: Final = ("task_status", "status", "object")


def is_task(value: object) -> TypeGuard[Mapping[str, Any]]:
    """
    Return whether *value* has a known shape of a task: it has an id, and is not an envelope around a task.
    """
    return id_of_task(value) is not None


def id_of_task(value: object) -> str | None:
    """
    Return the id of a task of any known shape; None if *value* is no task.
    """
    if not isinstance(value, dict):
        return None
    if "task_id" in value and (task_id := read_id(value["task_id"])) is not None:
        return task_id
    return read_id(value["id"]) if "id" in value and not value.keys().isdisjoint(_MARKS_OF_A_TASK) else None


def canonical(task: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return *task* in the vendor's legacy words, in any shape. Nulls are dropped, so that defaults apply.
    """
    fields = {name: value for name, value in task.items() if value is not None}
    if read_id(fields.get("task_id")) is None:
        fields.pop("task_id", None)
        _translate(fields)
    elif "task_status" not in fields:
        _translate(fields)
    shown = [name for name in _PLACES.intersection(fields) if fields[name]]  # while a task runs, its results are empty
    if shown and not _has_files(fields.get("task_result")):
        results = {"images": _find_pictures(fields), **_typed_outputs(fields.get("outputs"))}
        if any(results.values()):
            fields["task_result"] = results
    return fields


def _has_files(result: Any) -> bool:
    # In the vendor's own lists.
    if not isinstance(result, dict):
        return bool(_pictures_in(result, ("images",)))
    images = result.get("images")
    first = images[0] if isinstance(images, list) and images else None
    if isinstance(first, dict) and "type" not in first and text_of(first, ADDRESS) is not None:
        return True
    others = ("series_images", "videos", "audios", "voices", "elements")
    return any(result.get(name) for name in others) or bool(_pictures_in(result, ("images",)))


def _typed_outputs(outputs: Any) -> dict[str, list[Any]]:
    # The vendor's new standard has one list for files of all kinds.
    items = [item for item in outputs if isinstance(item, dict)] if isinstance(outputs, list) else []
    return {f"{kind}s": [item for item in items if item.get("type") == kind] for kind in ("video", "audio")}


def _translate(fields: dict[str, Any]) -> None:
    error = fields.get("error")
    inner = _inner_task(read_nested(fields.get("data")))
    said = fields.get("message") if "code" not in fields else None  # otherwise it is the envelope's "SUCCEED"
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
    # The field itself, or the first of the others that is not empty.
    if fields.get(name) in _NOTHING:
        fields.pop(name, None)
        for value in others:
            if value not in _NOTHING:
                fields[name] = value
                return


def _inner_task(data: Any) -> Mapping[str, Any]:
    # new-api keeps the vendor's raw answer, or the task of it, in the `data` of its own task.
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
    images = (read_image(picture, place) for place, picture in enumerate(pictures[:FILES_MAX]))
    return tuple(image.url for image in images if image is not None)


def _encoded_in(data: Any) -> list[str]:
    items = data if isinstance(data, list) else []
    encoded = (item.get("b64_json") for item in items if isinstance(item, dict))
    return [f"data:image/png;base64,{text}" for text in encoded if isinstance(text, str) and text]


def _find_pictures(answer: Mapping[str, Any]) -> list[Any]:
    # From the first place that has any, unchanged.
    for name in _RESULTS:
        value = read_nested(answer.get(name))
        is_one = name in ("output", "result") and _is_address(value)
        if found := [value] if is_one else _pictures_in(value, _PICTURE_LISTS + _ONE_PICTURE):
            return found
    return _pictures_in(answer, _OF_THE_TASK)


def _pictures_in(value: Any, names: Iterable[str]) -> list[Any]:
    if isinstance(value, list):  # its items may be anything: text is a picture only if it is a URL
        return [item for item in value if _is_picture(item) and (isinstance(item, dict) or _is_address(item))]
    for name in names if isinstance(value, dict) else ():
        listed = value.get(name)
        is_list = isinstance(listed, list) and name in _PICTURE_LISTS
        if found := [item for item in (listed if is_list else [listed]) if _is_picture(item)]:
            return found
    return []


def _is_picture(item: Any) -> bool:
    if isinstance(item, dict):
        return item.get("type", "image") == "image" and text_of(item, ADDRESS) is not None
    return isinstance(item, str) and bool(item)


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(_ADDRESSES)


def _billed(billing: Any, charge_type: str, field: str = "amount") -> str | None:
    items = billing if isinstance(billing, list) else []
    charges = [item for item in items if isinstance(item, dict) and item.get("charge_type") == charge_type]
    amounts = [amount for item in charges if (amount := read_decimal(item.get(field), Decimal)) is not None]
    return str(sum(amounts)) if amounts else None


def _billed_cash(billing: Any) -> dict[str, Any] | None:
    quota = _billed(billing, "cash")
    if quota is None:
        return None
    charges = (item for item in billing if isinstance(item, dict) and item.get("charge_type") == "cash")
    currency = next((item.get("currency") for item in charges), None)
    return {"quota": quota, "list_price": _billed(billing, "cash", "list_price"), "currency": currency}
