"""
Reports from a journal, without running it: the progress of its batch, and where a file came from.
"""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer

from kling_async.batch.journal import Reader
from kling_async.batch.records import Row, State, Summary
from kling_async.cli.batch.progress import files_line, units_line
from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.formatting import file_noun, format_units
from kling_async.cli.json_output import row_facts, summary_facts
from kling_async.cli.terminal import aligned, print_error, write_line
from kling_async.errors import KlingError
from kling_async.media.saved_files import SavedFile
from kling_async.wire.dialects import DIALECTS
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT, caption_of, model_of
from kling_async.wire.redaction import one_line, shorten

__all__ = ["open_reader", "show_status", "trace_file"]

SHOWN: Final = 20
"""
The number of failed rows that are listed; the rest is counted.
"""


def show_status(journal: Path, *, as_json: bool) -> ExitCode:
    """
    Print the progress of the batch of *journal*.

    Raises:
        KlingError: It cannot be read.
        typer.BadParameter: It does not exist.
    """
    with open_reader(journal) as reader:
        summary, (base_url, dialect) = reader.summary(), reader.account
        uncertain = list(reader.rows(State.UNCERTAIN))
        failed, reasons = _summarize(reader.rows(State.FAILED))
    if as_json:
        facts = {"journal": str(journal), "base_url": base_url, "dialect": dialect, **summary_facts(summary)}
        facts |= {"reasons": reasons, "uncertain_rows": [row_facts(row) for row in uncertain]}
        write_line(sys.stdout, json.dumps(facts))
        return ExitCode.SUCCESS
    shown = {"journal": str(journal), "service": f"{base_url} ({dialect})", **_counts(summary, reasons)}
    lines = aligned(shown)
    if failed:
        lines += ["", "Failed:", *(f"  {_named(row)}: {row.error}" for row in failed)]
    if summary.failed > len(failed):
        lines += [f"  and {summary.failed - len(failed):,} more"]
    if uncertain:
        lines += ["", "Uncertain (possibly created and paid for: check the vendor's console; to send those that are"]
        lines += ["not there again, use --resend-uncertain):", *(f"  {_named(row)}" for row in uncertain)]
    _print(lines)
    return ExitCode.SUCCESS


def _counts(summary: Summary, reasons: Counter[str]) -> dict[str, str]:
    shown = {"rows": f"{summary.rows:,}"}
    for state in State:
        if count := getattr(summary, state.value):
            shown[f"  {state.value}"] = f"{count:,}"
    if summary.failed:
        kinds = ", ".join(f"{count:,} {name}" for name, count in reasons.most_common())
        again = f"; {summary.may_retry:,} will be retried" if summary.may_retry else ""
        shown["  failed"] += f" ({kinds}{again})"
    if summary.kept:
        shown["  of these, kept"] = f"{summary.kept:,} (sent with another key; to continue, use that key and --new-key)"
    return {**shown, **files_line(summary), **units_line(summary)}


def trace_file(path: Path, journal: Path | None, *, as_json: bool) -> ExitCode:
    """
    Print where the file at *path* came from. Without *journal*, search the journals in its folder and those above.

    Raises:
        KlingError: The journal cannot be read.
        typer.BadParameter: It does not exist.
    """
    if journal is not None:
        with open_reader(journal) as reader:
            row, dialect, searched = reader.trace(path), reader.account[1], [str(journal)]
    else:
        row, dialect, searched = _search(path)
    if row is None:
        print_error(f"{str(path)!r} is in no journal.", *(f"  searched: {name}" for name in searched))
        if journal is None:
            print_error("To search another journal, use --journal.")
        return ExitCode.USAGE
    absolute = path.absolute()
    found = next((one for one in row.files if one.path == absolute), row.files[0])
    if as_json:
        facts = row_facts(row, found)
        facts |= {"model_name": _model_of(row, dialect) or "", "is_unchanged": _is_unchanged(path, found)}
        write_line(sys.stdout, json.dumps(facts))
    else:
        _print(aligned(dict(_facts(row, found, dialect, path))))
    return ExitCode.SUCCESS


def _summarize(rows: Iterator[Row]) -> tuple[list[Row], Counter[str]]:
    # Returns the first rows, and the number of all rows for each class of error.
    first: list[Row] = []
    reasons: Counter[str] = Counter()
    for row in rows:
        reasons[type(row.error).__name__] += 1
        if len(first) < SHOWN:
            first.append(row)
    return first, reasons


def _named(row: Row) -> str:
    return f"{row.key}  {shorten(caption_of(row.request), 50)}"


def open_reader(journal: Path) -> Reader:
    """
    Open *journal* for reading.

    Raises:
        KlingError: It cannot be read.
        typer.BadParameter: It does not exist.
    """
    try:
        return Reader(journal)
    except OSError as error:
        raise typer.BadParameter(f"{str(journal)!r}: {error.strerror}") from None


def _search(file: Path) -> tuple[Row | None, str, list[str]]:
    searched = []
    for folder in file.absolute().parents:
        for path in sorted(folder.glob("*.kling")):
            try:
                with Reader(path) as reader:
                    if (row := reader.trace(file)) is not None:
                        return row, reader.account[1], []
                    searched.append(str(path))
            except (KlingError, OSError) as error:
                searched.append(f"{path} ({error})")
    return None, "", searched


def _facts(row: Row, saved: SavedFile, dialect: str, path: Path) -> Iterator[tuple[str, str]]:
    facts: dict[str, Any] = row_facts(row, saved)
    state = {None: "file missing", True: "unchanged", False: "the file has changed since"}
    yield file_noun([saved.kind]), str(path)
    if row.endpoint != DEFAULT_ENDPOINT.name:
        yield "kind", row.endpoint
    yield "prompt", caption_of(row.request)
    for name, value in facts["request"].items():
        if name != "prompt":
            yield f"  {name}", str(value)
    yield "key", row.key
    yield "task", row.task_id or ""
    if row.external_task_id is not None:
        yield "external id", row.external_task_id
    if (model := _model_of(row, dialect)) is not None:
        yield "model", model
    for moment in ("queued", "sent", "accepted", "ended", "saved"):
        if (at := facts[f"{moment}_at"]) is not None:
            yield moment, at
    yield "attempts", str(row.attempts)
    yield "units", format_units(facts["units"])
    yield "bytes", f"{saved.size_in_bytes:,}"
    yield "sha256", f"{saved.sha256} ({state[_is_unchanged(path, saved)]})"


def _model_of(row: Row, dialect: str) -> str | None:
    if dialect not in DIALECTS:
        return getattr(row.request, "model_name", None)
    return model_of(row.request, DIALECTS[dialect])


def _is_unchanged(path: Path, saved: SavedFile) -> bool | None:
    # None if the file is missing.
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == saved.sha256
    except OSError:
        return None


def _print(lines: list[str]) -> None:
    for line in lines:
        write_line(sys.stdout, one_line(line))
