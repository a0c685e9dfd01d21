"""
What ails a set-up is named, and nothing else is, against services on a real socket. None of it makes or costs anything.
"""

import asyncio
import contextlib
import errno
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from aiohttp import web

from kling_async import OFFICIAL, ImageRequest
from kling_async.cli.doctor import service_checks
from kling_async.cli.doctor.check_runner import DoctorOptions, examine
from kling_async.cli.doctor.findings import UNKNOWN_TASK_ID, Finding, FindingState
from kling_async.cli.exit_codes import ExitCode
from kling_async.emulator import Emulator, Fault, faults
from kling_async.wire.auth import AccessKey
from kling_async.wire.dialects import GATEWAY, Dialect
from tests.fakes.simulated_loop import simulated

HOUR: Final = 3600.0
PAIR: Final = AccessKey("an-access-key-of-the-tests", "a-secret-key-of-the-tests-of-32-bytes")
CHECKS: Final = [
    *("software", "key", "address", "connection", "service", "access", "clock", "lists", "packs", "latency", "slots")
]


@attrs.frozen
class Patient:
    """
    A set-up in the environment of this process.
    """

    environment: pytest.MonkeyPatch

    def set(self, **variables: str) -> None:
        for name in (
            "KLING_API_KEY",
            "KLING_ACCESS_KEY",
            "KLING_SECRET_KEY",
            "KLING_BASE_URL",
            "KLING_DIALECT",
            "HTTPS_PROXY",
        ):
            self.environment.delenv(name, raising=False)
        for name, value in variables.items():
            self.environment.setenv(name, value)

    async def examined(self, base_url: str, dialect: Dialect | None = None, **asked: Any) -> list[Finding]:
        """
        Return all findings about a static key at *base_url*.
        """
        self.set(KLING_API_KEY="sk-of-somebody", KLING_BASE_URL=base_url)
        return [finding async for finding in examine(DoctorOptions(**asked), dialect)]

    async def at(self, server: Emulator, dialect: Dialect | None = None, **asked: Any) -> list[Finding]:
        """
        Return all findings about the account of *server*, with the key or the pair of keys that it takes.
        """
        pair = server.access_key
        if pair is not None:
            self.set(KLING_ACCESS_KEY=pair.access_key, KLING_SECRET_KEY=pair.secret_key, KLING_BASE_URL=server.url)
        else:
            self.set(KLING_API_KEY=server.api_key, KLING_BASE_URL=server.url)
        return await self.again(server, dialect, **asked)

    async def again(self, server: Emulator, dialect: Dialect | None = None, **asked: Any) -> list[Finding]:
        """
        Return all findings as the environment is, and see that *server* has made nothing.
        """
        found = [finding async for finding in examine(DoctorOptions(**asked), dialect or server.dialect)]
        ledger = server.ledger
        assert (0, [], 0) == (ledger.creates_received, ledger.tasks, ledger.units_billed)
        return found


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Patient:
    return Patient(monkeypatch)


def ailing(found: list[Finding]) -> dict[str, str]:
    """
    Return the checks that found something amiss, and how bad it is.
    """
    return {
        finding.check: finding.state.value
        for finding in found
        if finding.state in (FindingState.WARNING, FindingState.PROBLEM)
    }


def finding_for(found: list[Finding], check: str) -> Finding:
    [finding] = [each for each in found if each.check == check]
    return finding


@contextlib.asynccontextmanager
async def host(answer: web.Response) -> AsyncIterator[str]:
    """
    A web server that gives *answer* to everything.
    """

    async def serve(_: web.Request) -> web.Response:
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    application = web.Application()
    application.add_routes([web.route("*", "/{rest:.*}", serve)])
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def page(status: int, text: str = "", kind: str = "text/html", **headers: str) -> web.Response:
    return web.Response(status=status, text=text, content_type=kind, headers=headers)


@pytest.mark.parametrize(
    "settings",
    [{"dialect": GATEWAY}, {"dialect": OFFICIAL}, {"dialect": OFFICIAL, "access_key": PAIR}],
    ids=["gateway", "official", "access keys"],
)
async def test_all_is_well(patient: Patient, settings: Mapping[str, Any]) -> None:
    """
    Every check is made in its order, and none finds anything amiss.
    """
    async with Emulator(**settings) as server:
        found = await patient.at(server)

    assert CHECKS == [finding.check for finding in found]
    assert {} == ailing(found)
    assert "KLING_BASE_URL" in finding_for(found, "address").found
    assert settings["dialect"].name in finding_for(found, "address").found


async def test_no_key(patient: Patient) -> None:
    """
    The variables are named; that the host is there can be seen all the same, and nothing is asked.
    """
    async with Emulator() as server:
        patient.set(KLING_BASE_URL=server.url)
        found = await patient.again(server)

    assert {"key": "problem"} == ailing(found)
    assert ExitCode.KEY is finding_for(found, "key").code
    assert "KLING_API_KEY" in finding_for(found, "key").found
    assert 0 == sum(server.ledger.arrivals.values())


@pytest.mark.parametrize(
    "settings",
    [{"dialect": GATEWAY}, {"dialect": OFFICIAL}, {"dialect": OFFICIAL, "access_key": PAIR}],
    ids=["gateway", "official", "access keys"],
)
async def test_wrong_key(patient: Patient, settings: Mapping[str, Any]) -> None:
    """
    It is the key that is named, not the host; and the key itself is not shown.
    """
    async with Emulator(**settings) as server:
        if server.access_key is None:
            patient.set(KLING_API_KEY="sk-of-somebody-else", KLING_BASE_URL=server.url)
        else:
            patient.set(KLING_ACCESS_KEY=PAIR.access_key, KLING_SECRET_KEY="x" * 40, KLING_BASE_URL=server.url)
        found = await patient.again(server)

    assert {"access": "problem"} == ailing(found)
    assert ExitCode.KEY is finding_for(found, "access").code
    assert "Copy the key again" in finding_for(found, "access").advice
    assert not any(secret in str(found) for secret in ("somebody-else", PAIR.access_key, "x" * 40))
    assert UNKNOWN_TASK_ID not in finding_for(found, "access").found


@pytest.mark.parametrize("pair", [None, PAIR], ids=["static key", "access keys"])
@pytest.mark.parametrize(("ahead", "word"), [(HOUR, "behind"), (-HOUR, "ahead of")])
async def test_clock_that_is_off_by_an_hour(patient: Patient, pair: AccessKey | None, ahead: float, word: str) -> None:
    """
    By how much and in which direction is reported, and how little it matters.
    """
    async with Emulator(dialect=OFFICIAL, access_key=pair, clock=lambda: time.time() + ahead) as server:
        found = await patient.at(server)

    assert {"clock": "warning"} == ailing(found)
    assert f"this computer's clock is 60.0 minutes {word} the service's" == finding_for(found, "clock").found
    assert ("signs by the service's clock" in finding_for(found, "clock").advice) is (pair is not None)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (page(200, "<!DOCTYPE html><html></html>"), "responds with an HTML page (HTTP 200)"),
        (page(404, "<html></html>"), "responds with an HTML page (HTTP 404)"),
        (page(401, "who are you"), "something other than JSON (HTTP 401)"),
        (page(200, '{"hello": "world"}', "application/json"), "holds no task"),
        (page(404, '{"detail": "Not Found"}', "application/json"), "does not have the path of this API"),
        (page(301, Location="https://elsewhere.example/kling/v1/images/generations/x?y"),
         "redirects to https://elsewhere.example/kling (HTTP 301)"),
        (page(503, "<html></html>"), "responds with an HTML page (HTTP 503)"),
    ],
)  # fmt: skip
async def test_host_that_is_no_kling_api(patient: Patient, answer: web.Response, words: str) -> None:
    """
    What it does instead is reported, and nothing is said about the key.
    """
    async with host(answer) as url:
        found = await patient.examined(url)

    assert {"service": "problem"} == ailing(found)
    assert words in finding_for(found, "service").found
    assert ExitCode.SERVICE is finding_for(found, "service").code
    assert FindingState.SKIPPED is finding_for(found, "access").state


async def test_host_of_another_api(patient: Patient) -> None:
    """
    A 404 that does not say what is missing is reported as what it is: no proof.
    """
    async with host(page(404, '{"reason": "gone"}', "application/json")) as url:
        found = await patient.examined(url)

    assert {"service": "warning"} == ailing(found)
    assert "as any web server may" in finding_for(found, "service").found


@pytest.mark.parametrize(("dialect", "wrong"), [(GATEWAY, ""), (OFFICIAL, "/kling")])
async def test_path_that_is_not_the_services(patient: Patient, dialect: Dialect, wrong: str) -> None:
    """
    The base URL at which the same host does answer is found and named.
    """
    async with Emulator(dialect=dialect) as server:
        origin = server.url.removesuffix("/kling")
        patient.set(KLING_API_KEY=server.api_key, KLING_BASE_URL=origin + wrong)
        found = await patient.again(server)

        assert {"service": "problem"} == ailing(found)
        assert f"{server.url} is a Kling API: set the base URL to that." == finding_for(found, "service").advice


@pytest.mark.parametrize(
    ("url", "check", "words"),
    [
        ("http://127.0.0.1:9", "connection", "refuses connections: Connection refused"),
        ("https://nowhere.invalid", "connection", "host 'nowhere.invalid' cannot be resolved"),
        ("http://api.gpt.ge/kling", "address", "must be https"),
        ("127.0.0.1:8765", "address", "must be an absolute http(s) URL"),
    ],
)
async def test_host_that_is_not_to_be_reached(patient: Patient, url: str, check: str, words: str) -> None:
    """
    A closed port, a name that nobody knows, plain http over the network, no URL: all after it is skipped.
    """
    found = await patient.examined(url)

    assert {check: "problem"} == ailing(found)
    assert words in finding_for(found, check).found
    assert all(finding.state is FindingState.SKIPPED for finding in found[CHECKS.index(check) + 1 :])


async def test_tls_where_none_is_spoken(patient: Patient) -> None:
    """
    https:// in place of http:// is reported from a host that is not there.
    """
    async with Emulator() as server:
        found = await patient.examined(server.url.replace("http:", "https:"))

    assert {"connection": "problem"} == ailing(found)
    assert "does not use TLS" in finding_for(found, "connection").found


def bad_certificate() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (bad_certificate(), "the certificate of relay.example:443 is not valid: self-signed certificate"),
        (ssl.SSLError(1, "wrong version number"), "relay.example:443 does not use TLS: wrong version number"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "relay.example:443 does not use TLS: Broken pipe"),
        (TimeoutError(), "relay.example:443 does not respond: no response within 10 s"),
        (OSError(errno.EHOSTUNREACH, "no"), "relay.example:443 refuses connections: No route to host"),
    ],
)
async def test_connection_that_is_not_made(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, error: OSError, words: str
) -> None:
    """
    Each way to fail is reported from the others, in the system's own words.
    """

    async def find(*_: object) -> list[object]:
        return []

    async def connect(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", find)
    monkeypatch.setattr(asyncio, "open_connection", connect)

    found = await patient.examined("https://relay.example/kling")

    assert words == finding_for(found, "connection").found


@pytest.mark.parametrize("all_regions", [False, True])
async def test_wrong_region(patient: Patient, monkeypatch: pytest.MonkeyPatch, all_regions: bool) -> None:  # noqa: FBT001
    """
    The vendor's other hosts are named; they are asked only where that was allowed, and the right one is found.
    """
    async with Emulator(dialect=OFFICIAL) as here, Emulator(dialect=OFFICIAL, seed=1) as there:
        monkeypatch.setattr(service_checks, "REGIONS", (here.url, there.url))
        patient.set(KLING_API_KEY=there.api_key, KLING_BASE_URL=here.url)
        monkeypatch.setattr(service_checks, "is_vendors", lambda url: url in service_checks.REGIONS)
        found = await patient.again(here, all_regions=all_regions)

        assert {"access": "problem"} == ailing(found)
        expected = f"{there.url} accepts it: set KLING_BASE_URL to that." if all_regions else "--all-regions tries"
        assert expected in finding_for(found, "access").advice
        assert all_regions is bool(there.ledger.arrivals)


async def test_gateway_without_lists(patient: Patient) -> None:
    """
    A dialect that says more than its service does is reported from one that says so, and how to say so is named.
    """
    bold = attrs.evolve(GATEWAY, lists=True, ids_per_read=20)
    async with Emulator(dialect=GATEWAY) as server:
        found = await patient.at(server, dialect=bold)

    assert {"lists": "warning"} == ailing(found)
    assert "attrs.evolve(GATEWAY, lists=False, ids_per_read=1)" in finding_for(found, "lists").advice


@simulated
async def test_slow_network(patient: Patient) -> None:
    """
    It is reported how long an answer takes, and that nothing is lost by it.
    """
    async with Emulator(faults=[faults.delay_before("query", seconds=2.5)]) as server:
        found = await patient.at(server)

    assert {"latency": "warning"} == ailing(found)
    assert "takes 2.5 s" in finding_for(found, "latency").found


async def test_network_that_breaks(patient: Patient) -> None:
    """
    Answers that do not come are counted.
    """
    async with Emulator(faults=[faults.reset_before("query", after=1)]) as server:
        found = await patient.at(server)

    assert {"latency": "warning"} == ailing(found)
    assert "got no response" in finding_for(found, "latency").found


@simulated
async def test_packs_that_were_just_read(patient: Patient) -> None:
    """
    The vendor refuses a second read in a second: the doctor waits for it, and reads them.
    """
    loop, began = asyncio.get_running_loop(), time.time()
    async with Emulator(dialect=OFFICIAL, units=20, clock=lambda: began + loop.time()) as server:
        found = [await patient.at(server) for _ in range(2)]

    assert ["20 units left"] * 2 == [finding_for(each, "packs").found for each in found]


@simulated
async def test_service_that_is_silent(patient: Patient) -> None:
    """
    A question that is never answered ends in time, and with a word about it.
    """
    async with Emulator(faults=[faults.stall("query")]) as server:
        found = await patient.at(server, timeout=5.0)

    assert {"service": "problem"} == ailing(found)
    assert "no answer in time" in finding_for(found, "service").found


@pytest.mark.parametrize(
    ("fault", "ails"),
    [
        (faults.status("query", 503), {"service": "problem"}),
        (faults.status("query", 403), {"access": "problem"}),
        (faults.bare_429("query"), {"access": "warning"}),
        (faults.status("list", 503), {"lists": "warning"}),
    ],
)
async def test_service_in_trouble(patient: Patient, fault: Fault, ails: dict[str, str]) -> None:
    """
    A service that fails, forbids or is hurried is not taken for a wrong host or a wrong key.
    """
    async with Emulator(dialect=OFFICIAL, faults=[fault]) as server:
        found = await patient.at(server)

    assert ails == ailing(found)


RELAY: Final = attrs.evolve(GATEWAY, lists=True, external_ids=True)


@pytest.mark.parametrize(
    ("dialect", "tasks", "known"),
    [
        (GATEWAY, 2, {"lists": False, "ids_per_read": 1, "account_pages": False}),
        (OFFICIAL, 0, {"account_pages": True}),
        (OFFICIAL, 2, {"lists": True, "external_ids": True, "ids_per_read": 20, "account_pages": True}),
        (OFFICIAL, 30, {"lists": True, "external_ids": True, "ids_per_read": 20, "account_pages": True}),
        (RELAY, 0, {"ids_per_read": 1, "account_pages": False}),
        (RELAY, 1, {"lists": True, "external_ids": True, "ids_per_read": 1, "account_pages": False}),
    ],
)
@pytest.mark.parametrize("given", [GATEWAY, OFFICIAL], ids=lambda dialect: dialect.name)
async def test_dialect_is_written(
    patient: Patient, tmp_path: Path, dialect: Dialect, tasks: int, known: Mapping[str, Any], given: Dialect
) -> None:
    """
    What the tasks of the account prove, and what the service refuses; an empty list proves nothing. The rest is as in
    the dialect that was given.
    """
    file = tmp_path / "relay.toml"
    async with Emulator(dialect=dialect) as server:
        for number in range(tasks):
            external_id = f"mine-{number}" if dialect.external_ids else None
            request = ImageRequest("a fox", external_task_id=external_id)
            server.account.restore(f"task-{number}", request, time.time() - 60)
        found = await patient.at(server, given, write_dialect=file)

    assert [*CHECKS, "dialect"] == [finding.check for finding in found]
    assert attrs.evolve(given, **known) == Dialect.load(file)
    assert all(f"\n{field} = " in file.read_text() for field in known)


async def test_external_ids_that_find_nothing(patient: Patient, tmp_path: Path) -> None:
    """
    A service that repeats an id, but does not find the task by it, has none. Four reads come before that one.
    """
    file = tmp_path / "relay.toml"
    async with Emulator(dialect=OFFICIAL, faults=[faults.status("query", 404, after=4)]) as server:
        server.account.restore("task-1", ImageRequest("a fox", external_task_id="mine-1"), time.time() - 60)
        await patient.at(server, OFFICIAL, write_dialect=file)

    assert attrs.evolve(OFFICIAL, external_ids=False) == Dialect.load(file)


async def test_failures_prove_nothing(patient: Patient, tmp_path: Path) -> None:
    """
    They stand in the file as what they are.
    """
    file = tmp_path / "relay.toml"
    async with Emulator(dialect=RELAY, faults=[faults.status("list", 503)]) as server:
        await patient.at(server, GATEWAY, write_dialect=file)

    assert attrs.evolve(GATEWAY, ids_per_read=1) == Dialect.load(file)
    assert "# lists = false  # not known: the request failed (ServiceFailure)" in file.read_text()


async def test_a_given_dialect_is_kept(patient: Patient, tmp_path: Path) -> None:
    """
    With what differs from its base.
    """
    file, given = tmp_path / "relay.toml", attrs.evolve(RELAY, prompt_max=2500, models=("kling-v1", "kling-v9"))
    async with Emulator(dialect=RELAY) as server:
        await patient.at(server, given, write_dialect=file)

    assert given == Dialect.load(file)
    assert "prompt_max = 2500  # as in the given dialect" in file.read_text()


async def test_access_keys_do_not_tell_about_several_ids(patient: Patient, tmp_path: Path) -> None:
    """
    The vendor reads several tasks for static keys only.
    """
    file = tmp_path / "vendor.toml"
    async with Emulator(dialect=OFFICIAL, access_key=PAIR) as server:
        await patient.at(server, write_dialect=file)

    assert OFFICIAL == Dialect.load(file)
    assert "# ids_per_read = 20  # not known: the request failed (NotAuthenticated)" in file.read_text()


async def test_an_invalid_variable_is_a_problem_of_the_address(patient: Patient) -> None:
    """
    With what a client says about it.
    """
    patient.set(KLING_API_KEY="sk-x", KLING_DIALECT="ofical")

    found = [finding async for finding in examine(DoctorOptions())]

    assert {"address": "problem"} == ailing(found)
    assert ExitCode.USAGE is finding_for(found, "address").code
    assert "KLING_DIALECT: ofical: No such file" in finding_for(found, "address").found
