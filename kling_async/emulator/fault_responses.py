"""
Changes answers as faults require.
"""

from typing import Any, Final

import attrs

from kling_async.emulator import response_bodies
from kling_async.emulator.api import ApiRequest, ApiResponse, EmulatedApi
from kling_async.emulator.api_errors import MESSAGES, ApiError
from kling_async.emulator.fault_rule import Fault

__all__ = ["refuse", "reshape", "spoil"]

_HTML: Final = b"<!DOCTYPE html><html><head><title>Oops</title></head><body><h1>Something is wrong</h1></body></html>"

_CODES: Final = {400: 1200, 401: 1002, 403: 1103, 404: 1203, 429: 1302, 503: 5001, 504: 5002}
"""
The vendor's code for the status of a fault; 5000 for any other.
"""


def refuse(api: EmulatedApi, fault: Fault) -> ApiResponse:
    headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
    match fault.kind:
        case "bare_429":
            return ApiResponse(status=429, headers=headers)
        case "html" | "html_after":
            return ApiResponse(status=fault.status, body=_HTML, content_type="text/html")
        case "rate_limited":
            error = ApiError(429, 1302, MESSAGES[1302])
        case _:
            code = _CODES.get(fault.status, 5000)
            error = ApiError(fault.status, code, MESSAGES[code])
    return attrs.evolve(api.refuse(error), headers=headers)


def spoil(api: EmulatedApi, response: ApiResponse, fault: Fault) -> ApiResponse:
    match fault.kind:
        case "status_after" | "html_after":
            return refuse(api, fault)
        case "garbled":
            content = response.content()
            return attrs.evolve(response, payload=None, body=content[: len(content) // 2] + b"\xff}")
        case _:
            return response


def reshape(response: ApiResponse, fault: Fault, request: ApiRequest) -> ApiResponse:
    """
    Return an answer in the shape that *fault* asks for.
    """
    payload: Any = response.payload
    if not isinstance(payload, dict):
        return response
    if response.status != 200:
        if fault.kind != "new_api_shape" or not isinstance(payload.get("code"), int):  # an error of the gateway itself
            return response
        return attrs.evolve(response, payload=response_bodies.as_relayed_error(payload, response.status))
    if fault.kind == "seconds_for_times":
        return attrs.evolve(response, payload=response_bodies.in_seconds(payload))
    if request.route == "create":
        model_name = request.body.get("model_name", "")
        return attrs.evolve(response, payload=response_bodies.as_video_object(payload, model_name))
    if request.route == "query":
        convert = response_bodies.as_crazy_task if fault.kind == "crazy_shape" else response_bodies.as_new_api_task
        return attrs.evolve(response, payload=convert(payload))
    return response
