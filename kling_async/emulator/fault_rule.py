"""
One fault rule: what goes wrong, with which requests, and how often.
"""

from typing import Final, Literal, TypedDict, get_args

import attrs

from kling_async.emulator.ledger import Route

__all__ = ["AFTER_SERVICE", "BEFORE_SERVICE", "CALLBACK_KINDS", "RESHAPING", "Fault", "Kind", "Where", "WhichRequests"]

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
    "fewer_files",
    "garbled",
    "html",
    "html_after",
    "late_files",
    "new_api_shape",
    "no_ranges",
    "other_version",
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

Where = Literal["create", "query", "list", "tasks", "call", "download", "any", "callback"]

BEFORE_SERVICE: Final = frozenset({"reset_before", "status", "bare_429", "rate_limited", "html"})
"""
Kinds that answer in place of the service, which never receives the request.
"""

AFTER_SERVICE: Final = frozenset({"reset_after", "status_after", "html_after", "truncated", "garbled", "stall"})
"""
Kinds that spoil the answer: the service has done what the request asks for.
"""

RESHAPING: Final = frozenset({"crazy_shape", "new_api_shape", "seconds_for_times"})
"""
Kinds that give the answer another shape, as some gateways do.
"""

CALLBACK_KINDS: Final = frozenset(kind for kind in get_args(Kind) if kind.startswith("callback_"))
"""
Kinds for the callbacks that the service sends.
"""

# created by a request
_OF_TASKS: Final = ("failing_task", "stuck_task", "unknown_status", "success_word", "late_files", "fewer_files")

_ONLY_WHERE: Final[dict[str, Where]] = {
    **dict.fromkeys(_OF_TASKS, "create"),
    **dict.fromkeys(("expired_url", "no_ranges", "other_version"), "download"),
    **dict.fromkeys(CALLBACK_KINDS, "callback"),
}
"""
The only place where some kinds can apply.
"""

_ROUTES: Final[dict[Where, frozenset[str]]] = {
    "create": frozenset({"create"}),
    "query": frozenset({"query"}),
    "list": frozenset({"list", "tasks"}),
    "tasks": frozenset({"tasks"}),
    "call": frozenset({"call"}),
    "download": frozenset({"download"}),
    "any": frozenset(get_args(Route)),
    "callback": frozenset({"callback"}),
}


@attrs.frozen
class Fault:
    """
    One rule. The functions of `kling_async.emulator.faults` create them, with the defaults that suit each kind.

    Attributes:
        where: The requests it applies to: "list" is any request for many tasks, "tasks" only those by ids, "call" what
            is answered at once. "any" does not include "callback", since the service sends those.
        rate: The share of these requests that it applies to, chosen at random.
        times: How often it applies in total; None sets no limit.
        after: How many of these requests pass first.
        prompt: Only creates whose prompt contains this text, and callbacks of such tasks.
        seconds: Seconds that the fault lasts, for kinds that last.
        status: The HTTP status, for kinds that have one.
        retry_after: The value of a `Retry-After` header, seconds or a date; None sends no header.
        message: The reason why a task fails; the word for a status.
        count: How many files are missing.
        share: How much of a truncated answer arrives: 0 is nothing, 1 all.
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
    share: float = attrs.field(default=0.5, kw_only=True, validator=[attrs.validators.ge(0), attrs.validators.le(1)])

    def __attrs_post_init__(self) -> None:
        only = _ONLY_WHERE.get(self.kind)
        if only is not None and self.where != only:
            raise ValueError(f"{self.kind} applies only where={only!r}")
        if only is None and self.where == "callback":
            kinds = ", ".join(sorted(CALLBACK_KINDS))
            raise ValueError(f"{self.kind} does not apply to callbacks; kinds that do are {kinds}")

    def matches(self, route: Route | Literal["callback"], prompt: str) -> bool:
        """
        Return whether the rule is about such requests.
        """
        if self.prompt and (route not in ("create", "callback") or self.prompt not in prompt):
            return False
        return route in _ROUTES[self.where]


class WhichRequests(TypedDict, total=False):
    """
    The fields of `Fault` that select requests.
    """

    rate: float
    times: int | None
    after: int
    prompt: str
