"""
What the doctor makes of what was seen: values in, findings out. No network, no clock, no environment.
"""

import enum
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal
from urllib.parse import urlsplit, urlunsplit

import attrs

from kling_async.cli.exit_codes import ExitCode, code_of
from kling_async.client.credentials import GATEWAY_URL, VENDOR_URL, blemish_of
from kling_async.client.retries import may_repeat
from kling_async.errors import (
    AccountProblem,
    InvalidRequest,
    KlingError,
    NotAllowed,
    NotAuthenticated,
    RateLimited,
    ServiceFailure,
    TaskNotFound,
    UnexpectedAnswer,
)
from kling_async.wire.answers import Answer
from kling_async.wire.auth import AccessKey, ApiKey, Credentials
from kling_async.wire.dialects import OFFICIAL, Dialect, dialect_of
from kling_async.wire.headers import find_header
from kling_async.wire.json_text import loads
from kling_async.wire.redaction import hide_query

__all__ = [
    "REGIONS",
    "SLOTS",
    "UNKNOWN_TASK_ID",
    "ConnectionResult",
    "Finding",
    "FindingState",
    "ProbeResult",
    "judge_access",
    "judge_address",
    "judge_clock",
    "judge_connection",
    "judge_key",
    "judge_lists",
    "judge_pace",
    "judge_service",
    "judge_software",
    "nearby",
    "other_regions",
    "skipped",
]

UNKNOWN_TASK_ID: Final = "kling-async-doctor"
"""
An id that no service gives to a task.
"""

REGIONS: Final = (VENDOR_URL, "https://api-beijing.klingai.com", "https://api.klingai.com")
"""
The vendor's hosts: outside China, in China, and the old one. An account and its keys belong to one region.
"""

CLOCK_MAY_BE_OFF: Final = 60.0
"""
Seconds. Tokens are dated back by 5 and signatures of callbacks are taken for 300, so it is noticed in between.
"""

SLOW: Final = 1.0
"""
Seconds from which on a question and its answer take long.
"""

_VARIABLES: Final = ("KLING_API_KEY", "KLING_ACCESS_KEY", "KLING_SECRET_KEY")
_WEBSITES: Final = ("kling.ai", "klingai.com")
_PASTED: Final = re.compile(r"/v1(/images(/generations(/.*)?)?)?$")  # of a path without slashes at its end
_NO_SUCH_PATH: Final = 1202


class FindingState(enum.StrEnum):
    """
    How it stands with what was looked at.
    """

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@attrs.frozen
class Finding:
    """
    What was looked at, what was found, and what to do about it; `advice` is empty where there is nothing to do.

    `code` is what the command ends with where this is the first problem.
    """

    check: str
    state: FindingState
    found: str
    advice: str = ""
    code: ExitCode = ExitCode.WELL


@attrs.frozen
class ConnectionResult:
    """
    How far a connection came, `trouble` None where it was made; `reason` is the system's word.
    """

    trouble: Literal["name", "time", "refusal", "certificate", "tls"] | None = None
    reason: str = ""


@attrs.frozen
class ProbeResult:
    """
    What came of one question.

    Attributes:
        answer: None where there came none.
        error: What a client makes of it, None where it would be content.
        seconds: Until the answer had been read.
        offset: By how many seconds the service's clock is ahead of ours; None where it does not tell.
    """

    answer: Answer | None
    error: KlingError | None
    seconds: float
    offset: float | None = None


SLOTS: Final = Finding(
    "slots",
    FindingState.SKIPPED,
    "how many pictures an account makes at one time shows only as they are paid for; the library finds it out",
)


def skipped(check: str, why: str) -> Finding:
    return Finding(check, FindingState.SKIPPED, why)


def judge_software(versions: Mapping[str, str | None]) -> Finding:
    """
    Tell what is installed; a version is None for what is not there.
    """
    there = ", ".join(f"{name} {version}" for name, version in versions.items() if version is not None)
    missing = [name for name, version in versions.items() if version is None]
    if not missing:
        return Finding("software", FindingState.OK, there)
    found = f"{there}; not installed: {', '.join(missing)}"
    return Finding("software", FindingState.OK, found, 'For demo, emulator and gallery: pip install "kling-async[cli]"')


def judge_key(environ: Mapping[str, str]) -> Finding:
    """
    Judge the key that a client would find in *environ*, by its looks alone; no key is ever shown.
    """
    given = {name: environ[name] for name in _VARIABLES if environ.get(name, "").strip()}
    bearer = "KLING_API_KEY" in given
    pair = [name for name in _VARIABLES[1:] if name in given]
    if not given:
        return _bad_key(
            "there is none: KLING_API_KEY is not set, and neither are KLING_ACCESS_KEY and KLING_SECRET_KEY",
            "Set KLING_API_KEY to your gateway's or the vendor's key; without an account there is kling-async demo.",
        )
    if not bearer and len(pair) == 1:
        [missing] = set(_VARIABLES[1:]) - set(pair)
        return _bad_key(f"{pair[0]} is set, {missing} is not", f"Set {missing} too: tokens are signed with both.")
    used = _VARIABLES[:1] if bearer else _VARIABLES[1:]
    for name in used:
        if trouble := blemish_of(given[name].strip()):
            return _bad_key(f"{name} {trouble[0]}", trouble[1])
    if not bearer and given[pair[0]] == given[pair[1]]:
        return _bad_key("KLING_ACCESS_KEY and KLING_SECRET_KEY are the same", "Copy both again: they are two keys.")
    return _good_key(given, used)


def _bad_key(found: str, advice: str) -> Finding:
    return Finding("key", FindingState.PROBLEM, found, advice, ExitCode.KEY)


def _good_key(given: Mapping[str, str], used: Sequence[str]) -> Finding:
    kind = "a static key" if len(used) == 1 else "access keys, with which tokens are signed"
    found = f"{' and '.join(used)}: {kind}"
    key = given[used[0]].strip()
    ignored = [name for name in given if name not in used]
    if len(used) == 1 and key in {given.get(name, "").strip() for name in _VARIABLES[1:]}:
        return _bad_key(
            f"{used[0]} is the same as one of {' and '.join(_VARIABLES[1:])}",
            "An access key is no static key: unset KLING_API_KEY to have tokens signed with the two others.",
        )
    if ignored:
        advice = f"Unset {' and '.join(ignored)}, or else {used[0]}, so that it is plain which account pays."
        return Finding(
            "key", FindingState.WARNING, f"{found}; {' and '.join(ignored)} set as well, and not used", advice
        )
    if len(used) == 1 and key.startswith("eyJ") and key.count(".") == 2:
        advice = "Set KLING_ACCESS_KEY and KLING_SECRET_KEY in its place: tokens are then renewed in time."
        return Finding(
            "key", FindingState.WARNING, f"{used[0]} is a signed token, which lasts for half an hour", advice
        )
    if any(given[name] != given[name].strip() for name in used):
        advice = "The library leaves it out; other programs may not."
        return Finding("key", FindingState.WARNING, f"{found}, with white space around", advice)
    return Finding("key", FindingState.OK, found)


def judge_address(base_url: str | InvalidRequest, source: str, dialect: Dialect, *, is_dialect_given: bool) -> Finding:
    """
    Judge where the client would turn to, and in which dialect, by its looks alone.

    Args:
        base_url: The error where a client refuses it.
        source: What it was told by.
    """
    if isinstance(base_url, InvalidRequest):
        return _bad_address(str(base_url), f"Set {source} to something like {GATEWAY_URL} or {VENDOR_URL}.")
    found = f"{base_url} ({source}), dialect {dialect.name} ({'as told' if is_dialect_given else 'by its host'})"
    if meant := _meant(base_url):
        return _bad_address(found, f"Set {source} to {meant}: the library adds /v1/images/generations itself.")
    return Finding("address", FindingState.OK, found)


def _bad_address(found: str, advice: str) -> Finding:
    return Finding("address", FindingState.PROBLEM, found, advice, ExitCode.USAGE)


def _meant(base_url: str) -> str | None:
    # What was meant by an address that cannot be right; None where it can.
    parts = urlsplit(base_url)
    host = (parts.hostname or "").removeprefix("www.").removeprefix("app.")
    if host in _WEBSITES:  # where people log in
        return VENDOR_URL
    if _is_vendors(base_url) and parts.path:
        return urlunsplit((parts.scheme, parts.netloc, "", "", ""))
    path = _without_pasted(parts.path)
    if parts.hostname == urlsplit(GATEWAY_URL).hostname and not path:
        return GATEWAY_URL
    return None if path == parts.path else urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _without_pasted(path: str) -> str:
    return _PASTED.sub("", path.rstrip("/"))


def _is_vendors(base_url: str) -> bool:
    return dialect_of(base_url) is OFFICIAL


def judge_connection(reach: ConnectionResult, base_url: str, *, has_proxy: bool) -> Finding:
    """
    Judge whether there is a way to the host. *has_proxy* is whether the environment names a proxy for it.
    """
    parts = urlsplit(base_url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    where = f"{host}:{port}"
    if reach.trouble is None:
        how = "by TLS" if parts.scheme == "https" else "by plain HTTP, on this computer"
        aside = "; the environment's proxy is not used" if has_proxy else ""
        return Finding("connection", FindingState.OK, f"{where} is there, reached {how}{aside}")
    match reach.trouble:
        case "name":
            found, advice = f"nobody knows a host {host!r}", "Check the address, and the network."
        case "time":
            found, advice = (
                f"{where} does not answer: {reach.reason}",
                "A firewall may be in between; check the network.",
            )
        case "refusal":
            found, advice = (
                f"{where} takes no connection: {reach.reason}",
                "Check host and port; does it run?",
            )
        case "certificate":
            found = f"the certificate of {where} is not good: {reach.reason}"
            advice = "Check the host's name and this computer's clock; a firewall that looks inside needs its own CA."
        case _:
            found = f"{where} does not speak TLS: {reach.reason}"
            advice = "Check the port; a service on this computer may want http://."
    if has_proxy:
        advice += " The environment names a proxy, which is used only by KlingClient(http=HttpOptions(trust_env=True))."
    return Finding("connection", FindingState.PROBLEM, found, advice, ExitCode.SERVICE)


def judge_service(heard: ProbeResult, base_url: str, better: str | None = None) -> Finding:
    """
    Judge whether it is this API that answers, whatever it says.

    Args:
        heard: About a task that is nobody's.
        better: An address at the same host at which it does answer.
    """
    found = _strangeness(heard)
    if found is None:
        return Finding("service", FindingState.OK, f"answers as a Kling API does (HTTP {_status(heard)})")
    failure, fault = heard.error, ExitCode.SERVICE
    if better is not None:
        return Finding("service", FindingState.PROBLEM, found, f"{better} does: set the base URL to that.", fault)
    if heard.answer is None:
        return Finding(
            "service", FindingState.PROBLEM, found, "Try again; if it stays so, ask who runs the service.", fault
        )
    if target := _target(heard.answer):
        return Finding("service", FindingState.PROBLEM, found, f"Set the base URL to {target}, if you trust it.", fault)
    if isinstance(failure, ServiceFailure):
        return Finding("service", FindingState.PROBLEM, found, "Try again later; other hosts may be meant, too.", fault)
    if isinstance(failure, TaskNotFound):
        advice = "Make sure that this is the base URL: many gateways want /kling at its end."
        return Finding("service", FindingState.WARNING, found, advice)
    hint = "the vendor's hosts take no path" if _is_vendors(base_url) else "many gateways want /kling at its end"
    return Finding(
        "service", FindingState.PROBLEM, found, f"Check the base URL with who runs the service: {hint}.", fault
    )


def _strangeness(heard: ProbeResult) -> str | None:
    # What is not like this API in an answer; None where all is.
    answer, error = heard.answer, heard.error
    if answer is None:
        return str(error)
    if isinstance(error, RateLimited):  # a gateway's may be empty
        return None
    if not _is_object(answer):
        if target := _target(answer):
            return f"redirects to {target} (HTTP {answer.status})"
        what = "an HTML page" if b"<html" in answer.body[:2000].lower() else "something that is no JSON"
        return f"answers with {what} (HTTP {answer.status})"
    match error:
        case ServiceFailure():
            return f"fails: {error}"
        case UnexpectedAnswer():
            return f"does not know the path of this API: {error}" if answer.status == 404 else str(error)
        case InvalidRequest() if error.code == _NO_SUCH_PATH:
            return f"does not know the path of this API: {error}"
        case TaskNotFound() if not error.code and answer.status == 404:
            return "answers 404 without a code, as any web server may"
        case _:
            return None


def _is_object(answer: Answer) -> bool:
    try:
        return isinstance(loads(answer.body), Mapping)
    except ValueError:
        return False


def _target(answer: Answer) -> str | None:
    # The base URL to which a redirect leads, where it does.
    location = find_header(answer.headers, "Location") if 300 <= answer.status < 400 else ""
    parts = urlsplit(hide_query(location))
    if not parts.hostname:
        return None
    return urlunsplit((parts.scheme, parts.netloc, _without_pasted(parts.path).rstrip("/"), "", ""))


def _status(heard: ProbeResult) -> int:
    return heard.answer.status if heard.answer is not None else 0


def nearby(base_url: str) -> tuple[str, ...]:
    """
    Return other addresses at the same host that may be meant.
    """
    parts = urlsplit(base_url)
    if _is_vendors(base_url):
        return ()
    paths = ("",) if parts.path else ("/kling", "/klingai")
    return tuple(urlunsplit((parts.scheme, parts.netloc, path, "", "")) for path in paths)


def judge_access(
    heard: ProbeResult, credentials: Credentials, base_url: str, regions: Mapping[str, bool] | None
) -> Finding:
    """
    Judge whether the service takes the key, and what a refusal may mean.

    Args:
        regions: Of the vendor's other hosts whether they take the key; None where they were not asked.
    """
    error = heard.error
    if isinstance(error, NotAuthenticated):
        advice = " ".join(_ways_in(error, credentials, base_url, regions))
        return Finding("access", FindingState.PROBLEM, f"the key is refused: {error}", advice, ExitCode.KEY)
    match error:
        case AccountProblem():
            advice = "The key is good. Top up or unlock the account; waiting does not help."
        case NotAllowed() if error.code == 1304:
            advice = "Add this computer's address to the account's list of allowed ones."
        case NotAllowed():
            advice = "The key is known, and lacks the right to this API: ask for it where the key was made."
        case RateLimited():
            advice = "Try again in a minute."
            return Finding(
                "access", FindingState.WARNING, f"too many requests, so it was not looked at: {error}", advice
            )
        case _:
            return Finding("access", FindingState.OK, "the key is accepted")
    return Finding("access", FindingState.PROBLEM, str(error), advice, code_of(error))


def _ways_in(
    error: NotAuthenticated, credentials: Credentials, base_url: str, regions: Mapping[str, bool] | None
) -> Iterator[str]:
    good = [url for url, is_taken in (regions or {}).items() if is_taken]
    if good:
        yield f"It is good at {good[0]}: set KLING_BASE_URL to that."
        return
    if error.code in (1003, 1004):
        is_signed = isinstance(credentials, AccessKey)
        yield (
            "It was signed again by the service's own clock, and refused again: tell who runs the service."
            if is_signed
            else "A token was given for a key, and is out of date: set KLING_ACCESS_KEY and KLING_SECRET_KEY instead."
        )
        return
    yield "Copy the key again, and see that it was not deleted."
    if not _is_vendors(base_url):
        if isinstance(credentials, AccessKey):
            yield "Gateways take a key of their own, KLING_API_KEY, and not the vendor's access keys."
        return
    if isinstance(credentials, ApiKey) and credentials.key.startswith("sk-"):
        yield "It begins with sk-, as keys of gateways do: is KLING_BASE_URL to be a gateway's?"
    if regions is None:
        hosts = " and ".join(other_regions(base_url))
        yield f"Or it is of another region: --all-regions tries {hosts}."
    else:
        yield "None of the vendor's other hosts takes it either."


def other_regions(base_url: str) -> tuple[str, ...]:
    """
    Return the vendor's other hosts, where *base_url* is one of the vendor's.
    """
    return tuple(url for url in REGIONS if url != base_url) if base_url in REGIONS or _is_vendors(base_url) else ()


def judge_clock(offset: float | None, credentials: Credentials) -> Finding:
    """
    Judge by how many seconds the service's clock is ahead of this computer's; None where it does not tell.
    """
    if offset is None:
        return skipped("clock", "the service does not tell its time")
    if abs(offset) <= CLOCK_MAY_BE_OFF:
        return Finding("clock", FindingState.OK, f"as the service's, to {max(1, round(abs(offset)))} s")
    found = f"this computer's clock is {_spoken(abs(offset))} {'behind' if offset > 0 else 'ahead of'} the service's"
    if isinstance(credentials, AccessKey):
        effect = "Tokens are refused at first (1003, 1004); the library then signs by the service's clock."
    else:
        effect = "A static key does not mind; signed callbacks are refused when it is 5 minutes off."
    return Finding("clock", FindingState.WARNING, found, f"Let the clock be set by NTP. {effect}")


def _spoken(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def judge_lists(
    dialect: Dialect, page: ProbeResult | None, several: ProbeResult | None, credentials: Credentials
) -> Finding:
    """
    Judge whether the service offers the ways of asking for many tasks that the dialect says it does.

    Args:
        page: What came of asking for a page; None where the dialect does not list.
        several: The same for some tasks by their ids.
    """
    if page is None and several is None:
        return Finding("lists", FindingState.OK, f"{dialect.name} services neither list tasks nor read several at once")
    ways = {
        "a page of tasks": ("lists=False", page),
        "several tasks by their ids": ("ids_per_read=1", several),
    }
    asked = {name: (change, heard.error) for name, (change, heard) in ways.items() if heard is not None}
    refused = {name: change for name, (change, error) in asked.items() if error is not None and not may_repeat(error)}
    broken = [(name, error) for name, (_, error) in asked.items() if error is not None and may_repeat(error)]
    if isinstance(credentials, AccessKey) and several is not None and isinstance(several.error, NotAuthenticated):
        refused.pop("several tasks by their ids")  # the vendor's new standard takes static keys alone
        if not refused and not broken:
            aside = "A static key could also ask for several by their ids, and wait a little cheaper."
            return Finding("lists", FindingState.OK, "gives a page of tasks", aside)
    if refused:
        told = f"dialect=attrs.evolve({dialect.name.upper()}, {', '.join(refused.values())})"
        advice = f"It works all the same, one by one. Programs say so by {told}; commands find it out."
        return Finding(
            "lists", FindingState.WARNING, f"does not give {' nor '.join(refused)}, as the dialect says", advice
        )
    if broken:
        name, error = broken[0]
        return Finding("lists", FindingState.WARNING, f"could not give {name} just now: {error}", "Try again later.")
    return Finding("lists", FindingState.OK, f"gives {' and '.join(asked)}")


def judge_pace(heard: Sequence[ProbeResult]) -> Finding:
    """
    Judge how quickly, and how surely, the service answers.
    """
    times = [each.seconds for each in heard if each.answer is not None]
    lost = len(heard) - len(times)
    if lost:
        found = f"{lost} of {len(heard)} questions got no answer"
        advice = "The network breaks: submits may end as uncertain. Try another one, or a wire."
        return Finding("pace", FindingState.WARNING, found, advice)
    median = statistics.median(times)
    shown = f"{median:.1f} s" if median >= 1 else f"{max(1, round(median * 1000))} ms"
    found = f"a question and its answer take {shown}"
    if median <= SLOW:
        return Finding("pace", FindingState.OK, found)
    advice = "Each picture is seen and fetched so much later; nothing is lost. A host or network nearer by helps."
    return Finding("pace", FindingState.WARNING, found, advice)
