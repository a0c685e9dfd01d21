"""
The service's face to the network: routes, and the troubles that only a socket can make.
"""

import asyncio
import functools
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Sequence
from email.utils import formatdate
from typing import Any, Final

import attrs
from aiohttp import web

from kling_async.emulator import error_messages, response_bodies
from kling_async.emulator.account import WATERMARK, Account, ApiError
from kling_async.emulator.api import (
    ApiRequest,
    ApiResponse,
    EmulatedApi,
    PictureOrder,
    outcome_of,
    prompt_of,
    read_body,
)
from kling_async.emulator.authentication import check_key
from kling_async.emulator.fault_plan import FaultPlan
from kling_async.emulator.fault_rule import AFTER_SERVICE, BEFORE_SERVICE, RESHAPING, Fault
from kling_async.emulator.host_check import host_check
from kling_async.emulator.ledger import Route
from kling_async.emulator.renderer import Renderer
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION

LARGEST_BODY: Final = 32 * 1024 * 1024
"""
Bytes: room for a picture of 10 MiB in Base64, and for larger ones that are to be refused in the service's words.
"""

PICTURE: Final = f"/pictures/{{any_id}}/{{place:[0-9]{{1,3}}}}{{mark:({WATERMARK})?}}.png"
"""
The path of a picture, and of its copy with a watermark.
"""

_CUT: Final = 0  # in the ledger, the status of an answer that never came
_LINGER: Final = "hh" if sys.platform == "win32" else "ii"  # how the C structure of that name is laid out
_LOOK_AGAIN: Final = 0.05  # seconds between two looks whether a stalled client has left

_HTML: Final = b"<!DOCTYPE html><html><head><title>Oops</title></head><body><h1>Something is wrong</h1></body></html>"

_CODES: Final = {400: 1200, 401: 1002, 403: 1103, 404: 1203, 429: 1302, 503: 5001, 504: 5002}
"""
The vendor's code for a status that a fault asks for; 5000 for any other.
"""


class EmulatorApp:
    """
    Serves one account over HTTP. *on_create* is called after each create, also of one that was refused.
    """

    def __init__(
        self,
        account: Account,
        plan: FaultPlan,
        clock: Callable[[], float],
        on_create: Callable[[], object] = lambda: None,
    ) -> None:
        self.closing: Final = asyncio.Event()
        self._account = account
        self._service = EmulatedApi(account)
        self._plan = plan
        self._clock = clock
        self._on_create = on_create
        self._renderer = Renderer(account.settings.picture_scale)

    def application(self) -> web.Application:
        """
        Return the app; it can be served wherever aiohttp apps are.
        """
        prefix = self._account.settings.prefix
        path = prefix + IMAGE_GENERATION.path
        check_host = host_check(self._account.settings)
        app = web.Application(client_max_size=LARGEST_BODY, middlewares=[check_host])
        app.add_routes(
            [
                web.post(path, self._handler("create")),
                web.get(path + "/{any_id}", self._handler("query"), allow_head=False),
                web.get(path, self._handler("list"), allow_head=False),
                web.get(prefix + "/tasks", self._handler("tasks"), allow_head=False),
                web.get(PICTURE, self._handler("download"), allow_head=False),
                web.get("/__ledger__", self._show_ledger),
                web.route("*", "/{rest:.*}", self._handler(None)),
            ]
        )
        return app

    async def retire(self) -> None:
        """
        End all waiting and drawing, so that closing the server cuts nobody off in the middle of a picture.
        """
        self.closing.set()
        await self._renderer.aclose()

    def _handler(self, route: Route | None) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        return functools.partial(self._serve, route)

    async def _serve(self, route: Route | None, request: web.Request) -> web.StreamResponse:
        ledger, label = self._account.ledger, route or "other"
        ledger.arrivals[label] += 1
        reply: ApiResponse | None = None
        late: Fault | None = None
        try:
            call = await self._hear(route, request)
            faults = self._plan.next_faults(route, prompt_of(call.body)) if route else []
            late = next((fault for fault in faults if fault.kind in AFTER_SERVICE), None)
            reply = await self._reply(call, faults)
        except web.HTTPRequestEntityTooLarge:
            reply = self._service.refuse(ApiError(413, 1200, error_messages.MESSAGES[1200]))
        except (ConnectionError, web.RequestPayloadError):
            pass  # the sender left in the middle of the body
        if reply is None or (late and late.kind == "reset_after"):
            ledger.answers[label, _CUT] += 1
            return _cut(request)
        reply = _spoil(self._service, reply, late) if late else reply
        ledger.answers[label, reply.status] += 1
        try:
            return await self._send(request, reply, late)
        except ConnectionError:  # who asked has left
            return _cut(request)

    async def _hear(self, route: Route | None, request: web.Request) -> ApiRequest:
        place = request.match_info.get("place", "0")
        return ApiRequest(
            route=route,
            method=request.method,
            path=request.path,
            query=request.query,
            authorization=request.headers.get("Authorization"),
            body=read_body(await request.read()) if route == "create" else None,
            any_id=request.match_info.get("any_id", ""),
            place=int(place),
            has_watermark=bool(request.match_info.get("mark")),
        )

    async def _reply(self, call: ApiRequest, faults: Sequence[Fault]) -> ApiResponse | None:
        # None where the connection is to be cut in place of an answer.
        if not await self._pause(faults, "delay_before"):
            return None
        early = next((fault for fault in faults if fault.kind in BEFORE_SERVICE), None)
        if early:
            return None if early.kind == "reset_before" else _refusal_of(self._service, early)
        reply = await self._answer(call, faults)
        return reply if await self._pause(faults, "delay_after") else None

    async def _answer(self, call: ApiRequest, faults: Sequence[Fault]) -> ApiResponse:
        now = self._clock()
        if any(fault.kind == "expired_url" for fault in faults) and (record := self._account.find_task(call.any_id)):
            self._account.expire_urls(record, now)
        reply = self._service.answer(call, now, outcome_of(faults))
        if call.route == "create":
            self._on_create()
        if isinstance(reply, PictureOrder):
            order, studio = reply, self._renderer
            picture = await studio.picture(order.record, order.index, has_watermark=order.has_watermark)
            return ApiResponse(body=picture, content_type="image/png")
        for fault in faults:
            if fault.kind in RESHAPING:
                reply = _reshape(reply, fault, call)
        return reply

    async def _pause(self, faults: Sequence[Fault], kind: str) -> bool:
        # False where the server was closed meanwhile. A sender that leaves meanwhile changes nothing: what it has sent
        # is on its way to the service all the same.
        seconds = sum(fault.seconds for fault in faults if fault.kind == kind)
        return seconds <= 0 or not await self._closes_within(seconds)

    async def _closes_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self.closing.wait()
        except TimeoutError:
            return False

    async def _send(self, request: web.Request, reply: ApiResponse, late: Fault | None) -> web.StreamResponse:
        headers = {"Date": formatdate(int(self._clock()), usegmt=True), **reply.headers}
        body = reply.content()
        if late is None or late.kind not in ("truncated", "stall"):
            return web.Response(status=reply.status, body=body, content_type=reply.content_type, headers=headers)
        response = web.StreamResponse(status=reply.status, headers=headers)
        response.content_type = reply.content_type
        response.content_length = max(len(body), 2)
        response.force_close()
        await response.prepare(request)
        if late.kind == "truncated":
            await response.write(body[: len(body) // 2])
        else:
            await self._wait_until_left(request)
        return response

    async def _wait_until_left(self, request: web.Request) -> None:
        while request.transport is not None:
            if await self._closes_within(_LOOK_AGAIN):
                _cut(request)
                return

    async def _show_ledger(self, request: web.Request) -> web.Response:
        # It has prompts and task ids, so it is as private as the account.
        now = self._clock()
        try:
            check_key(self._account.settings, request.headers.get("Authorization"), now)
        except ApiError as refusal:
            reply = self._service.refuse(refusal)
            return web.Response(status=reply.status, body=reply.content(), content_type=reply.content_type)
        self._account.settle(now)
        return web.json_response(self._account.ledger.as_json())


def _cut(request: web.Request) -> web.Response:
    # Lingering for no time makes the kernel reset the connection rather than end it in good order.
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 1, 0))
        request.transport.abort()
    return web.Response()


def _refusal_of(service: EmulatedApi, fault: Fault) -> ApiResponse:
    headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
    match fault.kind:
        case "bare_429":
            return ApiResponse(status=429, headers=headers)
        case "html" | "html_after":
            return ApiResponse(status=fault.status, body=_HTML, content_type="text/html")
        case "rate_limited":
            refusal = ApiError(429, 1302, error_messages.MESSAGES[1302])
        case _:
            code = _CODES.get(fault.status, 5000)
            refusal = ApiError(fault.status, code, error_messages.MESSAGES[code])
    return attrs.evolve(service.refuse(refusal), headers=headers)


def _spoil(service: EmulatedApi, reply: ApiResponse, late: Fault) -> ApiResponse:
    match late.kind:
        case "status_after" | "html_after":
            return _refusal_of(service, late)
        case "garbled":
            whole = reply.content()
            return attrs.evolve(reply, payload=None, body=whole[: len(whole) // 2] + b"\xff}")
        case _:
            return reply


def _reshape(reply: ApiResponse, fault: Fault, call: ApiRequest) -> ApiResponse:
    payload: Any = reply.payload
    if not isinstance(payload, dict):
        return reply
    if reply.status != 200:
        is_vendors = fault.kind == "new_api_shape" and isinstance(payload.get("code"), int)
        return (
            attrs.evolve(reply, payload=response_bodies.as_relayed_error(payload, reply.status))
            if is_vendors
            else reply
        )
    if fault.kind == "seconds_for_times":
        return attrs.evolve(reply, payload=response_bodies.in_seconds(payload))
    if call.route == "create":
        return attrs.evolve(reply, payload=response_bodies.as_video_object(payload, call.body.get("model_name", "")))
    if call.route == "query":
        reshape = response_bodies.as_crazy_task if fault.kind == "crazy_shape" else response_bodies.as_new_api_task
        return attrs.evolve(reply, payload=reshape(payload))
    return reply
