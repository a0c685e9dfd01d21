"""
Checks of the service: values in, findings out, without network and clock.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from kling_async.cli.doctor.findings import Finding, FindingState, ProbeResult, skipped
from kling_async.cli.doctor.setup_checks import is_vendors, without_endpoint
from kling_async.cli.exit_codes import ExitCode, code_of
from kling_async.cli.formatting import plural
from kling_async.cli.packs import LATE, units_left, usable
from kling_async.client.credentials import VENDOR_URL
from kling_async.client.retries import may_repeat
from kling_async.errors import (
    AccountProblem,
    InvalidRequest,
    NotAllowed,
    NotAuthenticated,
    RateLimited,
    ServiceFailure,
    TaskNotFound,
    UnexpectedAnswer,
)
from kling_async.wire.auth import AccessKey, ApiKey, Credentials
from kling_async.wire.dialects import Dialect
from kling_async.wire.headers import find_header
from kling_async.wire.http_answer import Answer
from kling_async.wire.json_text import loads
from kling_async.wire.redaction import hide_query

__all__ = [
    "REGIONS",
    "check_access",
    "check_clock",
    "check_latency",
    "check_lists",
    "check_packs",
    "check_service",
    "nearby",
    "other_regions",
]


REGIONS: Final = (VENDOR_URL, "https://api-beijing.klingai.com", "https://api.klingai.com")
"""
The vendor's hosts: outside China, in China, and the old one. An account and its keys belong to one region.
"""


CLOCK_TOLERANCE: Final = 60.0
"""
Seconds. Tokens are dated back by 5 s and callback signatures are accepted for 300 s: this is in between.
"""


_NO_SUCH_PATH: Final = 1202


def check_service(result: ProbeResult, base_url: str, better: str | None = None) -> Finding:
    """
    Report whether the service has this API, for any kind of answer.

    Args:
        result: Of reading a task that does not exist.
        better: A URL at the same host that has this API.
    """
    fact = _unlike_kling(result)
    if fact is None:
        return Finding("service", FindingState.OK, f"responds like a Kling API (HTTP {_status(result)})")
    failure, fault = result.error, ExitCode.SERVICE
    if better is not None:
        return Finding(
            "service", FindingState.PROBLEM, fact, f"{better} is a Kling API: set the base URL to that.", fault
        )
    if result.answer is None:
        return Finding(
            "service", FindingState.PROBLEM, fact, "Try again; if it persists, ask the operator of the service.", fault
        )
    if target := _target(result.answer):
        return Finding("service", FindingState.PROBLEM, fact, f"Set the base URL to {target}, if you trust it.", fault)
    if isinstance(failure, ServiceFailure):
        return Finding("service", FindingState.PROBLEM, fact, "Try again later, and check the host.", fault)
    if isinstance(failure, TaskNotFound):
        advice = "Check the base URL: for many gateways it ends in /kling."
        return Finding("service", FindingState.WARNING, fact, advice)
    hint = "the vendor's have no path" if is_vendors(base_url) else "for many gateways it ends in /kling"
    return Finding(
        "service", FindingState.PROBLEM, fact, f"Check the base URL with the operator of the service: {hint}.", fault
    )


def _unlike_kling(result: ProbeResult) -> str | None:
    # Returns how an answer differs from this API; None if it does not.
    answer, error = result.answer, result.error
    if answer is None:
        return str(error)
    if isinstance(error, RateLimited):  # a gateway may send it without a body
        return None
    if not _is_object(answer):
        if target := _target(answer):
            return f"redirects to {target} (HTTP {answer.status})"
        what = "an HTML page" if b"<html" in answer.body[:2000].lower() else "something other than JSON"
        return f"responds with {what} (HTTP {answer.status})"
    match error:
        case ServiceFailure():
            return f"fails: {error}"
        case UnexpectedAnswer():
            return f"does not have the path of this API: {error}" if answer.status == 404 else str(error)
        case InvalidRequest() if error.code == _NO_SUCH_PATH:
            return f"does not have the path of this API: {error}"
        case TaskNotFound() if not error.code and answer.status == 404:
            return "responds 404 without a code, as any web server may"
        case _:
            return None


def _is_object(answer: Answer) -> bool:
    try:
        return isinstance(loads(answer.body), Mapping)
    except ValueError:
        return False


def _target(answer: Answer) -> str | None:
    # Returns the base URL to which a redirect leads, None if it is not one.
    location = find_header(answer.headers, "Location") if 300 <= answer.status < 400 else ""
    parts = urlsplit(hide_query(location))
    if not parts.hostname:
        return None
    return urlunsplit((parts.scheme, parts.netloc, without_endpoint(parts.path).rstrip("/"), "", ""))


def _status(result: ProbeResult) -> int:
    return result.answer.status if result.answer is not None else 0


def nearby(base_url: str) -> tuple[str, ...]:
    """
    Return other base URLs at the same host that may be meant.
    """
    parts = urlsplit(base_url)
    if is_vendors(base_url):
        return ()
    paths = ("",) if parts.path else ("/kling", "/klingai")
    return tuple(urlunsplit((parts.scheme, parts.netloc, path, "", "")) for path in paths)


def check_access(
    result: ProbeResult, credentials: Credentials, base_url: str, regions: Mapping[str, bool] | None
) -> Finding:
    """
    Report whether the service accepts the key, and what a refusal may mean.

    Args:
        regions: For the vendor's other hosts whether they accept the key; None if they were not tried.
    """
    error = result.error
    if isinstance(error, NotAuthenticated):
        advice = " ".join(_key_advice(error, credentials, base_url, regions))
        return Finding("access", FindingState.PROBLEM, f"the service refuses the key: {error}", advice, ExitCode.KEY)
    match error:
        case AccountProblem():
            advice = "The key is valid. Top up or unlock the account; retrying does not help."
        case NotAllowed() if error.code == 1304:
            advice = "Add this computer's IP address to the account's allow list."
        case NotAllowed():
            advice = "The key is valid but may not use this API: request access where the key was created."
        case RateLimited():
            advice = "Try again in a minute."
            return Finding(
                "access", FindingState.WARNING, f"not checked, because of too many requests: {error}", advice
            )
        case _:
            return Finding("access", FindingState.OK, "the service accepts the key")
    return Finding("access", FindingState.PROBLEM, str(error), advice, code_of(error))


def _key_advice(
    error: NotAuthenticated, credentials: Credentials, base_url: str, regions: Mapping[str, bool] | None
) -> Iterator[str]:
    good = [url for url, is_taken in (regions or {}).items() if is_taken]
    if good:
        yield f"{good[0]} accepts it: set KLING_BASE_URL to that."
        return
    if error.code in (1003, 1004):
        is_signed = isinstance(credentials, AccessKey)
        yield (
            "A token signed by the service's clock is refused too: report it to the operator of the service."
            if is_signed
            else "It is an expired token: set KLING_ACCESS_KEY and KLING_SECRET_KEY instead."
        )
        return
    yield "Copy the key again, and check that it was not deleted."
    if not is_vendors(base_url):
        if isinstance(credentials, AccessKey):
            yield "Gateways need their own key (KLING_API_KEY), not the vendor's access keys."
        return
    if isinstance(credentials, ApiKey) and credentials.key.startswith("sk-"):
        yield "It begins with sk-, as the keys of gateways do: set KLING_BASE_URL to the gateway."
    if regions is None:
        hosts = " and ".join(other_regions(base_url))
        yield f"It may belong to another region: --all-regions tries {hosts}."
    else:
        yield "The vendor's other hosts refuse it too."


def other_regions(base_url: str) -> tuple[str, ...]:
    """
    Return the vendor's other hosts if *base_url* is one of them.
    """
    return tuple(url for url in REGIONS if url != base_url) if base_url in REGIONS or is_vendors(base_url) else ()


def check_clock(offset: float | None, credentials: Credentials) -> Finding:
    """
    Report the seconds that the service's clock is ahead of this computer's; None if unknown.
    """
    if offset is None:
        return skipped("clock", "the service does not send its time")
    if abs(offset) <= CLOCK_TOLERANCE:
        return Finding("clock", FindingState.OK, f"within {max(1, round(abs(offset)))} s of the service's")
    fact = f"this computer's clock is {_in_words(abs(offset))} {'behind' if offset > 0 else 'ahead of'} the service's"
    if isinstance(credentials, AccessKey):
        effect = "The service refuses tokens at first (1003, 1004); the library then signs by the service's clock."
    else:
        effect = "A static key works; signed callbacks are refused if it is off by more than 5 minutes."
    return Finding("clock", FindingState.WARNING, fact, f"Set the clock by NTP. {effect}")


def _in_words(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def check_lists(
    dialect: Dialect, page: ProbeResult | None, several: ProbeResult | None, credentials: Credentials
) -> Finding:
    """
    Report whether the service can return many tasks at once as its dialect says.

    Args:
        page: Of reading a page; None if the dialect does not list tasks.
        several: Of reading several tasks by their ids; None if the dialect does not offer it.
    """
    if page is None and several is None:
        return Finding("lists", FindingState.OK, f"{dialect.name} services return one task at a time")
    ways = {
        "a page of tasks": ("lists=False", page),
        "several tasks by their ids": ("ids_per_read=1", several),
    }
    asked = {name: (change, result.error) for name, (change, result) in ways.items() if result is not None}
    refused = {name: change for name, (change, error) in asked.items() if error is not None and not may_repeat(error)}
    broken = [(name, error) for name, (_, error) in asked.items() if error is not None and may_repeat(error)]
    if isinstance(credentials, AccessKey) and several is not None and isinstance(several.error, NotAuthenticated):
        refused.pop("several tasks by their ids")  # the vendor's newer API accepts only static keys
        if not refused and not broken:
            aside = "With a static key, several tasks could be read at once by their ids, with fewer requests."
            return Finding("lists", FindingState.OK, "returns a page of tasks", aside)
    if refused:
        change = f"dialect=attrs.evolve({dialect.name.upper()}, {', '.join(refused.values())})"
        advice = (
            f"The library reads tasks one by one instead. To save the first attempt, programs may pass {change}; "
            "for commands, --write-dialect writes it to a file."
        )
        return Finding(
            "lists", FindingState.WARNING, f"does not return {' or '.join(refused)}, unlike its dialect", advice
        )
    if broken:
        name, error = broken[0]
        return Finding("lists", FindingState.WARNING, f"could not return {name}: {error}", "Try again later.")
    return Finding("lists", FindingState.OK, f"returns {' and '.join(asked)}")


def check_packs(result: ProbeResult, *, has_input: bool = False) -> Finding:
    """
    Report what is left of the account's resource packs, from the *result* of reading them. Without an input, the
    finding says how to check one.
    """
    if result.error is not None:
        return skipped("packs", f"the service does not show them: {result.error}")
    packs = result.parsed or ()
    left = units_left(packs)
    if not usable(packs):
        fact = "none can be used now" if packs else "the account has none"
        return Finding("packs", FindingState.WARNING, fact, "Buy a pack, unless the account is paid in cash.")
    if left is None:
        return Finding("packs", FindingState.OK, "the service does not say what is left")
    fact = f"{plural(left, 'unit')} left"
    if not left:
        return Finding("packs", FindingState.WARNING, fact, f"Buy a pack, or tasks are refused. {LATE}")
    return Finding(
        "packs", FindingState.OK, fact, "" if has_input else "To check whether a file fits: kling-async doctor FILE"
    )


def check_latency(results: Sequence[ProbeResult]) -> Finding:
    """
    Report how fast and how reliably the service responds.
    """
    times = [each.seconds for each in results if each.answer is not None]
    lost = len(results) - len(times)
    if lost:
        fact = f"{lost} of {len(results)} requests got no response"
        advice = "The network is unreliable: submits may end as uncertain. Try another network or a cable."
        return Finding("latency", FindingState.WARNING, fact, advice)
    median = statistics.median(times)
    shown = f"{median:.1f} s" if median >= 1 else f"{max(1, round(median * 1000))} ms"
    fact = f"a request takes {shown}"
    if median <= 1:
        return Finding("latency", FindingState.OK, fact)
    advice = "Each file arrives that much later; nothing is lost. A closer host or a faster network helps."
    return Finding("latency", FindingState.WARNING, fact, advice)
