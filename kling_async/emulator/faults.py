"""
Creates fault rules, by function and from text.

    Emulator(faults=[reset_after("create", rate=0.3), failing_task(prompt="storm"), bare_429("query", times=2)])

The same seed and the same order of requests give the same faults. As text, for command lines, a rule is "where:kind"
and its numbers: "create:reset_after:rate=0.3", "query:status:status=503:times=2".
"""

from collections.abc import Callable
from typing import Any, Final, Unpack, get_args

import attrs

from kling_async.emulator.fault_rule import Fault, Kind, Where, WhichRequests

__all__ = [
    "bare_429",
    "callback_delayed",
    "callback_doubled",
    "callback_enveloped",
    "callback_forged",
    "callback_lost",
    "callback_new_standard",
    "callback_other_id",
    "callback_reordered",
    "callback_unsigned",
    "crazy_shape",
    "delay_after",
    "delay_before",
    "expired_url",
    "failing_task",
    "fewer_files",
    "garbled",
    "html",
    "html_after",
    "late_files",
    "new_api_shape",
    "no_ranges",
    "other_version",
    "parse_fault",
    "rate_limited",
    "reset_after",
    "reset_before",
    "seconds_for_times",
    "stall",
    "status",
    "status_after",
    "stuck_task",
    "success_word",
    "truncated",
    "unknown_status",
]


def reset_before(where: Where = "any", **which: Unpack[WhichRequests]) -> Fault:
    """
    The connection is reset before the service receives the request.
    """
    return Fault("reset_before", where, **which)


def reset_after(where: Where = "create", **which: Unpack[WhichRequests]) -> Fault:
    """
    The service does what the request asks for; then the connection is reset.
    """
    return Fault("reset_after", where, **which)


def delay_before(where: Where = "any", seconds: float = 1.0, **which: Unpack[WhichRequests]) -> Fault:
    """
    The request reaches the service after *seconds*, even if the sender has stopped waiting by then.
    """
    return Fault("delay_before", where, seconds=seconds, **which)


def delay_after(where: Where = "any", seconds: float = 1.0, **which: Unpack[WhichRequests]) -> Fault:
    """
    The service does what the request asks for; its answer arrives after *seconds*.
    """
    return Fault("delay_after", where, seconds=seconds, **which)


def status(
    where: Where = "any", status: int = 500, *, retry_after: str | None = None, **which: Unpack[WhichRequests]
) -> Fault:
    """
    The service refuses with an HTTP status and does nothing; *retry_after* is the header's text, in seconds.
    """
    return Fault("status", where, status=status, retry_after=retry_after, **which)


def status_after(where: Where = "create", status: int = 503, **which: Unpack[WhichRequests]) -> Fault:
    """
    The service does what the request asks for, but answers with an HTTP status that reports a failure.
    """
    return Fault("status_after", where, status=status, **which)


def bare_429(where: Where = "any", *, retry_after: str | None = None, **which: Unpack[WhichRequests]) -> Fault:
    """
    The 429 of a gateway's own rate limit: no body at all; *retry_after* is the header's text, in seconds.
    """
    return Fault("bare_429", where, status=429, retry_after=retry_after, **which)


def rate_limited(where: Where = "any", *, retry_after: str | None = None, **which: Unpack[WhichRequests]) -> Fault:
    """
    The vendor's 1302: too many requests; *retry_after* is the header's text, in seconds.
    """
    return Fault("rate_limited", where, status=429, retry_after=retry_after, **which)


def html(where: Where = "any", status: int = 502, **which: Unpack[WhichRequests]) -> Fault:
    """
    An HTML page from a proxy; the service does not receive the request.
    """
    return Fault("html", where, status=status, **which)


def html_after(where: Where = "create", status: int = 200, **which: Unpack[WhichRequests]) -> Fault:
    """
    An HTML page in place of the service's answer.
    """
    return Fault("html_after", where, status=status, **which)


def truncated(where: Where = "create", share: float = 0.5, **which: Unpack[WhichRequests]) -> Fault:
    """
    The connection ends when this *share* of the answer has arrived.
    """
    return Fault("truncated", where, share=share, **which)


def garbled(where: Where = "create", **which: Unpack[WhichRequests]) -> Fault:
    """
    The answer is complete, but its JSON is broken.
    """
    return Fault("garbled", where, **which)


def stall(where: Where = "any", **which: Unpack[WhichRequests]) -> Fault:
    """
    The answer's headers arrive, its body never does.
    """
    return Fault("stall", where, **which)


def stuck_task(**which: Unpack[WhichRequests]) -> Fault:
    """
    The task never ends, and keeps its slots.
    """
    return Fault("stuck_task", "create", **which)


def failing_task(message: str = "Failure to pass the risk control system", **which: Unpack[WhichRequests]) -> Fault:
    """
    The task fails with *message*.
    """
    return Fault("failing_task", "create", message=message, **which)


def unknown_status(word: str = "painting", **which: Unpack[WhichRequests]) -> Fault:
    """
    While the task is processed, its status is a *word* that is not documented.
    """
    return Fault("unknown_status", "create", message=word, **which)


def success_word(word: str = "completed", **which: Unpack[WhichRequests]) -> Fault:
    """
    Once the task has succeeded, its status is *word* instead of "succeed".
    """
    return Fault("success_word", "create", message=word, **which)


def late_files(seconds: float = 1.0, **which: Unpack[WhichRequests]) -> Fault:
    """
    The task has succeeded, but lists no files for *seconds*.
    """
    return Fault("late_files", "create", seconds=seconds, **which)


def fewer_files(count: int = 1, **which: Unpack[WhichRequests]) -> Fault:
    """
    The task makes *count* fewer files than were ordered.
    """
    return Fault("fewer_files", "create", count=count, **which)


def expired_url(**which: Unpack[WhichRequests]) -> Fault:
    """
    The URL of the file is refused (403), and all URLs of its task, until the task is read again.
    """
    return Fault("expired_url", "download", **which)


def no_ranges(**which: Unpack[WhichRequests]) -> Fault:
    """
    The whole file is sent, even if a part was requested.
    """
    return Fault("no_ranges", "download", **which)


def other_version(**which: Unpack[WhichRequests]) -> Fault:
    """
    The file has other content, and so another `ETag`.
    """
    return Fault("other_version", "download", **which)


def seconds_for_times(where: Where = "any", **which: Unpack[WhichRequests]) -> Fault:
    """
    Times are in seconds instead of milliseconds.
    """
    return Fault("seconds_for_times", where, **which)


def crazy_shape(where: Where = "any", **which: Unpack[WhichRequests]) -> Fault:
    """
    Answers about a task have the shapes of crazyrouter: a video object at create, one URL and "succeeded" later.
    """
    return Fault("crazy_shape", where, **which)


def new_api_shape(where: Where = "any", **which: Unpack[WhichRequests]) -> Fault:
    """
    Answers about a task have the shapes of recent new-api gateways, with the vendor's refusals in a string.
    """
    return Fault("new_api_shape", where, **which)


def callback_lost(**which: Unpack[WhichRequests]) -> Fault:
    """
    The callback is not sent.
    """
    return Fault("callback_lost", "callback", **which)


def callback_doubled(**which: Unpack[WhichRequests]) -> Fault:
    """
    The callback is sent twice, with identical bytes.
    """
    return Fault("callback_doubled", "callback", **which)


def callback_reordered(**which: Unpack[WhichRequests]) -> Fault:
    """
    The callback is sent after those of all later changes of its task.
    """
    return Fault("callback_reordered", "callback", **which)


def callback_delayed(seconds: float = 1.0, **which: Unpack[WhichRequests]) -> Fault:
    """
    The callback is sent *seconds* late, and signed then.
    """
    return Fault("callback_delayed", "callback", seconds=seconds, **which)


def callback_forged(**which: Unpack[WhichRequests]) -> Fault:
    """
    A forged callback comes first: it reports that the task has failed, with a signature that is not the service's. It
    is sent to the right address, and to one with a wrong last segment.
    """
    return Fault("callback_forged", "callback", **which)


def callback_other_id(**which: Unpack[WhichRequests]) -> Fault:
    """
    The callback names the task by an unknown id, as behind gateways that have their own ids.
    """
    return Fault("callback_other_id", "callback", **which)


def callback_unsigned(**which: Unpack[WhichRequests]) -> Fault:
    """
    The callback has no signature, although the account has a secret.
    """
    return Fault("callback_unsigned", "callback", **which)


def callback_enveloped(**which: Unpack[WhichRequests]) -> Fault:
    """
    The callback's task is in an envelope, like the answers of the service.
    """
    return Fault("callback_enveloped", "callback", **which)


def callback_new_standard(**which: Unpack[WhichRequests]) -> Fault:
    """
    The callback describes its task in the vendor's new standard.
    """
    return Fault("callback_new_standard", "callback", **which)


_DEFAULTS: Final[dict[str, Fault]] = {kind: globals()[kind]() for kind in get_args(Kind)}
"""
A rule of each kind, as the function of that name returns it without arguments.
"""

_OPTIONS: Final[dict[str, Callable[[str], Any]]] = {
    "rate": float,
    "times": int,
    "after": int,
    "prompt": str,
    "seconds": float,
    "status": int,
    "retry_after": str,
    "message": str,
    "count": int,
    "share": float,
}


def parse_fault(text: str) -> Fault:
    """
    Read a rule from "where:kind:name=value:..."; without "where:", it applies where its kind does by default.

    Raises:
        ValueError: The text is not a rule; the message shows the format.
    """
    words = text.split(":")
    changes: dict[str, Any] = {"where": words.pop(0)} if words[0] in get_args(Where) else {}
    kind = words.pop(0) if words else ""
    if kind not in _DEFAULTS:
        raise ValueError(f"{text!r} is not a fault: write where:kind:name=value with a kind of {', '.join(_DEFAULTS)}")
    try:
        changes.update(_read_option(word) for word in words)
        return attrs.evolve(_DEFAULTS[kind], **changes)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a fault: {error}") from error


def _read_option(word: str) -> tuple[str, Any]:
    name, _, value = word.partition("=")
    if name not in _OPTIONS:
        raise ValueError(f"{word!r} should be name=value with a name of {', '.join(_OPTIONS)}")
    return name, _OPTIONS[name](value)
