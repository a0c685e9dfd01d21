"""
A batch as a command: an input and a journal to files, shown while it goes on, and stopped in good order.
"""

import asyncio
import collections
import contextlib
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final, TypeVar

import attrs
import typer

from kling_async.batch.batch import Batch
from kling_async.batch.executors import RemoteExecutor
from kling_async.batch.inputs import Keyed
from kling_async.batch.records import Summary
from kling_async.cli.batch.dask_cluster import cluster_at
from kling_async.cli.batch.input_checks import TELL_EVERY, CheckResult, check_input, good_lines, line_numbers_of, told
from kling_async.cli.batch.input_parser import InputLine
from kling_async.cli.batch.input_source import InputSource
from kling_async.cli.batch.options import BatchOptions, MissingRows
from kling_async.cli.batch.progress import BatchProgress, plural, size, states, units
from kling_async.cli.batch.resumable_emulator import emulated
from kling_async.cli.batch.screen import LiveScreen, PlainScreen, View, open_screen
from kling_async.cli.demo import requests_made
from kling_async.cli.exit_codes import ADVICE_OF_SYSTEM, ExitCode, advice_for, exit_code
from kling_async.cli.json_output import outcome_line
from kling_async.cli.log_forwarding import forwarding_logs
from kling_async.cli.options import check_names
from kling_async.cli.request_checks import RequestChecks, in_words, make_ready, refusal
from kling_async.cli.screen import print_error, write_line
from kling_async.client.client import KlingClient
from kling_async.client.outcomes import Failed
from kling_async.errors import DownloadFailed, InvalidRequest, KlingError, StorageFull, SubmissionUncertain, WaitTimeout
from kling_async.media.naming import Names
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.redaction import shorten

__all__ = ["BatchRunner", "run_batch"]

SHOWN: Final = 20
"""
Uncertain rows that are listed at the end; `--status` lists all.
"""

T = TypeVar("T")

_GOES_ON: Final = "The journal knows how far each row has come: the same command goes on from there."

_ADVICE: Final[Mapping[type[KlingError], str]] = {
    DownloadFailed: "the pictures are still there: the same command fetches them again",
    SubmissionUncertain: (
        "may have been made and paid for: look into the vendor's console; what is not there is sent again with "
        "--resend-uncertain"
    ),
    StorageFull: "make room on the disk, then run the same command again",
    WaitTimeout: "the task goes on and is paid for: the same command waits for it again",
}
"""
What to do where there is a journal; else it is what other commands say.
"""


async def run_batch(source: InputSource, plan: BatchOptions) -> ExitCode:
    """
    Send what *source* asks for, save what comes of it, and return how it went.
    """
    try:
        async with contextlib.AsyncExitStack() as stack:
            return await _perform(source, plan, stack)
    except asyncio.CancelledError:
        print_error("", _farewell(plan))
        raise


def _farewell(plan: BatchOptions) -> str:
    try:
        return f"Interrupted. {_GOES_ON}" if plan.journal.exists() else "Interrupted. Nothing was sent."
    except OSError as error:  # its folder was closed to us
        return f"Interrupted. {error}"


def _advice_for(error: KlingError | OSError) -> str:
    return ADVICE_OF_SYSTEM if isinstance(error, OSError) else _ADVICE.get(type(error)) or advice_for(error)


async def _perform(source: InputSource, plan: BatchOptions, stack: contextlib.AsyncExitStack) -> ExitCode:
    server = None
    if plan.access.is_emulated:
        server = await stack.enter_async_context(emulated(plan.access, plan.journal))
    client = plan.access.make_client(server, plan.hook.receiver if plan.hook is not None else None)
    checks = RequestChecks(client.dialect, client.slots)
    checked = await check_input(source, checks, skips_invalid=plan.skips_invalid)
    check_names(Names(plan.name, "0", "0"), checked.most)
    await make_ready(plan.out, writes=plan.scheduler is None)
    if plan.hook is not None:
        await _enter(stack, plan.hook.receiver.serve(plan.hook.host, plan.hook.port), "--listen")
    batch = Batch(plan.journal, client, rebind=plan.rebinds)
    work = BatchRunner(client, batch, plan)
    stack.enter_context(
        forwarding_logs(work.screen.say, work.tell_trouble)
    )  # to the end: closing may have something to say
    work.executor = await stack.enter_async_context(cluster_at(plan.scheduler, plan.out))
    await stack.enter_async_context(client)
    await _enter(stack, batch, "--journal")
    await work.add(source, checks, checked)
    await work.run()
    return await work.sum_up(requests_made(server.ledger) if server is not None else {})


async def _enter(stack: contextlib.AsyncExitStack, context: contextlib.AbstractAsyncContextManager[T], hint: str) -> T:
    try:
        return await stack.enter_async_context(context)
    except OSError as error:
        raise refusal(str(error), error, hint) from None


@attrs.define(eq=False)
class BatchRunner:
    """
    One run of a batch.

    Attributes:
        reason: Why it was stopped, by the service or the disk.
        engine: Who fetches and saves the pictures; None for this process.
        presses: How often somebody wanted it to stop.
    """

    client: KlingClient
    batch: Batch
    plan: BatchOptions
    progress: BatchProgress = attrs.field(factory=BatchProgress, init=False)
    screen: LiveScreen | PlainScreen = attrs.field(init=False)
    reason: KlingError | OSError | None = attrs.field(default=None, init=False)
    executor: RemoteExecutor | None = attrs.field(default=None, init=False)
    presses: int = attrs.field(default=0, init=False)
    _errors: dict[type[KlingError], KlingError] = attrs.field(factory=dict, init=False)  # the first of each kind
    _counts: collections.Counter[type[KlingError]] = attrs.field(factory=collections.Counter, init=False)
    _uncertain: list[Failed] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        view = View(self.progress, self.batch.summary, lambda: self.client.unfinished)
        is_json = self.plan.as_json
        # both on one terminal: what moves would swallow the lines
        self.screen = open_screen(sys.stderr if is_json else sys.stdout, view, is_plain=is_json and sys.stdout.isatty())

    def tell_trouble(self, text: str) -> None:
        """
        Show that something is tried again.
        """
        self.progress.trouble = text
        self.screen.trouble(text)

    async def add(self, source: InputSource, checks: RequestChecks, checked: CheckResult) -> None:
        """
        Add the good lines to the journal. Ends the command where that cannot be, or where rows are missing in the input
        and nobody has said what is to become of them.
        """
        journal = str(self.plan.journal)
        try:
            added = await self.batch.add(self._counted(good_lines(source, checks, checked)))
        except InvalidRequest as error:
            for broken in error.broken:
                lines = line_numbers_of(source, checks, broken)
                print_error(*(told(number, broken) for number in lines) if lines else [in_words(broken, broken.field)])
            print_error("Nothing was sent.")
            raise typer.Exit(ExitCode.USAGE) from None
        self.screen.say(f"{source.name}: {added.new:,} rows new in {journal}, {added.known:,} known")
        if not added.missing:
            return
        missing = f"{plural(added.missing, 'row')} of {journal}, still to be sent, not in {source.name} any more"
        match self.plan.missing:
            case MissingRows.REPORTED:
                print_error(
                    f"There are rows missing: {missing}.",
                    "Nothing was sent. --keep-missing makes them as well; --drop-missing forgets them (nothing was "
                    "paid for them).",
                )
                raise typer.Exit(ExitCode.USAGE)
            case MissingRows.KEPT:
                self.screen.say(f"kept: {missing}")
            case MissingRows.DROPPED:
                await self.batch.drop_missing()
                self.screen.say(f"forgotten: {missing}")

    async def run(self) -> None:
        """
        Bring every row to its end, or as far as it goes. The first Ctrl-C stops the sending, the second all.
        """
        self.progress.start(await self.batch.summary())
        with self._heeding_interrupts():
            async with self.screen:
                try:
                    await self._run()
                except (KlingError, OSError) as error:  # OSError: the journal, or its folder, cannot be used any more
                    self.reason = error

    async def sum_up(self, facts: Mapping[str, str]) -> ExitCode:
        """
        Show what came of it all, *facts* included, and what to do about what went wrong.
        """
        with contextlib.suppress(KlingError, OSError):  # a journal that was moved away has been told of
            self.progress.summary = await self.batch.summary()
        summary = self.progress.summary
        shown = {
            "rows": ", ".join(states(self.progress.summary)),
            "pictures": f"{summary.files:,} ({size(summary.bytes)})",
            "units": units(summary),
            "seconds": f"{self.progress.seconds:.1f}",
        }
        self.screen.summary({**shown, **facts, "folder": str(self.plan.out), "journal": str(self.plan.journal)})
        for line in self._advice(summary):
            self.screen.say(line)
        return self._code(summary)

    async def _counted(self, lines: AsyncIterator[InputLine]) -> AsyncIterator[ImageRequest | Keyed]:
        count = 0
        async for line in lines:
            yield line.item
            count += 1
            if count % TELL_EVERY == 0:
                print_error(f"{count:,} are in the journal so far")

    async def _run(self) -> None:
        outcomes = self.batch.run(
            self.plan.out,
            name=self.plan.name,
            max_attempts=self.plan.max_attempts,
            timeout=self.plan.timeout,
            resend_uncertain=self.plan.resends_uncertain,
            executor=self.executor,
        )
        async for outcome in outcomes:
            self.progress.note(outcome)
            if isinstance(outcome, Failed):
                self._keep(outcome)
            self.screen.ended(outcome)
            if self.plan.as_json:
                write_line(sys.stdout, outcome_line(outcome))

    def _keep(self, failed: Failed) -> None:
        kind = type(failed.error)
        self._errors.setdefault(kind, failed.error)
        self._counts[kind] += 1
        if isinstance(failed.error, SubmissionUncertain) and len(self._uncertain) < SHOWN:
            self._uncertain.append(failed)

    @contextlib.contextmanager
    def _heeding_interrupts(self) -> Iterator[None]:
        loop, aio_task = asyncio.get_running_loop(), asyncio.current_task()
        if aio_task is None or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell
            yield
            return
        with contextlib.suppress(NotImplementedError):  # on Windows
            loop.add_signal_handler(signal.SIGINT, self._interrupt, aio_task)
        try:
            yield
        finally:
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(signal.SIGINT)

    def _interrupt(self, aio_task: "asyncio.Task[Any]") -> None:
        self.presses += 1
        if self.presses == 1:
            self.batch.stop()
            under_way = len(self.client.unfinished)
            self.screen.say(
                f"Stopping: nothing more is sent, and {plural(under_way, 'task')} under way will be finished."
            )
            self.screen.say("Ctrl-C again leaves at once; either way the same command goes on later.")
        else:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)  # the next one waits for nothing
            self.screen.say("Leaving. Submits on their way have up to 10 s to learn their task's id.")
            aio_task.cancel()

    def _advice(self, summary: Summary) -> Iterator[str]:
        if self.reason is not None:
            yield f"Stopped: {type(self.reason).__name__}: {self.reason}"
            yield f"  {_advice_for(self.reason)}"
        for kind, count in self._counts.items():
            yield f"{count:,} {kind.__name__}: {_advice_for(self._errors[kind])}"
            if kind is SubmissionUncertain:
                yield from self._list_uncertain(count)
        if summary.may_retry:
            yield f"{plural(summary.may_retry, 'failed row')} may go well another time: the same command tries again"
        if summary.kept:
            yield (
                f"{plural(summary.kept, 'row')} sent with another key: they are kept, and --new-key with that key goes "
                "on with them"
            )
        if summary.queued:
            yield f"{plural(summary.queued, 'row')} still to be sent: the same command goes on"
        if summary.files:
            yield f"See them: kling-async gallery {shlex.quote(str(self.plan.journal))}"

    def _list_uncertain(self, count: int) -> Iterator[str]:
        for failed in self._uncertain:
            yield f"  {failed.key}  {shorten(failed.caption, 50)}"
        if count > len(self._uncertain):
            yield f"  and {count - len(self._uncertain):,} more: kling-async batch --status {self.plan.journal}"

    def _code(self, summary: Summary) -> ExitCode:
        is_done = summary.is_complete and not summary.finished
        if self.presses and not is_done:
            return ExitCode.INTERRUPTED
        if isinstance(self.reason, OSError) and SubmissionUncertain not in self._errors:
            return ExitCode.STORAGE
        code = exit_code([*self._errors.values(), *([self.reason] if isinstance(self.reason, KlingError) else [])])
        return ExitCode.TASK_FAILED if code is ExitCode.WELL and summary.failed else code
