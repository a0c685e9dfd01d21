"""
Finds out about a service's dialect what free requests can tell, and writes it as a TOML file.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs
import typer

from kling_async.cli.doctor.findings import UNKNOWN_TASK_ID, Finding, FindingState, ProbeResult
from kling_async.client.retries import may_repeat
from kling_async.errors import AccountProblem, NotAllowed, NotAuthenticated
from kling_async.wire.dialects import DIALECTS, OFFICIAL, Dialect, toml_fields
from kling_async.wire.endpoints.base import several
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT
from kling_async.wire.http_answer import Answer
from kling_async.wire.responses import read_page, read_snapshot
from kling_async.wire.tasks import TaskSnapshot

__all__ = ["Ask", "DialectFacts", "check_new_file", "dialect_text", "find_facts", "write_dialect"]

Ask: TypeAlias = Callable[[str, Callable[[Answer], Any]], Awaitable[ProbeResult]]
"""
Sends a GET to a path, and reads the answer with a function.
"""

MOST_IDS: Final = OFFICIAL.ids_per_read


@attrs.frozen
class DialectFacts:
    """
    The fields of a dialect that free requests can tell.

    Attributes:
        known: Their values.
        unknown: For the others, why they are not known.
    """

    known: Mapping[str, Any]
    unknown: Mapping[str, str]


def check_new_file(path: Path | None) -> Path | None:
    """
    Refuse a file that cannot be created, as a callback of typer: an existing one may have been completed by hand.
    """
    if path is not None and path.exists():
        raise typer.BadParameter(f"{str(path)!r} exists; name a new file")
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {str(path.parent)!r}")
    return path


async def write_dialect(path: Path, base_url: str, dialect: Dialect, ask: Ask, packs: ProbeResult) -> Finding:
    """
    Write to *path* what is found out about the service at *base_url*; other fields are as in *dialect*.

    Raises:
        OSError: The file cannot be written, or exists.
    """
    facts = await find_facts(ask, packs)
    _write(path, dialect_text(base_url, dialect, facts))
    found = [f"{name} = {text}" for name, text in toml_fields(attrs.evolve(dialect, **facts.known)).items()]
    shown = [line for line in found if line.partition(" ")[0] in facts.known]
    missing = f"; not known: {', '.join(facts.unknown)}" if facts.unknown else ""
    advice = "Complete it from the service's documentation. Use it with --dialect, or KLING_DIALECT."
    return Finding("dialect", FindingState.OK, f"wrote {path}: {', '.join(shown) or 'nothing'}{missing}", advice)


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)


async def find_facts(ask: Ask, packs: ProbeResult) -> DialectFacts:
    """
    Find out what free requests can tell. A field is known only if a task of the account proves it, or if the service
    refuses the request: an empty list may be an answer to anything.

    Args:
        packs: Of reading the account's packs, which is allowed once in a second.
    """
    page = await ask(DEFAULT_ENDPOINT.page(1, MOST_IDS), read_page)
    tasks: list[TaskSnapshot] = page.parsed or []
    ids = [task.task_id for task in tasks[:MOST_IDS]]
    # Known ids come last: a service that reads only the first id does not return them.
    padding = [f"{UNKNOWN_TASK_ID}-{number}" for number in range(MOST_IDS - len(ids))]
    many = await ask(several([*padding, *ids]), read_page)
    answers: dict[str, bool | str] = {
        "lists": _verdict(page, is_proven=bool(tasks)),
        "external_ids": await _look_up(ask, tasks),
        "ids_per_read": _verdict(
            many, is_proven=bool(ids) and set(ids) <= {task.task_id for task in many.parsed or ()}
        ),
        "account_pages": _verdict(packs, is_proven=True),
    }
    known: dict[str, Any] = {name: answer for name, answer in answers.items() if isinstance(answer, bool)}
    if "ids_per_read" in known:
        known["ids_per_read"] = MOST_IDS if known["ids_per_read"] else 1
    return DialectFacts(known, {name: answer for name, answer in answers.items() if isinstance(answer, str)})


async def _look_up(ask: Ask, tasks: list[TaskSnapshot]) -> bool | str:
    # Look up a listed task by its external id, which the program that created it has set.
    for task in tasks:
        external_id = task.task_info.external_task_id
        if external_id and external_id != task.task_id:
            found = await ask(DEFAULT_ENDPOINT.one(external_id), read_snapshot)
            return _verdict(found, is_proven=found.parsed is not None and found.parsed.task_id == task.task_id)
    return "no task was listed that has one"


def _verdict(result: ProbeResult, *, is_proven: bool) -> bool | str:
    # Returns whether the service offers something, or why that is not known.
    if result.error is None:
        return is_proven or "no task of the account was returned"
    if may_repeat(result.error) or isinstance(result.error, NotAuthenticated | NotAllowed | AccountProblem):
        return f"the request failed ({type(result.error).__name__})"
    return False


def dialect_text(base_url: str, dialect: Dialect, facts: DialectFacts) -> str:
    """
    Return the text of a file: what differs from the base of *dialect*, and the other fields in comments.
    """
    return "\n".join(_lines(base_url, dialect, facts)) + "\n"


def _lines(base_url: str, dialect: Dialect, facts: DialectFacts) -> Iterator[str]:
    base, values = toml_fields(DIALECTS[dialect.name]), toml_fields(attrs.evolve(dialect, **facts.known))
    yield f"# The dialect of {base_url}, as kling-async doctor found it."
    yield "# Fields in comments are not set: they are as in the base. Correct them by the service's documentation."
    yield f'base = "{dialect.name}"'
    for name, value in values.items():
        if name in facts.known:
            yield f"{name} = {value}"
        elif value != base[name]:
            yield f"{name} = {value}  # as in the given dialect"
    yield ""
    for name, value in values.items():
        if name not in facts.known and value == base[name]:
            why = f"  # not known: {facts.unknown[name]}" if name in facts.unknown else ""
            yield f"# {name} = {value}{why}"
