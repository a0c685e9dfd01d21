"""
What the doctor makes of values: keys, addresses, clocks and the rest, without anybody being asked.
"""

import itertools
from collections.abc import Mapping
from decimal import Decimal

import pytest

from kling_async.cli.batch.cost_estimate import CostEstimate
from kling_async.cli.doctor.cost_check import check_cost
from kling_async.cli.doctor.findings import ConnectionResult, FindingState, ProbeResult
from kling_async.cli.doctor.service_checks import REGIONS, check_access, check_clock, check_packs, other_regions
from kling_async.cli.doctor.setup_checks import check_address, check_connection, check_key, check_software
from kling_async.cli.exit_codes import ExitCode
from kling_async.client.credentials import GATEWAY_URL, VENDOR_URL, find_credentials
from kling_async.errors import AccountProblem, KlingError, NotAllowed, NotAuthenticated
from kling_async.wire.auth import AccessKey, ApiKey, Credentials
from kling_async.wire.calls.account import ResourcePack
from kling_async.wire.dialects import GATEWAY, dialect_of

PAIR = {"KLING_ACCESS_KEY": "ak-1", "KLING_SECRET_KEY": "as-2"}


@pytest.mark.parametrize(
    ("environ", "state", "words"),
    [
        ({"KLING_API_KEY": "sk-1"}, FindingState.OK, "KLING_API_KEY: a static key"),
        (PAIR, FindingState.OK, "KLING_ACCESS_KEY and KLING_SECRET_KEY: access keys"),
        ({"KLING_API_KEY": "sk-1", **PAIR}, FindingState.WARNING, "set too, but not used"),
        ({"KLING_API_KEY": " sk-1\n"}, FindingState.WARNING, "surrounded by white space"),
        ({"KLING_API_KEY": "eyJhbGciOi.eyJpc3Mi.c2ln"}, FindingState.WARNING, "expires after half an hour"),
        ({}, FindingState.PROBLEM, "no key is set"),
        ({"KLING_API_KEY": "  "}, FindingState.PROBLEM, "no key is set"),
        ({"KLING_ACCESS_KEY": "ak-1"}, FindingState.PROBLEM, "KLING_SECRET_KEY is not"),
        ({"KLING_SECRET_KEY": "as-2"}, FindingState.PROBLEM, "KLING_ACCESS_KEY is not"),
        ({"KLING_API_KEY": "Bearer sk-1"}, FindingState.PROBLEM, 'begins with "Bearer"'),
        ({"KLING_API_KEY": "'sk-1'"}, FindingState.PROBLEM, "quotes around it"),
        ({"KLING_API_KEY": "${KEY}"}, FindingState.PROBLEM, "is the name of a variable that was not substituted"),
        ({"KLING_API_KEY": "sk-1 sk-2"}, FindingState.PROBLEM, "no key has"),
        ({"KLING_API_KEY": "ak-1", **PAIR}, FindingState.PROBLEM, "is the same as one of"),
        ({"KLING_ACCESS_KEY": "ak-1", "KLING_SECRET_KEY": "ak-1"}, FindingState.PROBLEM, "are the same"),
    ],
)
def test_key(environ: Mapping[str, str], state: FindingState, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Its looks are judged, no key is shown, and whatever passes here a client takes too.
    """
    for name in ("KLING_API_KEY", *PAIR):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    finding = check_key(environ)

    assert (state, True) == (finding.state, words in finding.found)
    assert (ExitCode.KEY if state is FindingState.PROBLEM else ExitCode.SUCCESS) is finding.code
    assert not any(key.strip() in finding.found for key in environ.values() if key.strip())
    if state is not FindingState.PROBLEM:
        assert isinstance(find_credentials(None), ApiKey | AccessKey)


@pytest.mark.parametrize(
    ("base_url", "meant"),
    [
        ("https://relay.example/kling/v1", "https://relay.example/kling"),
        ("https://relay.example/v1/images/generations/", "https://relay.example"),
        ("https://api-singapore.klingai.com/v1", VENDOR_URL),
        ("https://api-beijing.klingai.com/kling", REGIONS[1]),
        ("https://kling.ai/dev/api-key", VENDOR_URL),
        ("https://app.klingai.com", VENDOR_URL),
        ("https://api.gpt.ge", GATEWAY_URL),
        ("https://api.gpt.ge/v1", GATEWAY_URL),
        ("https://relay.example/kling", None),
        ("https://relay.example/v1beta", None),
        ("http://127.0.0.1:8765", None),
        (GATEWAY_URL, None),
        *((url, None) for url in REGIONS),
    ],
)
def test_address(base_url: str, meant: str | None) -> None:
    """
    What was pasted along, and addresses of pages for people, are told with what was meant; others are let be.
    """
    finding = check_address(base_url, "KLING_BASE_URL", dialect_of(base_url))

    assert (FindingState.OK if meant is None else FindingState.PROBLEM) is finding.state
    assert meant is None or f"to {meant}:" in finding.advice


@pytest.mark.parametrize("trouble", ["name", "time", "refusal", "certificate", "tls"])
def test_proxy_is_named_where_it_may_help(trouble: str) -> None:
    """
    The environment's proxy is told of where there is no other way, and how to use it.
    """
    reach = ConnectionResult(trouble, "no way")  # type: ignore[arg-type]

    alone, beside = (check_connection(reach, GATEWAY_URL, has_proxy=has_proxy) for has_proxy in (False, True))

    assert "trust_env=True" not in alone.advice
    assert "trust_env=True" in beside.advice
    assert "proxy is not used" in check_connection(ConnectionResult(), GATEWAY_URL, has_proxy=True).found


def refused(error: KlingError) -> ProbeResult:
    return ProbeResult(None, error, 0.1)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (AccountProblem("no money", code=1102), ExitCode.ACCOUNT, "The key is valid. Top up"),
        (NotAllowed("not from there", code=1304), ExitCode.ACCOUNT, "the account's allow list"),
        (NotAllowed("not this model", code=1103), ExitCode.ACCOUNT, "request access where the key was created"),
        (NotAuthenticated("expired", code=1004), ExitCode.KEY, "It is an expired token"),
        (NotAuthenticated("wrong", code=1002), ExitCode.KEY, "Copy the key again"),
    ],
)
def test_refusal(error: KlingError, code: ExitCode, words: str) -> None:
    """
    Each kind of no has its own advice and exit code.
    """
    finding = check_access(refused(error), ApiKey("key"), "https://relay.example", None)

    assert (FindingState.PROBLEM, code) == (finding.state, finding.code)
    assert words in finding.advice


@pytest.mark.parametrize(
    ("credentials", "base_url", "words"),
    [
        (ApiKey("sk-1"), VENDOR_URL, "as the keys of gateways do"),
        (AccessKey("a", "s"), GATEWAY_URL, "Gateways need their own key"),
        (ApiKey("key"), VENDOR_URL, "--all-regions tries https://api-beijing.klingai.com and https://api.klingai.com"),
    ],
)
def test_key_of_the_other_kind(credentials: ApiKey | AccessKey, base_url: str, words: str) -> None:
    """
    A gateway's key at the vendor, the vendor's at a gateway, and a key of another region may be why.
    """
    finding = check_access(refused(NotAuthenticated("wrong", code=1002)), credentials, base_url, None)

    assert words in finding.advice


def test_regions() -> None:
    """
    A key is shown to the vendor's hosts alone, and only where it was made for them.
    """
    assert () == other_regions("https://relay.example")
    assert REGIONS[1:] == other_regions(REGIONS[0])
    assert all(url not in other_regions(url) for url in REGIONS)


@pytest.mark.parametrize(
    ("offset", "words"),
    [
        (0.4, "within 1 s of the service's"),
        (-60.0, "within 60 s of the service's"),
        (61.0, "61 seconds behind"),
        (-7200.0, "2.0 hours ahead of"),
        (3 * 86_400.0, "3.0 days behind"),
    ],
)
def test_clock(offset: float, words: str) -> None:
    """
    A minute is let be; more is told in words that one sees at once.
    """
    assert words in check_clock(offset, ApiKey("key")).found
    assert (FindingState.OK if abs(offset) <= 60 else FindingState.WARNING) is check_clock(offset, ApiKey("key")).state


def test_clock_that_is_not_told() -> None:
    """
    Without a `Date` there is nothing to compare with.
    """
    assert FindingState.SKIPPED is check_clock(None, ApiKey("key")).state


def test_missing_extras() -> None:
    """
    What is not there is named with the way to get it, and is no fault.
    """
    finding = check_software({"Python": "3.11.0", "Pillow": None})

    assert (FindingState.OK, "Python 3.11.0; not installed: Pillow") == (finding.state, finding.found)
    assert "pip install" in finding.advice


def test_findings_are_short() -> None:
    """
    What is found and what to do about it are a line or two each, on a screen of 80 columns.
    """
    trouble = NotAuthenticated("wrong", code=1002)
    keys: tuple[Credentials, ...] = (ApiKey("sk-1"), AccessKey("a", "s"))
    pairs = itertools.product(keys, (VENDOR_URL, GATEWAY_URL))
    found = [check_access(refused(trouble), key, url, None) for key, url in pairs]
    found += [check_key({}), check_key({"KLING_API_KEY": "ak-1", **PAIR}), check_clock(9999.0, AccessKey("a", "s"))]
    found += [check_address("https://api.gpt.ge", "KLING_BASE_URL", GATEWAY)]

    assert [] == [finding for finding in found if len(finding.found) > 134 or len(finding.advice) > 260]


def pack(left: int | None, status: str = "online") -> ResourcePack:
    quantity = None if left is None else Decimal(left)
    return ResourcePack(resource_pack_name="p", resource_pack_id="1", remaining_quantity=quantity, status=status)


@pytest.mark.parametrize(
    ("packs", "state", "words"),
    [
        ((pack(3), pack(40), pack(9, "expired")), FindingState.OK, "43 units left"),
        ((pack(0),), FindingState.WARNING, "0 units left"),
        ((pack(9, "runOut"),), FindingState.WARNING, "none can be used now"),
        ((pack(3), pack(None)), FindingState.OK, "the service does not say what is left"),
        ((), FindingState.WARNING, "the account has none"),
    ],
)
def test_packs(packs: tuple[ResourcePack, ...], state: FindingState, words: str) -> None:
    """
    Those that can be used now, together.
    """
    finding = check_packs(ProbeResult(None, None, 0.1, parsed=packs))

    assert (state, words) == (finding.state, finding.found)


def test_packs_that_are_not_shown() -> None:
    """
    That is no fault of the set-up.
    """
    finding = check_packs(ProbeResult(None, NotAllowed("no"), 0.1))

    assert (FindingState.SKIPPED, "the service does not show them: no") == (finding.state, finding.found)


@pytest.mark.parametrize(
    ("packs", "why"),
    [
        (ProbeResult(None, NotAllowed("no"), 0.1), "the service does not show them: no"),
        (ProbeResult(None, None, 0.1, parsed=(pack(3), pack(None))), "the service does not say"),
        ("needs a connection", "needs a connection"),
    ],
)
def test_cost_that_cannot_be_compared(packs: ProbeResult | str, why: str) -> None:
    """
    It is shown with the reason, and no warning.
    """
    finding = check_cost(CostEstimate(GATEWAY), packs)

    assert FindingState.SKIPPED is finding.state
    assert f"the input may take 0 units; what the packs have left is not known: {why}" == finding.found
