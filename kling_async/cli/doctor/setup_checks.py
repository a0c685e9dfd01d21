"""
Checks of the installation, the key, the address and the connection: values in, findings out, without network.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from kling_async.cli.doctor.findings import ConnectionResult, Finding, FindingState
from kling_async.cli.exit_codes import ExitCode
from kling_async.client.credentials import GATEWAY_URL, VENDOR_URL, blemish_of
from kling_async.errors import (
    InvalidRequest,
)
from kling_async.wire.dialects import OFFICIAL, Dialect, dialect_of

__all__ = ["check_address", "check_connection", "check_key", "check_software"]


_VARIABLES: Final = ("KLING_API_KEY", "KLING_ACCESS_KEY", "KLING_SECRET_KEY")


_WEBSITES: Final = ("kling.ai", "klingai.com")


_PASTED: Final = re.compile(r"/v1(/images(/generations(/.*)?)?)?$")  # of a path without slashes at its end


def check_software(versions: Mapping[str, str | None]) -> Finding:
    """
    Report the installed versions; None means not installed.
    """
    installed = ", ".join(f"{name} {version}" for name, version in versions.items() if version is not None)
    missing = [name for name, version in versions.items() if version is None]
    if not missing:
        return Finding("software", FindingState.OK, installed)
    fact = f"{installed}; not installed: {', '.join(missing)}"
    return Finding(
        "software", FindingState.OK, fact, 'To use demo, emulator and gallery: pip install "kling-async[cli]"'
    )


def check_key(environ: Mapping[str, str]) -> Finding:
    """
    Check the key that a client would find in *environ*, without the network. No key is ever shown.
    """
    given = {name: environ[name] for name in _VARIABLES if environ.get(name, "").strip()}
    bearer = "KLING_API_KEY" in given
    pair = [name for name in _VARIABLES[1:] if name in given]
    if not given:
        return _bad_key(
            "no key is set: neither KLING_API_KEY, nor KLING_ACCESS_KEY and KLING_SECRET_KEY",
            "Set KLING_API_KEY to the key of your gateway or the vendor, or run kling-async demo without an account.",
        )
    if not bearer and len(pair) == 1:
        [missing] = set(_VARIABLES[1:]) - set(pair)
        return _bad_key(f"{pair[0]} is set, {missing} is not", f"Set {missing} too: signing tokens needs both.")
    used = _VARIABLES[:1] if bearer else _VARIABLES[1:]
    for name in used:
        if trouble := blemish_of(given[name].strip()):
            return _bad_key(f"{name} {trouble[0]}", trouble[1])
    if not bearer and given[pair[0]] == given[pair[1]]:
        return _bad_key(
            "KLING_ACCESS_KEY and KLING_SECRET_KEY are the same", "Copy both again: they are different keys."
        )
    return _good_key(given, used)


def _bad_key(found: str, advice: str) -> Finding:
    return Finding("key", FindingState.PROBLEM, found, advice, ExitCode.KEY)


def _good_key(given: Mapping[str, str], used: Sequence[str]) -> Finding:
    kind = "a static key" if len(used) == 1 else "access keys, which sign tokens"
    found = f"{' and '.join(used)}: {kind}"
    key = given[used[0]].strip()
    ignored = [name for name in given if name not in used]
    if len(used) == 1 and key in {given.get(name, "").strip() for name in _VARIABLES[1:]}:
        return _bad_key(
            f"{used[0]} is the same as one of {' and '.join(_VARIABLES[1:])}",
            "An access key is not a static key: unset KLING_API_KEY to sign tokens with the other two.",
        )
    if ignored:
        advice = f"Unset either {' and '.join(ignored)} or {used[0]}, so that it is clear which account pays."
        return Finding("key", FindingState.WARNING, f"{found}; {' and '.join(ignored)} set too, but not used", advice)
    if len(used) == 1 and key.startswith("eyJ") and key.count(".") == 2:
        advice = "Set KLING_ACCESS_KEY and KLING_SECRET_KEY instead: the library then renews tokens."
        return Finding(
            "key", FindingState.WARNING, f"{used[0]} is a signed token, which expires after half an hour", advice
        )
    if any(given[name] != given[name].strip() for name in used):
        advice = "The library ignores it; other programs may not."
        return Finding("key", FindingState.WARNING, f"{found}, surrounded by white space", advice)
    return Finding("key", FindingState.OK, found)


def check_address(
    base_url: str | InvalidRequest, source: str, dialect: Dialect | InvalidRequest, dialect_source: str = "by host"
) -> Finding:
    """
    Check the base URL and the dialect that a client would use, without the network.

    Args:
        base_url: The URL, or the error that a client raises for it.
        source: Where it comes from.
        dialect: The dialect, or the error that a client raises for `KLING_DIALECT`.
        dialect_source: Where it comes from.
    """
    if isinstance(base_url, InvalidRequest):
        return _bad_address(str(base_url), f"Set {source} to something like {GATEWAY_URL} or {VENDOR_URL}.")
    if isinstance(dialect, InvalidRequest):
        return _bad_address(str(dialect), "Set KLING_DIALECT to gateway, official or the path of a dialect's file.")
    fact = f"{base_url} ({source}), dialect {dialect.name} ({dialect_source})"
    if meant := _meant(base_url):
        return _bad_address(fact, f"Set {source} to {meant}: the library adds /v1/images/generations itself.")
    return Finding("address", FindingState.OK, fact)


def _bad_address(found: str, advice: str) -> Finding:
    return Finding("address", FindingState.PROBLEM, found, advice, ExitCode.USAGE)


def _meant(base_url: str) -> str | None:
    # Returns the URL that was probably meant by a wrong one; None if it may be right.
    parts = urlsplit(base_url)
    host = (parts.hostname or "").removeprefix("www.").removeprefix("app.")
    if host in _WEBSITES:  # the vendor's websites
        return VENDOR_URL
    if is_vendors(base_url) and parts.path:
        return urlunsplit((parts.scheme, parts.netloc, "", "", ""))
    path = without_endpoint(parts.path)
    if parts.hostname == urlsplit(GATEWAY_URL).hostname and not path:
        return GATEWAY_URL
    return None if path == parts.path else urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def check_connection(reach: ConnectionResult, base_url: str, *, has_proxy: bool) -> Finding:
    """
    Report whether the host can be reached. *has_proxy*: whether the environment names a proxy for it.
    """
    parts = urlsplit(base_url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    where = f"{host}:{port}"
    if reach.trouble is None:
        how = "with TLS" if parts.scheme == "https" else "with plain HTTP, on this computer"
        aside = "; the environment's proxy is not used" if has_proxy else ""
        return Finding("connection", FindingState.OK, f"{where} is reachable {how}{aside}")
    match reach.trouble:
        case "name":
            fact, advice = f"host {host!r} cannot be resolved", "Check the address and the network."
        case "time":
            fact, advice = (
                f"{where} does not respond: {reach.reason}",
                "Check the network; a firewall may block it.",
            )
        case "refusal":
            fact, advice = (
                f"{where} refuses connections: {reach.reason}",
                "Check host and port, and that the service is running.",
            )
        case "certificate":
            fact = f"the certificate of {where} is not valid: {reach.reason}"
            advice = (
                "Check the host name and this computer's clock. If a firewall inspects TLS, install its CA certificate."
            )
        case _:
            fact = f"{where} does not use TLS: {reach.reason}"
            advice = "Check the port; a service on this computer may use http://."
    if has_proxy:
        advice += " The proxy in the environment is only used with KlingClient(http=HttpOptions(trust_env=True))."
    return Finding("connection", FindingState.PROBLEM, fact, advice, ExitCode.SERVICE)


def without_endpoint(path: str) -> str:
    return _PASTED.sub("", path.rstrip("/"))


def is_vendors(base_url: str) -> bool:
    return dialect_of(base_url) is OFFICIAL
