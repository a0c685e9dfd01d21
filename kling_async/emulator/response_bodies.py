"""
How the service words its answers: the vendor's two standards, and those of the gateways that re-shape them.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from kling_async.emulator.account import ApiError
from kling_async.wire.codec import write_task
from kling_async.wire.json_text import dumps
from kling_async.wire.tasks import Image, TaskSnapshot, TaskStatus

Payload = dict[str, Any]

_NEW_WORDS: Final = {"succeed": "succeeded"}
_NEW_API_WORDS: Final = {
    "submitted": "SUBMITTED",
    "processing": "IN_PROGRESS",
    "succeed": "SUCCESS",
    "failed": "FAILURE",
}
_PROGRESS: Final = {"submitted": "10%", "processing": "30%", "succeed": "100%", "failed": "100%"}


def granted(data: object, request_id: str) -> Payload:
    """
    Wrap *data* in the vendor's envelope of a yes.
    """
    return {"code": 0, "message": "SUCCEED", "request_id": request_id, "data": data}


def refused(refusal: ApiError, request_id: str) -> Payload:
    """
    Word a no as the vendor does: without `data`.
    """
    return {"code": refusal.code, "message": refusal.message, "request_id": request_id}


def created(snapshot: TaskSnapshot, *, names_external_id: bool) -> Payload:
    """
    Word what a create answers; the seed's page knows no `task_info`.

    The task is "submitted", also where it takes no time at all.
    """
    task = {**write_task(snapshot), "task_status": TaskStatus.SUBMITTED.value}
    fields = ["task_id", "task_status", *(["task_info"] if names_external_id else []), "created_at", "updated_at"]
    return {field: task[field] for field in fields}


def new_standard(snapshot: TaskSnapshot) -> Payload:
    """
    Word a task as the vendor's new standard does.
    """
    task = write_task(snapshot)
    return {
        "id": task["task_id"],
        "status": _NEW_WORDS.get(task["task_status"], task["task_status"]),
        "message": task["task_status_msg"],
        "create_time": task["created_at"],
        "update_time": task["updated_at"],
        "external_id": snapshot.task_info.external_task_id or "",
        "outputs": [_output(image) for image in snapshot.task_result.images],
        "billing": _bill(snapshot),
    }


def _output(image: Image) -> Payload:
    output = {"type": "image", "url": image.url}
    return {**output, "watermark_url": image.watermark_url} if image.watermark_url else output


def _bill(snapshot: TaskSnapshot) -> list[Payload]:
    units, cash = snapshot.final_unit_deduction, snapshot.final_balance_deduction
    if cash is not None and cash.quota:
        money = {"amount": f"{cash.quota:f}", "currency": "USD", "list_price": f"{cash.list_price or cash.quota:f}"}
        return [{"charge_type": "cash", "cash_type": "balance", **money}]
    return [{"charge_type": "unit", "amount": f"{units:f}", "package_type": "image"}] if units else []


def no_such_path(path: str, now: float) -> Payload:
    """
    Word that a path does not exist: the vendor's web framework says so, not the vendor.
    """
    at = dt.datetime.fromtimestamp(now, dt.UTC).isoformat(timespec="milliseconds")
    return {"timestamp": at, "status": 404, "error": "Not Found", "message": "No message available", "path": path}


def gateway_error(message: str, kind: str = "new_api_error") -> Payload:
    """
    Word a no as gateways of the new-api family do, where they refuse by themselves.
    """
    return {"error": {"message": message, "type": kind, "param": "", "code": ""}}


def gateway_bad_key(request_id: str) -> Payload:
    return {"error": {"message": f"Invalid token (request id: {request_id})", "type": "new_api_error", "code": ""}}


def gateway_task_error(code: str, message: str) -> Payload:
    """
    Word a no as the task relay of the new-api family does: the code is a word.
    """
    return {"code": code, "message": message, "data": None}


def in_seconds(payload: Payload) -> Payload:
    """
    Turn the times of a vendor's answer into seconds.
    """
    data = payload.get("data")
    if isinstance(data, list):
        return {**payload, "data": [_with_seconds(task) for task in data]}
    return {**payload, "data": _with_seconds(data)} if isinstance(data, Mapping) else payload


def _with_seconds(task: Mapping[str, Any]) -> Payload:
    times = ("created_at", "updated_at", "create_time", "update_time")
    return {name: value // 1000 if name in times else value for name, value in task.items()}


def as_video_object(payload: Payload, model_name: str) -> Payload:
    """
    Word the answer to a create as gateways do that know tasks from videos alone.
    """
    task = payload["data"]
    return {
        "id": task["task_id"],
        "task_id": task["task_id"],
        "object": "video",
        "model": model_name,
        "status": "",
        "progress": 0,
        "created_at": task["created_at"] // 1000,
    }


def as_crazy_task(payload: Payload) -> Payload:
    """
    Word a sighting as crazyrouter does: one URL, however many pictures there are.
    """
    task = payload["data"]
    images = task["task_result"].get("images", [])
    failure = task["task_status_msg"]
    data = {
        "task_id": task["task_id"],
        "status": _NEW_WORDS.get(task["task_status"], task["task_status"]),
        "url": images[0]["url"] if images else "",
        "format": "png" if images else "",
        "error": {"code": 0, "message": failure} if failure else None,
        "metadata": None,
    }
    return {"code": "success", "message": "", "data": data}


def as_new_api_task(payload: Payload) -> Payload:
    """
    Word a sighting as recent new-api gateways do: a task of their own, the vendor's answer inside.
    """
    task = payload["data"]
    images = task["task_result"].get("images", [])
    word = task["task_status"]
    is_final = word in ("succeed", "failed")
    data = {
        "id": 1,
        "task_id": task["task_id"],
        "platform": "kling",
        "action": "generate",
        "status": _NEW_API_WORDS.get(word, "UNKNOWN"),
        "fail_reason": task["task_status_msg"],
        "result_url": images[0]["url"] if images else "",
        "submit_time": task["created_at"] // 1000,
        "start_time": task["created_at"] // 1000,
        "finish_time": task["updated_at"] // 1000 if is_final else 0,
        "progress": _PROGRESS.get(word, "30%"),
        "data": payload,
    }
    return {"code": "success", "message": "", "data": data}


SATURATED: Final = "当前分组上游负载已饱和\uff0c请稍后再试"
"""
What new-api says in place of the upstream's words under every 429: the group's upstream is saturated, try again later.
"""


def as_relayed_error(payload: Payload, status: int) -> Payload:
    """
    Word the vendor's no as new-api does: its whole JSON as text, but for a 429, whose reason it keeps to itself.
    """
    return gateway_task_error("fail_to_fetch_task", SATURATED if status == 429 else dumps(payload).decode())
