"""
Checks before anything is sent: all rules of all requests, and whether files can be saved.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import typer

from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.terminal import print_error
from kling_async.errors import BrokenRule
from kling_async.policy.arguments import slots_rule
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint, TaskRequest, may_have_files
from kling_async.wire.endpoints.registry import endpoint_of
from kling_async.wire.redaction import one_line

if TYPE_CHECKING:
    from kling_async.client.client import KlingClient
    from kling_async.media.input_files import ReferenceCache
    from kling_async.media.storage import Storage

__all__ = ["RequestChecks", "check_requests", "in_words", "make_folder", "make_ready", "usage_error"]

_FACTS_KEPT: Final = 1000  # of pictures; a few words each


@attrs.define(eq=False)
class RequestChecks:
    """
    The rules that requests must keep. A reference image that many requests share is read once.

    Attributes:
        slots: The number of slots that was set, if any.
    """

    dialect: Dialect
    slots: int | None
    _files: "ReferenceCache | None" = attrs.field(default=None, init=False)

    async def broken(self, request: TaskRequest) -> tuple[BrokenRule, ...]:
        """
        Return every rule that *request* breaks.
        """
        broken = self.broken_without_files(request)
        if broken is None:
            from kling_async.media.input_files import ReferenceCache, read_inputs  # noqa: PLC0415 (most have no files)

            self._files = self._files or ReferenceCache(_FACTS_KEPT, keeps_text=False)
            _, broken = await read_inputs(request, self.dialect, self._files)
            return self._with_slots(endpoint_of(type(request)), request, broken)
        return broken

    def broken_without_files(self, request: TaskRequest) -> tuple[BrokenRule, ...] | None:
        """
        Do what `broken` does, in less time; return None if *request* may have files, which have to be read first.
        """
        endpoint = endpoint_of(type(request))
        if may_have_files(endpoint, request):
            return None
        return self._with_slots(endpoint, request, tuple(endpoint.rules(request, self.dialect, {})))

    def _with_slots(
        self, endpoint: Endpoint[Any], request: TaskRequest, broken: tuple[BrokenRule, ...]
    ) -> tuple[BrokenRule, ...]:
        if self.slots is None:
            return broken
        slots: object = endpoint.slots(request)
        if not isinstance(slots, int) or any(rule.value == repr(slots) for rule in broken):
            return broken  # n itself is wrong
        return (*broken, slots_rule(slots, self.slots)) if slots > self.slots else broken


async def check_requests(client: "KlingClient", requests: Sequence[TaskRequest], *, has_options: bool = True) -> None:
    """
    Print each rule that *requests* break, once; end the command if there is one. With *has_options* a field is called
    by the name of its option.
    """
    checks = RequestChecks(client.dialect, client.slots.limit)
    lines: dict[str, None] = {}  # a set that keeps its order
    for number, request in enumerate(requests, 1):
        for rule in await checks.broken(request):
            lines[_in_words(rule, number) if has_options else in_words(rule, rule.field)] = None
    if lines:
        print_error("Nothing was sent, because of broken rules:", *(f"  {line}" for line in lines))
        raise typer.Exit(ExitCode.USAGE)


def in_words(broken: BrokenRule, name: str) -> str:
    """
    Return a broken rule on one line, with *name* for the field.
    """
    rule = broken.rule.partition("; another one passes with attrs")[0]  # this part is for programs
    return one_line(f"{name} {broken.value}: {rule}")


def _in_words(broken: BrokenRule, number: int) -> str:
    return in_words(broken, f"prompt {number}" if broken.field == "prompt" else "--" + broken.field.replace("_", "-"))


async def make_ready(destination: "Path | Storage", *, writes: bool = True) -> None:
    """
    Check that files can be saved, before any is paid for. With *writes* False a storage is opened but not written
    to: the workers of a cluster will do that.

    Raises:
        typer.BadParameter: They cannot be saved.
    """
    if isinstance(destination, Path):
        make_folder(destination)
        return
    try:
        await destination.check(writes=writes)
    except (ValueError, ImportError) as error:
        raise typer.BadParameter(str(error), param_hint="--out") from None
    except OSError as error:
        raise usage_error(str(error), error, "--out") from None


def make_folder(folder: Path, option: str = "--out") -> None:
    """
    Check that files can be saved in *folder*, before any is paid for. *option* names it.

    Raises:
        typer.Exit: The disk is full, or has no inodes left.
        typer.BadParameter: They cannot be saved for another reason.
    """
    trial = folder / ".kling-async"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        what = f"cannot save to {str(folder)!r}: {error.strerror or error}"
        raise usage_error(what, error, option) from None


def usage_error(what: str, error: OSError, option: str) -> Exception:
    """
    Return the exception that ends the command because of *error*, before anything was sent: either the value of
    *option* is wrong, or the disk is full.
    """
    from kling_async.media.local import OUT_OF_SPACE  # noqa: PLC0415 (checks of requests do without it)

    if error.errno not in OUT_OF_SPACE:
        return typer.BadParameter(what, param_hint=option)
    print_error(f"{option}: {what}", "Nothing was sent. Free some disk space, then run the same command again.")
    return typer.Exit(ExitCode.STORAGE)
