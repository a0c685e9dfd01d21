"""
The doctor at work: looks at one thing after the other, and asks the service only what costs nothing.
"""

import asyncio
import importlib.metadata
import os
import platform
import ssl
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, Self
from urllib.parse import urlsplit

import attrs

from kling_async import __version__
from kling_async.cli.doctor.findings import (
    SLOTS,
    UNKNOWN_TASK_ID,
    ConnectionResult,
    Finding,
    FindingState,
    ProbeResult,
    judge_access,
    judge_address,
    judge_clock,
    judge_connection,
    judge_key,
    judge_lists,
    judge_pace,
    judge_service,
    judge_software,
    nearby,
    other_regions,
    skipped,
)
from kling_async.client.credentials import find_base_url, find_credentials
from kling_async.client.transport import Transport
from kling_async.errors import InvalidRequest, KlingError, NotAuthenticated
from kling_async.policy.http import HttpOptions
from kling_async.policy.policies import RetryPolicy
from kling_async.wire.answers import Answer
from kling_async.wire.auth import AccessKey, ApiKey, Credentials, clock_offset
from kling_async.wire.dialects import Dialect, dialect_of
from kling_async.wire.endpoints.base import several
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION
from kling_async.wire.headers import clock_of
from kling_async.wire.responses import read_page, read_sighting

__all__ = ["DoctorOptions", "examine"]

_ASK: Final = ("connection", "service", "access", "clock", "lists", "pace")
"""
The checks for which somebody is asked, in their order.
"""

_TIMES: Final = 3  # questions by which the pace is judged
_EXTRAS: Final = {"Pillow": "pillow", "Jinja2": "jinja2", "rich": "rich"}


@attrs.frozen(kw_only=True)
class DoctorOptions:
    """
    What was asked for in the command's words; what was not is None.

    Attributes:
        tries_regions: Whether a key that the vendor refuses at one host may be shown to the vendor's others.
        timeout: Seconds that each question may take.
    """

    base_url: str | None = None
    dialect: Dialect | None = None
    tries_regions: bool = False
    timeout: float = 10.0


async def examine(asked: DoctorOptions) -> AsyncIterator[Finding]:
    """
    Yield a finding for each check, in the order in which one builds on the other.
    """
    yield judge_software(_versions())
    key = judge_key(os.environ)
    yield key
    credentials = None if key.state is FindingState.PROBLEM else find_credentials(None)
    base_url, source = _find_address(asked, credentials)
    dialect = asked.dialect or (dialect_of(base_url) if isinstance(base_url, str) else dialect_of(""))
    address = judge_address(base_url, source, dialect, is_dialect_given=asked.dialect is not None)
    yield address
    if isinstance(base_url, InvalidRequest) or address.state is FindingState.PROBLEM:
        for finding in _skip("connection", "needs a good address"):
            yield finding
        return
    reach = await _reach(base_url, asked.timeout)
    connection = judge_connection(reach, base_url, has_proxy=_has_proxy(base_url))
    yield connection
    if credentials is None or connection.state is FindingState.PROBLEM:
        for finding in _skip("service", "needs a good key" if credentials is None else "needs a connection"):
            yield finding
        return
    async with _Questions(base_url, credentials, asked.timeout) as questions:
        async for finding in _examine_service(questions, dialect, asked):
            yield finding


def _has_proxy(base_url: str) -> bool:
    try:
        return HttpOptions(trust_env=True).proxy_for(base_url) is not None
    except InvalidRequest:  # one is named, though it cannot be used; nor is it
        return True


def _skip(first: str, why: str) -> list[Finding]:
    return [skipped(check, why) for check in _ASK[_ASK.index(first) :]]


async def _examine_service(questions: "_Questions", dialect: Dialect, asked: DoctorOptions) -> AsyncIterator[Finding]:
    base_url, credentials = questions.base_url, questions.credentials
    heard = await questions.about_a_task()
    service = judge_service(heard, base_url)
    if service.state is not FindingState.OK and (better := await _find_better(questions)) is not None:
        service = judge_service(heard, base_url, better)
    yield service
    if service.state is FindingState.PROBLEM:
        for finding in _skip("access", "needs a service that speaks this API"):
            yield finding
        return
    regions = None
    if asked.tries_regions and isinstance(heard.error, NotAuthenticated):
        regions = {url: await _is_taken(url, questions) for url in other_regions(base_url)}
    access = judge_access(heard, credentials, base_url, regions)
    yield access
    yield judge_clock(heard.offset, credentials)
    if access.state is FindingState.PROBLEM:
        yield skipped("lists", "needs a key that is accepted")
    else:
        yield judge_lists(dialect, *await questions.about_lists(dialect), credentials)
    yield judge_pace([await questions.about_a_task() for _ in range(_TIMES)])
    yield SLOTS


def _versions() -> dict[str, str | None]:
    ours: dict[str, str | None] = {
        "kling_async": __version__,
        "Python": platform.python_version(),
        "aiohttp": importlib.metadata.version("aiohttp"),
    }
    for name, distribution in _EXTRAS.items():
        try:
            ours[name] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            ours[name] = None
    return ours


def _find_address(asked: DoctorOptions, credentials: Credentials | None) -> tuple[str | InvalidRequest, str]:
    if asked.base_url:
        source = "--base-url"
    elif os.environ.get("KLING_BASE_URL"):
        source = "KLING_BASE_URL"
    else:
        source = "the default for access keys" if isinstance(credentials, AccessKey) else "the default"
    try:
        return find_base_url(asked.base_url, credentials or ApiKey("")), source
    except InvalidRequest as error:
        return error, source


async def _reach(base_url: str, timeout: float) -> ConnectionResult:
    # Step by step, so that each can be told from the other; the client itself does it in one.
    parts = urlsplit(base_url)
    host, is_secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if is_secure else 80)
    try:
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().getaddrinfo(host, port)
    except TimeoutError:
        return ConnectionResult("name", "the name server does not answer")
    except (OSError, UnicodeError) as error:
        return ConnectionResult("name", str(error))
    try:
        async with asyncio.timeout(timeout):
            context = ssl.create_default_context() if is_secure else None
            _, writer = await asyncio.open_connection(host, port, ssl=context)
            writer.transport.abort()
    except TimeoutError:
        return ConnectionResult("time", f"nothing within {timeout:g} s")
    except ssl.SSLCertVerificationError as error:
        return ConnectionResult("certificate", error.verify_message)
    except (ssl.SSLError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError) as error:
        return ConnectionResult("tls" if is_secure else "refusal", error.strerror or str(error))
    except OSError as error:
        return ConnectionResult("refusal", os.strerror(error.errno) if error.errno else str(error))
    return ConnectionResult()


@attrs.define(eq=False)
class _Questions:
    """
    Questions that cost nothing, sent as a client sends them and judged as it judges.
    """

    base_url: str
    credentials: Credentials
    timeout: float
    _transport: Transport = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        http = HttpOptions(connect_timeout=self.timeout, read_timeout=self.timeout)
        self._transport = Transport(self.base_url, http, RetryPolicy(), 60.0, self.credentials)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.aclose()

    async def about_a_task(self) -> ProbeResult:
        """
        Ask for a task that is nobody's.
        """
        return await self._ask(
            IMAGE_GENERATION.one(UNKNOWN_TASK_ID), lambda answer: read_sighting(answer, UNKNOWN_TASK_ID)
        )

    async def about_lists(self, dialect: Dialect) -> tuple[ProbeResult | None, ProbeResult | None]:
        """
        Ask for a page of one task, and for several by their ids, as far as *dialect* has these questions.
        """
        page = await self._ask(IMAGE_GENERATION.page(1, 1), read_page) if dialect.lists else None
        ids = (UNKNOWN_TASK_ID, f"{UNKNOWN_TASK_ID}-2")
        return page, await self._ask(several(ids), read_page) if dialect.ids_per_read > 1 else None

    async def _ask(self, path: str, judge: Callable[[Answer], object]) -> ProbeResult:
        now = asyncio.get_running_loop().time
        began = now()
        answer: Answer | None = None
        error: KlingError | None = None
        offset: float | None = None
        try:
            answer = await self._transport.send("GET", path, limit=self.timeout)
            if clock_of(answer.headers) is not None:
                offset = clock_offset(answer.headers, time.time())
            judge(answer)
        except KlingError as raised:
            error = raised
            error.task_id = None  # it is nobody's, so it tells nobody anything
        return ProbeResult(answer, error, now() - began, offset)


async def _find_better(questions: _Questions) -> str | None:
    # At the same host alone: the key goes to nobody who has not got it already.
    for url in nearby(questions.base_url):
        async with _Questions(url, questions.credentials, questions.timeout) as others:
            if judge_service(await others.about_a_task(), url).state is FindingState.OK:
                return url
    return None


async def _is_taken(base_url: str, questions: _Questions) -> bool:
    async with _Questions(base_url, questions.credentials, questions.timeout) as others:
        heard = await others.about_a_task()
        is_service = judge_service(heard, base_url).state is FindingState.OK
        return is_service and judge_access(heard, others.credentials, base_url, None).state is FindingState.OK
