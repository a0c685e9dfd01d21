"""
Converts values to JSON and back with the package's only cattrs converter.

Reading is strict where money depends on it (a task must have an id) and forgiving elsewhere: a word, a time, a price or
a picture that cannot be read is absent, since an odd field at some gateway must not cost the caller a task that is paid
for. Unknown fields are ignored and kept in `TaskSnapshot.raw`. Written in the vendor's legacy standard, which all image
endpoints speak; gateways' re-shaped answers and the vendor's new standard are read as well.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

import attrs
from cattrs import BaseValidationError, Converter, transform_error
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from kling_async.wire.endpoints.inputs import FileSource
from kling_async.wire.field_metadata import WireForm, form_of, is_always_sent
from kling_async.wire.json_text import pack
from kling_async.wire.result_lists import read_output, write_output
from kling_async.wire.scalars import (
    exact_bool,
    exact_float,
    exact_int,
    exact_text,
    read_decimal,
    read_id,
    read_nested,
    read_reason,
    read_request_id,
    read_time,
    write_time,
)
from kling_async.wire.status import read_word
from kling_async.wire.task_shapes import canonical
from kling_async.wire.tasks import BalanceDeduction, TaskInfo, TaskSnapshot, TaskStatus

__all__ = ["read_request", "read_task", "write_request", "write_task"]

R = TypeVar("R", bound=attrs.AttrsInstance)


def read_task(
    task: Mapping[str, Any],
    *,
    request_id: str | None = None,
    known_id: str | None = None,
    source: bytes | None = None,
) -> TaskSnapshot:
    """
    Read one task of any known shape.

    Args:
        request_id: Of the answer.
        known_id: The id of the task for which it was asked, if it is known. If the task has this id, it is not kept
            twice.
        source: The JSON from which *task* was read, and nothing else. It is kept as the task's raw form.

    Raises:
        ValueError: It has no readable id.
    """
    fields = canonical(task)
    task_id = read_id(fields.get("task_id"))
    if task_id is None:
        raise ValueError("this is not a task: it has no readable id")
    status, word = read_word(fields.get("task_status"))
    known: dict[str, Any] = {name: read(fields[name], None) for name, read in _READERS.items() if name in fields}
    raw: Mapping[str, Any] | bytes | None = source
    if raw is None:
        try:
            raw = bytes(memoryview(pack(task)))  # a copy: what orjson returns takes 4 KiB, however short it is
        except (TypeError, ValueError, RecursionError):  # it was not read from JSON
            raw = task
    return TaskSnapshot(
        task_id=known_id if known_id == task_id else task_id,
        task_status=status,
        status_word=word,
        request_id=request_id or read_request_id(fields.get("request_id")),
        raw=raw,
        **known,
    )


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
    fields = {name: value for name, value in body.items() if value not in (None, "") or name in needed}
    try:
        return CODEC.structure(fields, request_class)
    except BaseValidationError as error:
        raise ValueError("; ".join(transform_error(error))) from error


def write_request(request: attrs.AttrsInstance) -> dict[str, Any]:
    """
    Write the body of a create. Fields that have their default are left out, unless they are `ALWAYS_SENT`; files must
    be text by now.
    """
    body: dict[str, Any] = CODEC.unstructure(request)
    return body


def _read_info(value: Any, _: object) -> TaskInfo:
    external_id = value.get("external_task_id") if isinstance(value, dict) else None
    return TaskInfo(read_id(external_id))


def _read_cash(value: Any, _: object) -> BalanceDeduction | None:
    value = read_nested(value)
    quota = read_decimal(value.get("quota"), Decimal) if isinstance(value, dict) else None
    if quota is None:
        return None
    currency = value.get("currency")
    is_told = isinstance(currency, str) and bool(currency)
    return BalanceDeduction(quota, read_decimal(value.get("list_price"), Decimal), currency if is_told else None)


_READERS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "task_status_msg": read_reason,
    "task_result": read_output,
    "task_info": _read_info,
    "created_at": read_time,
    "updated_at": read_time,
    "final_unit_deduction": read_decimal,
    "final_balance_deduction": _read_cash,
}
"""
How the fields of a task are read, except its id and its status. Fields that are absent keep their defaults.
"""


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
    task["task_result"] = write_output(snapshot.task_result)
    if snapshot.final_unit_deduction is not None:
        task["final_unit_deduction"] = f"{snapshot.final_unit_deduction:f}"
    if snapshot.final_balance_deduction is not None:
        task["final_balance_deduction"] = _write_cash(snapshot.final_balance_deduction)
    for name, at in (("created_at", snapshot.created_at), ("updated_at", snapshot.updated_at)):
        if at is not None:
            task[name] = write_time(at)
    return task


def _write_info(info: TaskInfo) -> dict[str, str]:
    return {"external_task_id": info.external_task_id} if info.external_task_id else {}


def _written_word(snapshot: TaskSnapshot) -> str:
    status = "" if snapshot.task_status is TaskStatus.UNKNOWN else str(snapshot.task_status.value)
    return snapshot.status_word or status


def _request_reader(kind: type, codec: Converter) -> Callable[[Mapping[str, Any], Any], Any]:
    forms = {field.name: form_of(field.metadata) for field in attrs.fields(kind)}
    overrides: Any = {
        name: override(struct_hook=_form_reader(form)) for name, form in forms.items() if form is not None
    }
    return make_dict_structure_fn(kind, codec, _cattrs_detailed_validation=True, **overrides)


def _form_reader(form: WireForm) -> Callable[[Any, Any], Any]:
    return lambda value, _: form.read(value)


def _request_writer(kind: type, codec: Converter) -> Callable[[Any], dict[str, Any]]:
    overrides: Any = {
        field.name: override(
            omit_if_default=not is_always_sent(field.metadata),
            unstruct_hook=None if (form := form_of(field.metadata)) is None else form.write,
        )
        for field in attrs.fields(kind)
    }
    return make_dict_unstructure_fn(kind, codec, _cattrs_omit_if_default=True, **overrides)


def _is_source(kind: Any) -> bool:
    return kind in (FileSource, FileSource | None)


def make_codec() -> Converter:
    """
    Build the converter.
    """
    codec = Converter(detailed_validation=False)
    codec.register_structure_hook(str, exact_text)
    codec.register_structure_hook(bool, exact_bool)
    codec.register_structure_hook(int, exact_int)
    codec.register_structure_hook(float, exact_float)
    codec.register_structure_hook_func(_is_source, exact_text)
    codec.register_structure_hook_factory(attrs.has, lambda kind: _request_reader(kind, codec))
    codec.register_unstructure_hook(TaskSnapshot, _write_snapshot)
    codec.register_unstructure_hook_func(_is_source, _write_source)
    codec.register_unstructure_hook_factory(attrs.has, lambda kind: _request_writer(kind, codec))
    return codec


CODEC: Final = make_codec()
