"""
Serves an account over HTTP, with the faults that need a socket.
"""

import asyncio
import socket
import struct
import sys
from collections.abc import Callable, Collection, Sequence
from email.utils import formatdate
from typing import Final

import attrs
from aiohttp import web

from kling_async.emulator.account import Account
from kling_async.emulator.api import (
    ApiRequest,
    ApiResponse,
    EmulatedApi,
    FileToRender,
    outcome_of,
    prompt_of,
    read_body,
)
from kling_async.emulator.api_errors import MESSAGES, ApiError
from kling_async.emulator.authentication import check_key
from kling_async.emulator.fault_plan import FaultPlan
from kling_async.emulator.fault_responses import refuse, reshape, spoil
from kling_async.emulator.fault_rule import AFTER_SERVICE, BEFORE_SERVICE, RESHAPING, Fault, Kind
from kling_async.emulator.file_response import file_response
from kling_async.emulator.host_check import host_check
from kling_async.emulator.renderer import Renderer
from kling_async.emulator.routing import Target, target_of

MAX_BODY: Final = 32 * 1024 * 1024
"""
Bytes: enough for a picture of 10 MiB in Base64, and for larger ones that the service refuses in its own words.
"""

_NO_ANSWER: Final = 0  # the status in the ledger of an answer that was not sent
_LINGER: Final = "hh" if sys.platform == "win32" else "ii"  # the layout of the C structure `linger`
_CHECK_INTERVAL: Final = 0.05  # seconds between two checks whether a stalled client has left


class EmulatorApp:
    """
    Serves one account over HTTP. *on_create* is called after each create, refused ones included.
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
        self._api = EmulatedApi(account)
        self._plan = plan
        self._clock = clock
        self._on_create = on_create
        self._renderer = Renderer(account)

    def application(self) -> web.Application:
        """
        Return the aiohttp application.
        """
        app = web.Application(client_max_size=MAX_BODY, middlewares=[host_check(self._account.settings)])
        app.add_routes([web.get("/__ledger__", self._show_ledger), web.route("*", "/{rest:.*}", self._serve)])
        return app

    async def shut_down(self) -> None:
        """
        End all waiting, and finish the files that are being rendered.
        """
        self.closing.set()
        await self._renderer.aclose()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        target = target_of(request.method, request.rel_url.raw_path, self._account.settings.prefix)
        ledger, label = self._account.ledger, target.route or "other"
        ledger.arrivals[label] += 1
        response: ApiResponse | None = None
        late: Fault | None = None
        try:
            call = await _read(request, target)
            faults = self._plan.next_faults(target.route, prompt_of(call.body)) if target.route else []
            late = next((fault for fault in faults if fault.kind in AFTER_SERVICE), None)
            response = await self._respond(call, faults)
        except web.HTTPRequestEntityTooLarge:
            response = self._api.refuse(ApiError(413, 1200, MESSAGES[1200]))
        except (ConnectionError, web.RequestPayloadError):
            pass  # the client left in the middle of the body
        if response is None or (late and late.kind == "reset_after"):
            ledger.answers[label, _NO_ANSWER] += 1
            return _reset(request)
        response = spoil(self._api, response, late) if late else response
        ledger.answers[label, response.status] += 1
        try:
            return await self._send(request, response, late)
        except ConnectionError:  # the client has left
            return _reset(request)

    async def _respond(self, call: ApiRequest, faults: Sequence[Fault]) -> ApiResponse | None:
        # None: reset the connection instead of answering.
        if not await self._pause(faults, "delay_before"):
            return None
        early = next((fault for fault in faults if fault.kind in BEFORE_SERVICE), None)
        if early:
            return None if early.kind == "reset_before" else refuse(self._api, early)
        response = await self._answer(call, faults)
        return response if await self._pause(faults, "delay_after") else None

    async def _answer(self, call: ApiRequest, faults: Sequence[Fault]) -> ApiResponse:
        now = self._clock()
        if any(fault.kind == "expired_url" for fault in faults):
            record = self._account.find_task(call.target.any_id)
            if record is not None:
                self._account.urls.expire(record, now)
        response = self._api.answer(call, now, outcome_of(faults))
        if call.route == "create":
            self._on_create()
        if isinstance(response, FileToRender):
            return await self._file_response(response, call, {fault.kind for fault in faults})
        for fault in faults:
            if fault.kind in RESHAPING:
                response = reshape(response, fault, call)
        return response

    async def _file_response(self, found: FileToRender, call: ApiRequest, kinds: Collection[Kind]) -> ApiResponse:
        record = found.record
        if "other_version" in kinds:
            record = attrs.evolve(record, task_id=f"{record.task_id}, other version", seed=record.seed + 1)
        content = await self._renderer.render(record, found.file)
        heeds_ranges = "no_ranges" not in kinds
        return file_response(content, found.file.content_type, call.headers, heeds_ranges=heeds_ranges)

    async def _pause(self, faults: Sequence[Fault], kind: str) -> bool:
        # False if the server was closed meanwhile. A client that leaves meanwhile changes nothing: its request reaches
        # the service nevertheless.
        seconds = sum(fault.seconds for fault in faults if fault.kind == kind)
        return seconds <= 0 or not await self._closes_within(seconds)

    async def _closes_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self.closing.wait()
        except TimeoutError:
            return False

    async def _send(self, request: web.Request, response: ApiResponse, late: Fault | None) -> web.StreamResponse:
        headers = {"Date": formatdate(int(self._clock()), usegmt=True), **response.headers}
        body, content_type = response.content(), response.content_type
        if late is None or late.kind not in ("truncated", "stall"):
            return web.Response(status=response.status, body=body, content_type=content_type, headers=headers)
        broken = web.StreamResponse(status=response.status, headers=headers)
        broken.content_type = content_type
        broken.content_length = max(len(body), 2)
        broken.force_close()
        await broken.prepare(request)
        if late.kind == "truncated":
            await broken.write(body[: int(len(body) * late.share)])
        else:
            await self._wait_until_left(request)
        return broken

    async def _wait_until_left(self, request: web.Request) -> None:
        while request.transport is not None:
            if await self._closes_within(_CHECK_INTERVAL):
                _reset(request)
                return

    async def _show_ledger(self, request: web.Request) -> web.Response:
        # It has prompts and task ids, so it needs the account's key.
        now = self._clock()
        try:
            check_key(self._account.settings, request.headers.get("Authorization"), now)
        except ApiError as error:
            refused = self._api.refuse(error)
            return web.Response(status=refused.status, body=refused.content(), content_type=refused.content_type)
        self._account.settle(now)
        return web.json_response(self._account.ledger.as_json())


def _reset(request: web.Request) -> web.Response:
    # With a linger time of 0 the kernel resets the connection instead of closing it regularly.
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 1, 0))
        request.transport.abort()
    return web.Response()


async def _read(request: web.Request, target: Target) -> ApiRequest:
    has_body = target.route == "create" or (target.route == "call" and request.method == "POST")
    return ApiRequest(
        target=target,
        method=request.method,
        path=request.path,
        query=request.query,
        headers=request.headers,
        body=read_body(await request.read()) if has_body else None,
    )
