"""
Troubles on order: each rule says what goes wrong, with which requests, and how often.

    Emulator(faults=[reset_after("create", rate=0.3), failing_task(prompt="storm"), bare_429("query", times=2)])

The same seed and the same order of requests bring the same troubles. A rule as text, for command lines, is
"where:kind" and its numbers: "create:reset_after:rate=0.3", "query:status:status=503:times=2".
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypedDict, Unpack, get_args

import attrs

from kling_async.emulator.ledger import Route

__all__ = [
    "Fault",
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
    "fewer_pictures",
    "garbled",
    "html",
    "html_after",
    "new_api_shape",
    "no_pictures",
    "parse_fault",
    "rate_limited",
    "reset_after",
    "reset_before",
    "seconds_for_times",
    "stall",
    "status",
    "status_after",
    "stuck_task",
    "truncated",
    "unknown_status",
]

Kind = Literal[
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
    "fewer_pictures",
    "garbled",
    "html",
    "html_after",
    "new_api_shape",
    "no_pictures",
    "rate_limited",
    "reset_after",
    "reset_before",
    "seconds_for_times",
    "stall",
    "status",
    "status_after",
    "stuck_task",
    "truncated",
    "unknown_status",
]

Where = Literal["create", "query", "list", "tasks", "picture", "any", "callback"]

EARLY: Final = frozenset({"reset_before", "status", "bare_429", "rate_limited", "html"})
"""
Kinds that answer in place of the service: the service never sees the request.
"""

LATE: Final = frozenset({"reset_after", "status_after", "html_after", "truncated", "garbled", "stall"})
"""
Kinds that spoil the answer: the service has done what was asked.
"""

DELAYS: Final = frozenset({"delay_before", "delay_after"})

SHAPES: Final = frozenset({"crazy_shape", "new_api_shape", "seconds_for_times"})
"""
Kinds that say the same in other words, as some gateways do.
"""

FATES: Final = frozenset({"failing_task", "stuck_task", "unknown_status", "no_pictures", "fewer_pictures"})
"""
Kinds that befall the task which a create makes.
"""

CALLBACKS: Final = frozenset(kind for kind in get_args(Kind) if kind.startswith("callback_"))
"""
Kinds that befall what the service sends by itself.
"""

_EXCLUSIVE: Final = (EARLY | LATE, SHAPES, frozenset({"callback_enveloped", "callback_new_standard"}))
"""
Groups of which one alone can strike a request.
"""

_COVERS: Final[dict[str, frozenset[str]]] = {
    "create": frozenset({"create"}),
    "query": frozenset({"query"}),
    "list": frozenset({"list", "tasks"}),
    "tasks": frozenset({"tasks"}),
    "picture": frozenset({"picture"}),
    "any": frozenset(get_args(Route)),
    "callback": frozenset({"callback"}),
}

_PLACES: Final[dict[str, Where]] = {
    **dict.fromkeys(FATES, "create"),
    "expired_url": "picture",
    **dict.fromkeys(CALLBACKS, "callback"),
}
"""
Where kinds strike that strike there alone.
"""


@attrs.frozen
class Fault:
    """
    One rule. The functions of this module make them, with the defaults that suit each kind.

    Attributes:
        where: Which requests: "list" is any question about many tasks, "tasks" only those by ids. "callback" is not
            among "any": it is the service that sends those.
        rate: The part of these requests that it strikes, drawn by lot.
        times: How often it strikes in all; None is for ever.
        after: How many of these requests pass unharmed first.
        prompt: Only creates whose prompt holds this text, and callbacks of such tasks.
        seconds: How many seconds, for kinds that last.
        status: The HTTP status, for kinds that have one.
        retry_after: What a `Retry-After` header says, seconds or a date; None sends none.
        message: The reason of a failing task; the word of an unknown status.
        count: Pictures too few.
    """

    kind: Kind = attrs.field(validator=attrs.validators.in_(get_args(Kind)))
    where: Where = attrs.field(default="any", validator=attrs.validators.in_(get_args(Where)))
    rate: float = attrs.field(default=1.0, kw_only=True, validator=[attrs.validators.ge(0), attrs.validators.le(1)])
    times: int | None = attrs.field(default=None, kw_only=True)
    after: int = attrs.field(default=0, kw_only=True)
    prompt: str = attrs.field(default="", kw_only=True)
    seconds: float = attrs.field(default=0.0, kw_only=True)
    status: int = attrs.field(default=500, kw_only=True)
    retry_after: str | None = attrs.field(default=None, kw_only=True)
    message: str = attrs.field(default="", kw_only=True)
    count: int = attrs.field(default=1, kw_only=True)

    def __attrs_post_init__(self) -> None:
        only = _PLACES.get(self.kind)
        if only is not None and self.where != only:
            raise ValueError(f"{self.kind} strikes where={only!r} alone")
        if only is None and self.where == "callback":
            raise ValueError(f"{self.kind} strikes no callback; that do {', '.join(sorted(CALLBACKS))}")

    def concerns(self, route: Route | Literal["callback"], prompt: str) -> bool:
        """
        Tell whether a request is one of those that the rule is about.
        """
        if self.prompt and (route not in ("create", "callback") or self.prompt not in prompt):
            return False
        return route in _COVERS[self.where]


class Which(TypedDict, total=False):
    """
    Which of the requests a rule strikes; the fields of `Fault`.
    """

    rate: float
    times: int | None
    after: int
    prompt: str


def reset_before(where: Where = "any", **which: Unpack[Which]) -> Fault:
    """
    The connection is reset, and the service has not heard the request.
    """
    return Fault("reset_before", where, **which)


def reset_after(where: Where = "create", **which: Unpack[Which]) -> Fault:
    """
    The service has done what was asked; then the connection is reset.
    """
    return Fault("reset_after", where, **which)


def delay_before(where: Where = "any", seconds: float = 1.0, **which: Unpack[Which]) -> Fault:
    """
    The request lies *seconds* on the way; the service hears it then, whether or not the sender still listens.
    """
    return Fault("delay_before", where, seconds=seconds, **which)


def delay_after(where: Where = "any", seconds: float = 1.0, **which: Unpack[Which]) -> Fault:
    """
    The service has done what was asked; its answer lies *seconds* on the way.
    """
    return Fault("delay_after", where, seconds=seconds, **which)


def status(where: Where = "any", status: int = 500, *, retry_after: str | None = None, **which: Unpack[Which]) -> Fault:
    """
    The service refuses with a HTTP status and does nothing; *retry_after* is the header's text, in seconds.
    """
    return Fault("status", where, status=status, retry_after=retry_after, **which)


def status_after(where: Where = "create", status: int = 503, **which: Unpack[Which]) -> Fault:
    """
    The service has done what was asked, and yet answers with a HTTP status that says no.
    """
    return Fault("status_after", where, status=status, **which)


def bare_429(where: Where = "any", *, retry_after: str | None = None, **which: Unpack[Which]) -> Fault:
    """
    The 429 of a gateway's own rate limit: no body at all; *retry_after* is the header's text, in seconds.
    """
    return Fault("bare_429", where, status=429, retry_after=retry_after, **which)


def rate_limited(where: Where = "any", *, retry_after: str | None = None, **which: Unpack[Which]) -> Fault:
    """
    The vendor's 1302: too many requests; *retry_after* is the header's text, in seconds.
    """
    return Fault("rate_limited", where, status=429, retry_after=retry_after, **which)


def html(where: Where = "any", status: int = 502, **which: Unpack[Which]) -> Fault:
    """
    A page of HTML from something on the way; the service has not heard the request.
    """
    return Fault("html", where, status=status, **which)


def html_after(where: Where = "create", status: int = 200, **which: Unpack[Which]) -> Fault:
    """
    A page of HTML in place of the service's answer.
    """
    return Fault("html_after", where, status=status, **which)


def truncated(where: Where = "create", **which: Unpack[Which]) -> Fault:
    """
    The connection ends in the middle of the answer.
    """
    return Fault("truncated", where, **which)


def garbled(where: Where = "create", **which: Unpack[Which]) -> Fault:
    """
    The answer is whole, but broken JSON.
    """
    return Fault("garbled", where, **which)


def stall(where: Where = "any", **which: Unpack[Which]) -> Fault:
    """
    The answer's headers come, its body never does.
    """
    return Fault("stall", where, **which)


def stuck_task(**which: Unpack[Which]) -> Fault:
    """
    The task never ends, and keeps its slots.
    """
    return Fault("stuck_task", "create", **which)


def failing_task(message: str = "Failure to pass the risk control system", **which: Unpack[Which]) -> Fault:
    """
    The service gives up on the task in the end.
    """
    return Fault("failing_task", "create", message=message, **which)


def unknown_status(word: str = "painting", **which: Unpack[Which]) -> Fault:
    """
    While the task is worked at, the service calls that by a *word* nobody has heard of.
    """
    return Fault("unknown_status", "create", message=word, **which)


def no_pictures(seconds: float = 1.0, **which: Unpack[Which]) -> Fault:
    """
    The task has succeeded, but for some *seconds* its pictures are not listed.
    """
    return Fault("no_pictures", "create", seconds=seconds, **which)


def fewer_pictures(count: int = 1, **which: Unpack[Which]) -> Fault:
    """
    The task makes *count* pictures too few.
    """
    return Fault("fewer_pictures", "create", count=count, **which)


def expired_url(**which: Unpack[Which]) -> Fault:
    """
    The picture's URL is worthless (403), as all of its task are, until the task is read again.
    """
    return Fault("expired_url", "picture", **which)


def seconds_for_times(where: Where = "any", **which: Unpack[Which]) -> Fault:
    """
    Times are in seconds in place of milliseconds.
    """
    return Fault("seconds_for_times", where, **which)


def crazy_shape(where: Where = "any", **which: Unpack[Which]) -> Fault:
    """
    Answers about a task in the shapes of crazyrouter: a video object at create, one URL and "succeeded" later.
    """
    return Fault("crazy_shape", where, **which)


def new_api_shape(where: Where = "any", **which: Unpack[Which]) -> Fault:
    """
    Answers about a task in the shapes of recent new-api gateways, the vendor's own refusals in a string.
    """
    return Fault("new_api_shape", where, **which)


def callback_lost(**which: Unpack[Which]) -> Fault:
    """
    The callback is never sent.
    """
    return Fault("callback_lost", "callback", **which)


def callback_doubled(**which: Unpack[Which]) -> Fault:
    """
    The callback is sent twice, byte by byte the same.
    """
    return Fault("callback_doubled", "callback", **which)


def callback_reordered(**which: Unpack[Which]) -> Fault:
    """
    The callback is sent after those of all later changes of its task.
    """
    return Fault("callback_reordered", "callback", **which)


def callback_delayed(seconds: float = 1.0, **which: Unpack[Which]) -> Fault:
    """
    The callback is sent *seconds* late, and signed then.
    """
    return Fault("callback_delayed", "callback", seconds=seconds, **which)


def callback_forged(**which: Unpack[Which]) -> Fault:
    """
    Somebody else says first that the task has failed, with a signature that is not the service's: once to the right
    address, and once to one with a wrong last segment.
    """
    return Fault("callback_forged", "callback", **which)


def callback_other_id(**which: Unpack[Which]) -> Fault:
    """
    The callback names the task by an id that nobody was told, as behind gateways that have ids of their own.
    """
    return Fault("callback_other_id", "callback", **which)


def callback_unsigned(**which: Unpack[Which]) -> Fault:
    """
    The callback has no signature, although the account has a secret.
    """
    return Fault("callback_unsigned", "callback", **which)


def callback_enveloped(**which: Unpack[Which]) -> Fault:
    """
    The callback's task lies in an envelope, as the answers of the service do.
    """
    return Fault("callback_enveloped", "callback", **which)


def callback_new_standard(**which: Unpack[Which]) -> Fault:
    """
    The callback words its task as the vendor's new standard does.
    """
    return Fault("callback_new_standard", "callback", **which)


_PLAIN: Final[dict[str, Fault]] = {
    fault.kind: fault
    for fault in (
        reset_before(),
        reset_after(),
        delay_before(),
        delay_after(),
        status(),
        status_after(),
        bare_429(),
        rate_limited(),
        html(),
        html_after(),
        truncated(),
        garbled(),
        stall(),
        stuck_task(),
        failing_task(),
        unknown_status(),
        no_pictures(),
        fewer_pictures(),
        expired_url(),
        seconds_for_times(),
        crazy_shape(),
        new_api_shape(),
        callback_lost(),
        callback_doubled(),
        callback_reordered(),
        callback_delayed(),
        callback_forged(),
        callback_other_id(),
        callback_unsigned(),
        callback_enveloped(),
        callback_new_standard(),
    )
}

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
}


def parse_fault(text: str) -> Fault:
    """
    Read a rule from "where:kind:name=value:..."; "kind:name=value:..." strikes where such faults mostly do.

    Raises:
        ValueError: It is no rule; the message says what would be.
    """
    words = text.split(":")
    changes: dict[str, Any] = {"where": words.pop(0)} if words[0] in _COVERS else {}
    kind = words.pop(0) if words else ""
    if kind not in _PLAIN:
        raise ValueError(f"{text!r} is no fault: write where:kind:name=value with a kind of {', '.join(_PLAIN)}")
    try:
        changes.update(_read_option(word) for word in words)
        return attrs.evolve(_PLAIN[kind], **changes)
    except ValueError as error:
        raise ValueError(f"{text!r} is no fault: {error}") from error


def _read_option(word: str) -> tuple[str, Any]:
    name, _, value = word.partition("=")
    if name not in _OPTIONS:
        raise ValueError(f"{word!r} should be name=value with a name of {', '.join(_OPTIONS)}")
    return name, _OPTIONS[name](value)


def strikes(fault: Fault, *, lot: str, seen: int, struck: int) -> bool:
    """
    Decide whether a rule strikes a request that it concerns.

    Args:
        lot: What chance follows from: equal lots, equal luck.
        seen: How many such requests came before this one.
        struck: How many of them it struck.
    """
    if seen < fault.after or (fault.times is not None and struck >= fault.times):
        return False
    return fault.rate >= 1 or random.Random(f"{lot} {seen}").random() < fault.rate  # noqa: S311 (repeatable)


@attrs.define
class _Tally:
    seen: int = 0
    struck: int = 0


class FaultPlan:
    """
    All rules of a server, and how often each has struck.
    """

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self._rules = [(fault, f"{seed} fault {place}", _Tally()) for place, fault in enumerate(faults)]

    def verdict(self, route: Route | Literal["callback"], prompt: str = "") -> list[Fault]:
        """
        Return what goes wrong with the next request of this route, or with the next callback.

        Of the kinds that take the answer's place the first rule wins, as of those that re-shape it; one that comes too
        late has not struck.
        """
        chosen: list[Fault] = []
        for fault, lot, tally in self._rules:
            if not fault.concerns(route, prompt):
                continue
            if not _is_shut_out(fault, chosen) and strikes(fault, lot=lot, seen=tally.seen, struck=tally.struck):
                tally.struck += 1
                chosen.append(fault)
            tally.seen += 1
        return chosen


def _is_shut_out(fault: Fault, chosen: Sequence[Fault]) -> bool:
    return any(fault.kind in group and other.kind in group for group in _EXCLUSIVE for other in chosen)
