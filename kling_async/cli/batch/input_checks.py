"""
Every line of an input judged before anything is sent.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final

import attrs
import typer

from kling_async.cli.batch.input_parser import InputLine
from kling_async.cli.batch.input_source import InputSource
from kling_async.cli.batch.progress import plural
from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.request_checks import RequestChecks, in_words
from kling_async.cli.screen import print_error
from kling_async.errors import BrokenRule
from kling_async.wire.redaction import one_line, shorten

__all__ = ["CheckResult", "KeyFilter", "check_input", "good_lines", "line_numbers_of", "told"]

BREATH: Final = 1000
"""
Lines after which others have their turn in the loop.
"""

TELL_EVERY: Final = 100_000
"""
Lines after which it is told how far the reading has come.
"""


@attrs.define
class CheckResult:
    """
    What a look at all lines has found.

    Attributes:
        most: Pictures of the request that asks for the most.
        repeated: Lines with a key that an earlier one has given to another request.
    """

    good: int = 0
    bad: int = 0
    most: int = 0
    repeated: set[int] = attrs.field(factory=set)


class KeyFilter:
    """
    Remembers keys in constant memory: it knows each again, and takes a few for known that are not.
    """

    def __init__(self, size: int = 2**24) -> None:
        self._size = size
        self._places = bytearray()

    def knows(self, key: str) -> bool:
        """
        Tell whether *key* may have come before, and remember it.
        """
        self._places = self._places or bytearray(self._size)
        place = hash(key) % self._size
        known, self._places[place] = bool(self._places[place]), 1
        return known


async def check_input(source: InputSource, checks: RequestChecks, *, skips_invalid: bool) -> CheckResult:
    """
    Judge every line, and name each broken rule. Ends the command where there is one, unless *skips_invalid*, and where
    nothing is left.
    """
    found = await _check(source, checks)
    lines = plural(found.good + found.bad, "line")
    if found.bad and not skips_invalid:
        print_error(
            f"Nothing was sent: {found.bad:,} of {lines} cannot be sent.",
            "Mend them, or leave them out by --skip-invalid.",
        )
        raise typer.Exit(ExitCode.USAGE)
    if not found.good:
        print_error(f"Nothing was sent: {source.name} has no {'good line' if found.bad else 'prompt'} in it.")
        raise typer.Exit(ExitCode.USAGE)
    if found.bad:
        print_error(f"{found.bad:,} of {lines} left out.")
    return found


async def _check(source: InputSource, checks: RequestChecks) -> CheckResult:
    found = CheckResult()
    memory, suspects = KeyFilter(), set[str]()
    async for line in _breathing(_lines(source, checks)):
        broken = await _broken(line, checks)
        for rule in broken:
            print_error(told(line.number, rule))
        if broken or line.request is None:
            found.bad += 1
            continue
        found.good += 1
        found.most = max(found.most, line.request.n)
        if line.key is not None and memory.knows(line.key):
            suspects.add(line.key)
        if found.good % TELL_EVERY == 0:
            print_error(f"{found.good:,} lines of {source.name} are good so far")
    if suspects:
        await _find_repeats(source, checks, suspects, found)
    return found


def _lines(source: InputSource, checks: RequestChecks) -> Iterator[InputLine]:
    # How long a line may be depends on the pictures that the service takes.
    return source.lines(checks.dialect.image_max_bytes)


async def good_lines(source: InputSource, checks: RequestChecks, found: CheckResult) -> AsyncIterator[InputLine]:
    """
    Yield the lines that may be sent.
    """
    async for line in _breathing(_lines(source, checks)):
        if not found.bad or (line.number not in found.repeated and not await _broken(line, checks)):
            yield line


def line_numbers_of(source: InputSource, checks: RequestChecks, broken: BrokenRule) -> list[int]:
    """
    Return the numbers of the lines of which a journal has said that they break a rule: it knows them by their content.
    """
    return [
        line.number
        for line in _lines(source, checks)
        if line.request is not None
        and broken.value == repr(line.key if broken.field == "key" else str(getattr(line.request, broken.field, "")))
    ]


def told(number: int, broken: BrokenRule) -> str:
    """
    Tell a broken rule on one line.
    """
    if broken.field == "line":
        return one_line(f"line {number}: {broken.value} {broken.rule}".replace("  ", " "))
    return f"line {number}: {in_words(broken, broken.field)}"


async def _broken(line: InputLine, checks: RequestChecks) -> tuple[BrokenRule, ...]:
    return line.broken if line.request is None else (*line.broken, *await checks.broken(line.request))


async def _find_repeats(source: InputSource, checks: RequestChecks, suspects: set[str], found: CheckResult) -> None:
    first: dict[str, tuple[int, int]] = {}  # the line and what tells its request from others
    async for line in _breathing(_lines(source, checks)):
        if line.key not in suspects or line.key is None or await _broken(line, checks):
            continue
        number, request = first.setdefault(line.key, (line.number, hash(line.request)))
        if request != hash(line.request):
            rule = f"is that of line {number} already, for another request"
            print_error(told(line.number, BrokenRule("key", repr(shorten(line.key)), rule)))
            found.repeated.add(line.number)
            found.good -= 1
            found.bad += 1


async def _breathing(lines: Iterable[InputLine]) -> AsyncIterator[InputLine]:
    for count, line in enumerate(lines, 1):
        if count % BREATH == 0:
            await asyncio.sleep(0)
        yield line
