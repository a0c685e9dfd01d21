"""
The JSON bodies of answers: in the vendor's two standards, and in the shapes of gateways.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from kling_async.emulator.api_errors import ApiError
from kling_async.wire.codec import CODEC, write_task
from kling_async.wire.json_text import dumps
from kling_async.wire.tasks import TaskSnapshot, TaskStatus

Payload = dict[str, Any]

_NEW_WORDS: Final = {"succeed": "succeeded"}
_NEW_API_WORDS: Final = {
    "submitted": "SUBMITTED",
    "processing": "IN_PROGRESS",
    "succeed": "SUCCESS",
    "failed": "FAILURE",
}
_PROGRESS: Final = {"submitted": "10%", "processing": "30%", "succeed": "100%", "failed": "100%"}


def success_body(data: object, request_id: str) -> Payload:
    """
    Wrap *data* in the vendor's envelope of a success.
    """
    return {"code": 0, "message": "SUCCEED", "request_id": request_id, "data": data}


def error_body(error: ApiError, request_id: str) -> Payload:
    """
    Write an error in the vendor's envelope, without `data`.
    """
    return {"code": error.code, "message": error.message, "request_id": request_id}


def created(snapshot: TaskSnapshot, *, names_external_id: bool) -> Payload:
    """
    Write the answer to a create. The gateway's page has no `task_info`.

    The task is "submitted", even if it takes no time at all.
    """
    task = {**write_task(snapshot), "task_status": TaskStatus.SUBMITTED.value}
    fields = ["task_id", "task_status", *(["task_info"] if names_external_id else []), "created_at", "updated_at"]
    return {field: task[field] for field in fields}


def created_in_new_standard(snapshot: TaskSnapshot) -> Payload:
    """
    Write the answer to a create in the vendor's new standard.
    """
    task = {**new_standard(snapshot), "status": TaskStatus.SUBMITTED.value}
    return {name: task[name] for name in ("id", "status", "message", "create_time", "update_time", "external_id")}


def new_standard(snapshot: TaskSnapshot) -> Payload:
    """
    Write a task in the vendor's new standard.
    """
    task = write_task(snapshot)
    return {
        "id": task["task_id"],
        "status": _NEW_WORDS.get(task["task_status"], task["task_status"]),
        "message": task["task_status_msg"],
        "create_time": task["created_at"],
        "update_time": task["updated_at"],
        "external_id": snapshot.task_info.external_task_id or "",
        "outputs": _outputs(snapshot),
        "billing": _bill(snapshot),
    }


def _outputs(snapshot: TaskSnapshot) -> list[Payload]:
    result = CODEC.unstructure(snapshot.task_result)
    return [
        {"type": kind.removesuffix("s"), **{_new_name(name): item[name] for name in item if name != "index"}}
        for kind in ("images", "videos", "audios")
        for item in result.get(kind, [])
    ]


def _new_name(name: str) -> str:
    # Of a field of a file: `url_mp3` of the legacy standard is `mp3_url`.
    first, _, second = name.partition("_")
    return f"{second}_{first}" if second in {"mp3", "wav"} else name


def _bill(snapshot: TaskSnapshot) -> list[Payload]:
    units, cash = snapshot.final_unit_deduction, snapshot.final_balance_deduction
    if cash is not None and cash.quota:
        money = {"amount": f"{cash.quota:f}", "currency": "USD", "list_price": f"{cash.list_price or cash.quota:f}"}
        return [{"charge_type": "cash", "cash_type": "balance", **money}]
    package = next((file.kind for file in snapshot.task_result.files), "image")
    return [{"charge_type": "unit", "amount": f"{units:f}", "package_type": package}] if units else []


def no_such_path(path: str, now: float) -> Payload:
    """
    Write that a path does not exist, in the words of the vendor's web framework.
    """
    at = dt.datetime.fromtimestamp(now, dt.UTC).isoformat(timespec="milliseconds")
    return {"timestamp": at, "status": 404, "error": "Not Found", "message": "No message available", "path": path}


def gateway_error(message: str, kind: str = "new_api_error") -> Payload:
    """
    Write an error of a gateway of the new-api family itself.
    """
    return {"error": {"message": message, "type": kind, "param": "", "code": ""}}


def gateway_bad_key(request_id: str) -> Payload:
    return {"error": {"message": f"Invalid token (request id: {request_id})", "type": "new_api_error", "code": ""}}


def gateway_task_error(code: str, message: str) -> Payload:
    """
    Write an error of the task relay of the new-api family, whose codes are words.
    """
    return {"code": code, "message": message, "data": None}


def in_seconds(payload: Payload) -> Payload:
    """
    Convert the times of a vendor's answer to seconds.
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
    Write the answer to a create as gateways do that model every task as a video.
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
    Write a task as crazyrouter does: one URL, however many files there are.
    """
    task = payload["data"]
    url = _first_url(task)
    failure = task["task_status_msg"]
    data = {
        "task_id": task["task_id"],
        "status": _NEW_WORDS.get(task["task_status"], task["task_status"]),
        "url": url,
        "format": url.partition("?")[0].rpartition(".")[2],
        "error": {"code": 0, "message": failure} if failure else None,
        "metadata": None,
    }
    return {"code": "success", "message": "", "data": data}


def _first_url(task: Mapping[str, Any]) -> str:
    files = (file for files in task["task_result"].values() for file in files)
    return next((str(file.get("url") or file["url_mp3"]) for file in files), "")


def as_new_api_task(payload: Payload) -> Payload:
    """
    Write a task as recent new-api gateways do: their own task, which contains the vendor's answer.
    """
    task = payload["data"]
    url = _first_url(task)
    word = task["task_status"]
    is_final = word in ("succeed", "failed")
    data = {
        "id": 1,
        "task_id": task["task_id"],
        "platform": "kling",
        "action": "generate",
        "status": _NEW_API_WORDS.get(word, "UNKNOWN"),
        "fail_reason": task["task_status_msg"],
        "result_url": url,
        "submit_time": task["created_at"] // 1000,
        "start_time": task["created_at"] // 1000,
        "finish_time": task["updated_at"] // 1000 if is_final else 0,
        "progress": _PROGRESS.get(word, "30%"),
        "data": payload,
    }
    return {"code": "success", "message": "", "data": data}


SATURATED: Final = "当前分组上游负载已饱和\uff0c请稍后再试"
"""
New-api's message for every 429, in place of the vendor's: the group's upstream is saturated, try again later.
"""


def as_relayed_error(payload: Payload, status: int) -> Payload:
    """
    Write the vendor's error as new-api does: its whole JSON as text, except under 429, whose reason is not passed on.
    """
    return gateway_task_error("fail_to_fetch_task", SATURATED if status == 429 else dumps(payload).decode())
