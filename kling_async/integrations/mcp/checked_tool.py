"""
Tools that refuse what the SDK would drop, and whose errors a model can read.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from pydantic import ValidationError

from kling_async.errors import (
    AccountProblem,
    BudgetExceeded,
    ContentRefused,
    DownloadFailed,
    InvalidRequest,
    KlingError,
    NotAllowed,
    NotAuthenticated,
    RateLimited,
    StorageFull,
    SubmissionUncertain,
    TaskFailed,
    TaskNotFound,
)
from kling_async.wire.redaction import hide_secrets
from kling_async.wire.suggestions import show_unknown, unknown_field_rule

__all__ = ["CheckedTool", "explain"]

_ADVICE: Final[Mapping[type[KlingError], str]] = {
    SubmissionUncertain: (
        "A task may exist and be paid for. Do not create it again before list_tasks or the vendor's console shows "
        "that there is none."
    ),
    BudgetExceeded: "Only the user can raise the limit: start this server with a larger --max-units or --max-cost.",
    ContentRefused: "Change the prompt or the input files.",
    NotAuthenticated: "Only the user can fix the key, in the configuration of this server.",
    NotAllowed: "Choose another model; the account has no access to this one.",
    AccountProblem: "Only the user can top up or unlock the account.",
    RateLimited: "Try again later, or wait for running tasks first.",
    TaskFailed: "Change the prompt, or try again; the vendor does not bill failed tasks.",
    TaskNotFound: "Check the id; if the task is no image-generation, give its kind.",
    DownloadFailed: "The files are paid for and still at the service: call save_task.",
    StorageFull: "The files are paid for and still at the service: free disk space, then call save_task.",
}

_NO_PRICE: Final = (
    "What this costs is not known, so it does not fit the limit; nothing was sent. Only the user can allow it: start "
    "this server with --unknown-units N, the units to count for such a request."
)


class CheckedTool(Tool):
    """
    A tool that refuses unknown arguments, and reports errors of this package in their own words.
    """

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:  # noqa: FBT001, FBT002 (the SDK's signature)
        """
        Run the tool.

        Raises:
            ToolError: Arguments are unknown, missing or of a wrong type; or what the tool raised.
        """
        if faults := list(self._faults(arguments)):
            raise ToolError("; ".join(faults))
        try:
            return await super().run(arguments, context, convert_result)
        except UnexpectedToolError as crash:
            if isinstance(crash.__cause__, KlingError):
                raise ToolError(explain(crash.__cause__)) from crash.__cause__
            if isinstance(crash.__cause__, OSError):
                raise ToolError(hide_secrets(f"{type(crash.__cause__).__name__}: {crash.__cause__}")) from None
            raise

    def _faults(self, arguments: Mapping[str, Any]) -> Iterator[str]:
        known = list(self.parameters["properties"])
        for name, value in arguments.items():
            if name not in known:
                yield f"{name}={show_unknown(name, value)}: {unknown_field_rule(self.name, name, known)}"
        try:
            self.fn_metadata.validate_arguments(dict(arguments))
        except ValidationError as error:
            for fault in error.errors(include_url=False, include_context=False, include_input=False):
                yield f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"


def explain(error: KlingError) -> str:
    """
    Return an error as a model should read it: what went wrong, and what to do.
    """
    text = str(error)
    if isinstance(error, InvalidRequest) and error.broken:
        # The last part of a rule may be for programs.
        rules = (
            f"{rule.field}={rule.value}: {rule.rule.partition('; another one passes')[0]}" for rule in error.broken
        )
        text = "; ".join(rules)
    if isinstance(error, BudgetExceeded) and error.price is None:
        return f"BudgetExceeded: {_NO_PRICE}"
    advice = next((_ADVICE[kind] for kind in type(error).__mro__ if kind in _ADVICE), "")
    return f"{type(error).__name__}: {text}{'. ' if advice else ''}{advice}"
