"""
Runs the checks one after another; the service gets only requests that are free.
"""

import asyncio
import importlib.metadata
import os
import platform
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Self
from urllib.parse import urlsplit

import attrs
import typer

from kling_async import __version__
from kling_async.cli.doctor.cost_check import DryRun, check_cost
from kling_async.cli.doctor.dialect_file import check_new_file, write_dialect
from kling_async.cli.doctor.findings import (
    SLOTS,
    UNKNOWN_TASK_ID,
    ConnectionResult,
    Finding,
    FindingState,
    ProbeResult,
    skipped,
)
from kling_async.cli.doctor.service_checks import (
    check_access,
    check_clock,
    check_latency,
    check_lists,
    check_packs,
    check_service,
    nearby,
    other_regions,
)
from kling_async.cli.doctor.setup_checks import check_address, check_connection, check_key, check_software
from kling_async.cli.options import BaseUrl, DialectOption, parse_seconds
from kling_async.client.calls.account import BETWEEN, YEAR_AND_MORE
from kling_async.client.credentials import find_base_url, find_credentials, find_dialect
from kling_async.client.transport import Transport
from kling_async.errors import InvalidRequest, KlingError, NotAuthenticated, RateLimited
from kling_async.policy.http import HttpOptions
from kling_async.policy.policies import RetryPolicy
from kling_async.wire.auth import AccessKey, ApiKey, Credentials, clock_offset
from kling_async.wire.calls.account import RESOURCE_PACKS
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import several
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT
from kling_async.wire.headers import clock_of
from kling_async.wire.http_answer import Answer
from kling_async.wire.responses import read_page, read_snapshot

if TYPE_CHECKING:
    from kling_async.cli.batch.cost_estimate import CostEstimate

__all__ = ["DoctorOptions", "examine"]

_NETWORK_CHECKS: Final = ("connection", "service", "access", "clock", "lists", "packs", "latency")
"""
The checks that use the network, in order.
"""

_NEEDS_KEY: Final = "needs a key that the service accepts"

_EXTRAS: Final = {"Pillow": "pillow", "Jinja2": "jinja2", "rich": "rich"}


@attrs.frozen(kw_only=True)
class DoctorOptions:
    """
    The options of the command.

    Attributes:
        all_regions: Whether to send a key that one of the vendor's hosts refuses to the other hosts.
        write_dialect: A file for the dialect of the service, which must not exist.
    """

    base_url: BaseUrl = None
    dialect: DialectOption = None
    all_regions: Annotated[
        bool, typer.Option("--all-regions", help="Also try a refused key at the vendor's other hosts.")
    ] = False
    write_dialect: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=check_new_file, help="Write what is found out to a TOML file."),
    ] = None
    timeout: Annotated[
        float, typer.Option(metavar="S", parser=parse_seconds, help="Seconds to wait for each response.")
    ] = 10.0


async def examine(
    options: DoctorOptions, given: Dialect | None = None, dry_run: DryRun | None = None
) -> AsyncIterator[Finding]:
    """
    Yield a finding for each check; each check builds on the earlier ones. Without *given* the environment or the host
    decides the dialect. The dry run of an input comes first: it may end the command.
    """
    key = check_key(os.environ)
    credentials = None if key.state is FindingState.PROBLEM else find_credentials(None)
    base_url, source = _find_address(options, credentials)
    dialect, dialect_source = _find_dialect(given, base_url)
    estimate = None if dry_run is None or isinstance(dialect, InvalidRequest) else await dry_run(dialect)
    yield check_software(_versions())
    yield key
    address = check_address(base_url, source, dialect, dialect_source)
    yield address
    if (
        isinstance(base_url, InvalidRequest)
        or isinstance(dialect, InvalidRequest)
        or address.state is FindingState.PROBLEM
    ):
        for finding in _skip("connection", "needs a valid address", estimate):
            yield finding
        if dry_run is not None and estimate is None:
            yield skipped("cost", "needs a valid dialect")
        return
    reach = await _reach(base_url, options.timeout)
    connection = check_connection(reach, base_url, has_proxy=_has_proxy(base_url))
    yield connection
    if credentials is None or connection.state is FindingState.PROBLEM:
        needs = "needs a valid key" if credentials is None else "needs a connection"
        for finding in _skip("service", needs, estimate):
            yield finding
        return
    async with _Probe(base_url, credentials, options.timeout) as probe:
        async for finding in _examine_service(probe, dialect, options, estimate):
            yield finding


def _has_proxy(base_url: str) -> bool:
    try:
        return HttpOptions(trust_env=True).proxy_for(base_url) is not None
    except InvalidRequest:  # there is a key, although it is invalid
        return True


def _skip(first: str, why: str, estimate: "CostEstimate | None") -> list[Finding]:
    skips = [skipped(check, why) for check in _NETWORK_CHECKS[_NETWORK_CHECKS.index(first) :]]
    return skips if estimate is None else [*skips, check_cost(estimate, why)]


async def _examine_service(
    probe: "_Probe", dialect: Dialect, options: DoctorOptions, estimate: "CostEstimate | None"
) -> AsyncIterator[Finding]:
    base_url, credentials = probe.base_url, probe.credentials
    result = await probe.read_unknown_task()
    service = check_service(result, base_url)
    if service.state is not FindingState.OK and (better := await _find_better(probe)) is not None:
        service = check_service(result, base_url, better)
    yield service
    if service.state is FindingState.PROBLEM:
        for finding in _skip("access", "needs a service with this API", estimate):
            yield finding
        return
    regions = None
    if options.all_regions and isinstance(result.error, NotAuthenticated):
        regions = {url: await _is_key_accepted(url, probe) for url in other_regions(base_url)}
    access = check_access(result, credentials, base_url, regions)
    yield access
    yield check_clock(result.offset, credentials)
    if access.state is FindingState.PROBLEM:
        yield skipped("lists", _NEEDS_KEY)
    else:
        yield check_lists(dialect, *await probe.read_lists(dialect), credentials)
    async for finding in _examine_packs(probe, dialect, estimate, has_access=access.state is not FindingState.PROBLEM):
        yield finding
    yield check_latency([await probe.read_unknown_task() for _ in range(3)])
    yield SLOTS
    if options.write_dialect is not None and access.state is not FindingState.PROBLEM:
        yield await write_dialect(options.write_dialect, base_url, dialect, probe.ask, await probe.read_packs())


async def _examine_packs(
    probe: "_Probe", dialect: Dialect, estimate: "CostEstimate | None", *, has_access: bool
) -> AsyncIterator[Finding]:
    packs: ProbeResult | str
    if not dialect.account_pages:
        packs = f"{dialect.name} services do not show them"
    else:
        packs = await probe.read_packs() if has_access else _NEEDS_KEY
    yield skipped("packs", packs) if isinstance(packs, str) else check_packs(packs, has_input=estimate is not None)
    if estimate is not None:
        yield check_cost(estimate, packs)


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


def _find_address(options: DoctorOptions, credentials: Credentials | None) -> tuple[str | InvalidRequest, str]:
    if options.base_url:
        source = "--base-url"
    elif os.environ.get("KLING_BASE_URL"):
        source = "KLING_BASE_URL"
    else:
        source = "the default for access keys" if isinstance(credentials, AccessKey) else "the default"
    try:
        return find_base_url(options.base_url, credentials or ApiKey("")), source
    except InvalidRequest as error:
        return error, source


def _find_dialect(given: Dialect | None, base_url: str | InvalidRequest) -> tuple[Dialect | InvalidRequest, str]:
    if given is not None:
        return given, "by --dialect"
    source = "by KLING_DIALECT" if os.environ.get("KLING_DIALECT", "").strip() else "by host"
    try:
        return find_dialect(None, base_url if isinstance(base_url, str) else ""), source
    except InvalidRequest as error:
        return error, source


async def _reach(base_url: str, timeout: float) -> ConnectionResult:
    # In separate steps, to find out which one fails; the client does them in one.
    parts = urlsplit(base_url)
    host, is_secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if is_secure else 80)
    try:
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().getaddrinfo(host, port)
    except TimeoutError:
        return ConnectionResult("name", "the name server does not respond")
    except (OSError, UnicodeError) as error:
        return ConnectionResult("name", str(error))
    try:
        async with asyncio.timeout(timeout):
            context = ssl.create_default_context() if is_secure else None
            _, writer = await asyncio.open_connection(host, port, ssl=context)
            writer.transport.abort()
    except TimeoutError:
        return ConnectionResult("time", f"no response within {timeout:g} s")
    except ssl.SSLCertVerificationError as error:
        return ConnectionResult("certificate", error.verify_message)
    except (ssl.SSLError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError) as error:
        return ConnectionResult("tls" if is_secure else "refusal", error.strerror or str(error))
    except OSError as error:
        return ConnectionResult("refusal", os.strerror(error.errno) if error.errno else str(error))
    return ConnectionResult()


@attrs.define(eq=False)
class _Probe:
    """
    Sends free requests, and interprets the answers, as a client does.
    """

    base_url: str
    credentials: Credentials
    timeout: float
    _transport: Transport = attrs.field(init=False)
    _packs: ProbeResult | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        http = HttpOptions(connect_timeout=self.timeout, read_timeout=self.timeout)
        self._transport = Transport(self.base_url, http, RetryPolicy(), 60.0, self.credentials)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.aclose()

    async def read_unknown_task(self) -> ProbeResult:
        """
        Read a task that does not exist.
        """
        return await self.ask(
            DEFAULT_ENDPOINT.one(UNKNOWN_TASK_ID), lambda answer: read_snapshot(answer, UNKNOWN_TASK_ID)
        )

    async def read_lists(self, dialect: Dialect) -> tuple[ProbeResult | None, ProbeResult | None]:
        """
        Read a page of one task, and several tasks by their ids; None for what *dialect* does not offer.
        """
        page = await self.ask(DEFAULT_ENDPOINT.page(1, 1), read_page) if dialect.lists else None
        ids = (UNKNOWN_TASK_ID, f"{UNKNOWN_TASK_ID}-2")
        return page, await self.ask(several(ids), read_page) if dialect.ids_per_read > 1 else None

    async def read_packs(self) -> ProbeResult:
        """
        Read the account's resource packs; once, since the vendor asks for one read in a second at most. If another
        program has just read them, it waits for that second.
        """
        if self._packs is not None:
            return self._packs
        now = int(time.time() * 1000)
        window = f"start_time={now - round(YEAR_AND_MORE.total_seconds() * 1000)}&end_time={now}"
        path = f"{RESOURCE_PACKS.path}?{window}"
        self._packs = await self.ask(path, RESOURCE_PACKS.read)
        if isinstance(self._packs.error, RateLimited):
            await asyncio.sleep(BETWEEN)
            self._packs = await self.ask(path, RESOURCE_PACKS.read)
        return self._packs

    async def ask(self, path: str, parse: Callable[[Answer], object]) -> ProbeResult:
        """
        Send a GET to *path*, and read the answer with *parse*. Errors are part of the result.
        """
        now = asyncio.get_running_loop().time
        began = now()
        answer: Answer | None = None
        error: KlingError | None = None
        offset: float | None = None
        parsed: object = None
        try:
            answer = await self._transport.send("GET", path, limit=self.timeout)
            if clock_of(answer.headers) is not None:
                offset = clock_offset(answer.headers, time.time())
            parsed = parse(answer)
        except KlingError as raised:
            error = raised
            error.task_id = None  # the invented id would only confuse the user
        return ProbeResult(answer, error, now() - began, offset, parsed)


async def _find_better(probe: _Probe) -> str | None:
    # Only at the same host: the key is sent to no other.
    for url in nearby(probe.base_url):
        async with _Probe(url, probe.credentials, probe.timeout) as others:
            if check_service(await others.read_unknown_task(), url).state is FindingState.OK:
                return url
    return None


async def _is_key_accepted(base_url: str, probe: _Probe) -> bool:
    async with _Probe(base_url, probe.credentials, probe.timeout) as others:
        result = await others.read_unknown_task()
        is_service = check_service(result, base_url).state is FindingState.OK
        return is_service and check_access(result, others.credentials, base_url, None).state is FindingState.OK
