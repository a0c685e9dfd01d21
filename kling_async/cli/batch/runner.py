"""
Runs a batch as a command: adds an input to a journal, runs it, shows the progress, and stops it on Ctrl-C.
"""

import asyncio
import collections
import contextlib
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs
import typer

from kling_async.batch.batch import Batch
from kling_async.batch.executors import RemoteExecutor
from kling_async.batch.keyed import Keyed
from kling_async.batch.records import Summary
from kling_async.cli.batch.dask_cluster import cluster_at
from kling_async.cli.batch.input_checks import (
    REPORT_EVERY,
    CheckResult,
    check_input,
    good_lines,
    line_error,
    line_numbers_of,
)
from kling_async.cli.batch.input_parser import InputLine
from kling_async.cli.batch.input_source import InputSource
from kling_async.cli.batch.options import BatchOptions, CallbackServer, MissingRows
from kling_async.cli.batch.progress import BatchProgress, files_line, state_counts, units_line
from kling_async.cli.batch.resumable_emulator import resumable_emulator
from kling_async.cli.batch.screen import BatchScreen, BatchView, open_screen
from kling_async.cli.demo import request_counts
from kling_async.cli.exit_codes import OS_ERROR_ADVICE, ExitCode, advice_for, exit_code
from kling_async.cli.formatting import plural
from kling_async.cli.json_output import outcome_line
from kling_async.cli.log_forwarding import forwarding_logs
from kling_async.cli.options import check_name
from kling_async.cli.request_checks import RequestChecks, in_words, make_ready, usage_error
from kling_async.cli.service_options import ServiceOptions
from kling_async.cli.spending import SpendingOptions
from kling_async.cli.terminal import print_error, write_line
from kling_async.client.client import KlingClient
from kling_async.client.outcomes import Failed
from kling_async.errors import (
    BudgetExceeded,
    DownloadFailed,
    InvalidRequest,
    KlingError,
    StorageFull,
    SubmissionUncertain,
    WaitTimeout,
)
from kling_async.media.naming import ROW_FIELDS
from kling_async.wire.endpoints.base import TaskRequest
from kling_async.wire.endpoints.registry import endpoint_of
from kling_async.wire.redaction import shorten

__all__ = ["BatchRunner", "run_batch"]

SHOWN: Final = 20
"""
The number of uncertain rows that are listed at the end; `--status` lists all.
"""

T = TypeVar("T")

_CONTINUES: Final = "Run the same command again to continue: the journal has the state of each row."

_ADVICE: Final[Mapping[type[KlingError], str]] = {
    BudgetExceeded: "to send the other rows, run the same command again with a larger limit",
    DownloadFailed: "the files are still at the service: run the same command again to save them",
    SubmissionUncertain: (
        "possibly created and paid for: check the vendor's console; to send those that are not there again, use "
        "--resend-uncertain"
    ),
    StorageFull: "free some disk space, then run the same command again",
    WaitTimeout: "the task is still running and is paid for: run the same command again to wait for it",
}
"""
The advice that differs from that of other commands, because there is a journal.
"""


async def run_batch(
    source: InputSource,
    journal: Path,
    options: BatchOptions,
    service: ServiceOptions,
    spending: SpendingOptions,
    callback_server: CallbackServer | None,
) -> ExitCode:
    """
    Send the requests in *source*, save their files, and return the exit code.
    """
    try:
        async with contextlib.AsyncExitStack() as stack:
            server = None
            if service.is_emulated:
                server = await stack.enter_async_context(resumable_emulator(service, journal))
            client = service.make_client(server, callback_server.receiver if callback_server is not None else None)
            checks = RequestChecks(client.dialect, client.slots.limit)
            checked = await _check_all(source, checks, options)
            if callback_server is not None:
                serving = callback_server.receiver.serve(callback_server.host, callback_server.port)
                await _enter(stack, serving, "--listen")
            batch = Batch(journal, client, rebind=options.new_key, budget=spending.make_budget())
            runner = BatchRunner(client, batch, journal, options)
            await runner.open(stack)
            await runner.add(source, checks, checked)
            await runner.run()
            return await runner.sum_up(request_counts(server.ledger) if server is not None else {})
    except asyncio.CancelledError:
        print_error("", _interrupted_text(journal))
        raise


async def _check_all(source: InputSource, checks: RequestChecks, options: BatchOptions) -> CheckResult:
    # Everything that can be checked before anything is sent.
    most = 0

    def note(line: InputLine) -> None:
        nonlocal most
        most = max(most, endpoint_of(type(line.request)).files(line.request))

    checked = await check_input(source, checks, skips_invalid=options.skip_invalid, on_valid=note)
    check_name(options.name, ROW_FIELDS, files=most)
    await make_ready(options.destination, writes=options.dask is None)
    return checked


def _interrupted_text(journal: Path) -> str:
    try:
        return f"Interrupted. {_CONTINUES}" if journal.exists() else "Interrupted. Nothing was sent."
    except OSError as error:  # its folder cannot be read any more
        return f"Interrupted. {error}"


def _advice_for(error: KlingError | OSError) -> str:
    return OS_ERROR_ADVICE if isinstance(error, OSError) else _ADVICE.get(type(error)) or advice_for(error)


async def _enter(stack: contextlib.AsyncExitStack, context: contextlib.AbstractAsyncContextManager[T], hint: str) -> T:
    try:
        return await stack.enter_async_context(context)
    except OSError as error:
        raise usage_error(str(error), error, hint) from None


@attrs.define(eq=False)
class BatchRunner:
    """
    One run of a batch.

    Attributes:
        reason: The error that stopped it, if any.
        executor: Downloads and saves the files; None does so in this process.
        interrupts: How often Ctrl-C was pressed.
    """

    client: KlingClient
    batch: Batch
    journal: Path
    options: BatchOptions
    progress: BatchProgress = attrs.field(factory=BatchProgress, init=False)
    screen: BatchScreen = attrs.field(init=False)
    reason: KlingError | OSError | None = attrs.field(default=None, init=False)
    executor: RemoteExecutor | None = attrs.field(default=None, init=False)
    interrupts: int = attrs.field(default=0, init=False)
    _errors: dict[type[KlingError], KlingError] = attrs.field(factory=dict, init=False)  # the first of each kind
    _counts: collections.Counter[type[KlingError]] = attrs.field(factory=collections.Counter, init=False)
    _uncertain: list[Failed] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        view = BatchView(self.progress, self.batch.summary, lambda: self.client.unfinished)
        is_json = self.options.as_json
        # on the same terminal, redrawing would overwrite the JSON lines
        self.screen = open_screen(sys.stderr if is_json else sys.stdout, view, is_plain=is_json and sys.stdout.isatty())

    async def open(self, stack: contextlib.AsyncExitStack) -> None:
        """
        Open all resources of a run in *stack*.
        """
        # first, since closing the client and the batch may log too
        stack.enter_context(forwarding_logs(self.screen.say, self.report_trouble))
        self.executor = await stack.enter_async_context(cluster_at(self.options.dask, self.options.destination))
        await stack.enter_async_context(self.client)
        await _enter(stack, self.batch, "--journal")

    def report_trouble(self, text: str) -> None:
        """
        Show an error that is being retried.
        """
        self.progress.trouble = text
        self.screen.trouble(text)

    async def add(self, source: InputSource, checks: RequestChecks, checked: CheckResult) -> None:
        """
        Add the valid lines to the journal. End the command if it refuses one, or if the input lacks unsent rows of the
        journal and no option says what to do with them.
        """
        journal = str(self.journal)
        try:
            added = await self.batch.add(self._counted(good_lines(source, checks, checked)))
        except InvalidRequest as error:
            for broken in error.broken:
                lines = line_numbers_of(source, checks, broken)
                print_error(
                    *(line_error(number, broken) for number in lines) if lines else [in_words(broken, broken.field)]
                )
            print_error("Nothing was sent.")
            raise typer.Exit(ExitCode.USAGE) from None
        self.screen.say(f"{source.name}: {plural(added.new, 'row')} added to {journal}, {added.known:,} already there")
        if not added.missing:
            return
        missing = f"{plural(added.missing, 'unsent row')} of {journal} no longer in {source.name}"
        match self.options.missing:
            case MissingRows.REPORTED:
                print_error(
                    f"Nothing was sent: {missing}.",
                    "To send them too, use --keep-missing; to forget them (they cost nothing), use --drop-missing.",
                )
                raise typer.Exit(ExitCode.USAGE)
            case MissingRows.KEPT:
                self.screen.say(f"kept: {missing}")
            case MissingRows.DROPPED:
                await self.batch.drop_missing()
                self.screen.say(f"forgotten: {missing}")

    async def run(self) -> None:
        """
        Run until every row has ended. The first Ctrl-C stops sending, the second stops everything.
        """
        self.progress.start(await self.batch.summary())
        with self._handling_interrupts():
            async with self.screen:
                try:
                    await self._run()
                except (KlingError, OSError) as error:  # OSError: the journal or its folder became unusable
                    self.reason = error

    async def sum_up(self, facts: Mapping[str, str]) -> ExitCode:
        """
        Print the results, *facts* included, and advice about the errors; return the exit code.
        """
        with contextlib.suppress(KlingError, OSError):  # the run has reported that the journal is gone
            self.progress.summary = await self.batch.summary()
        summary = self.progress.summary
        shown = {
            "rows": ", ".join(state_counts(summary)),
            **files_line(summary),
            **units_line(summary),
            "seconds": f"{self.progress.seconds:.1f}",
        }
        self.screen.summary({**shown, **facts, "folder": str(self.options.out), "journal": str(self.journal)})
        for line in self._advice(summary):
            self.screen.say(line)
        return self._code(summary)

    async def _counted(self, lines: AsyncIterator[InputLine]) -> AsyncIterator[TaskRequest | Keyed]:
        count = 0
        async for line in lines:
            yield line.item
            count += 1
            if count % REPORT_EVERY == 0:
                print_error(f"{count:,} lines added to the journal")

    async def _run(self) -> None:
        outcomes = self.batch.run(
            self.options.destination,
            name=self.options.name,
            max_attempts=self.options.max_attempts,
            timeout=self.options.timeout,
            resend_uncertain=self.options.resend_uncertain,
            executor=self.executor,
        )
        async for outcome in outcomes:
            self.progress.note(outcome)
            if isinstance(outcome, Failed):
                self._keep(outcome)
            self.screen.ended(outcome)
            if self.options.as_json:
                write_line(sys.stdout, outcome_line(outcome))

    def _keep(self, failed: Failed) -> None:
        kind = type(failed.error)
        self._errors.setdefault(kind, failed.error)
        self._counts[kind] += 1
        if isinstance(failed.error, SubmissionUncertain) and len(self._uncertain) < SHOWN:
            self._uncertain.append(failed)

    @contextlib.contextmanager
    def _handling_interrupts(self) -> Iterator[None]:
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
        self.interrupts += 1
        if self.interrupts == 1:
            self.batch.stop()
            running = len(self.client.unfinished)
            self.screen.say(f"Stopping: nothing more is sent; waiting for {plural(running, 'running task')}.")
            self.screen.say("Press Ctrl-C again to quit immediately. Run the same command later to continue.")
        else:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)  # a third Ctrl-C is not handled
            self.screen.say("Quitting. Submits in flight have up to 10 s to return their task ids.")
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
            yield f"{plural(summary.may_retry, 'failed row')} may succeed later: run the same command again to retry"
        if summary.kept:
            yield (
                f"{plural(summary.kept, 'row')} sent with another key: kept; to continue them, use that key and "
                "--new-key"
            )
        if summary.queued:
            yield f"{plural(summary.queued, 'unsent row')}: run the same command again to continue"
        if summary.files:
            yield f"To see the files: kling-async gallery {shlex.quote(str(self.journal))}"

    def _list_uncertain(self, count: int) -> Iterator[str]:
        for failed in self._uncertain:
            yield f"  {failed.key}  {shorten(failed.caption, 50)}"
        if count > len(self._uncertain):
            yield f"  and {count - len(self._uncertain):,} more: kling-async batch --status {self.journal}"

    def _code(self, summary: Summary) -> ExitCode:
        is_done = summary.is_complete and not summary.finished
        if self.interrupts and not is_done:
            return ExitCode.INTERRUPTED
        if isinstance(self.reason, OSError) and SubmissionUncertain not in self._errors:
            return ExitCode.STORAGE
        code = exit_code([*self._errors.values(), *([self.reason] if isinstance(self.reason, KlingError) else [])])
        return ExitCode.TASK_FAILED if code is ExitCode.SUCCESS and summary.failed else code
