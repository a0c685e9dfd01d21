"""
Checks every line of an input before anything is sent.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Final

import attrs
import typer

from kling_async.cli.batch.input_parser import InputLine
from kling_async.cli.batch.input_source import InputSource
from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.formatting import plural
from kling_async.cli.request_checks import RequestChecks, in_words
from kling_async.cli.terminal import print_error
from kling_async.errors import BrokenRule
from kling_async.wire.redaction import one_line, shorten

__all__ = ["CheckResult", "KeyFilter", "check_input", "good_lines", "line_error", "line_numbers_of"]

REPORT_EVERY: Final = 100_000
"""
The number of lines after which the progress of reading is printed.
"""

PAUSE_EVERY: Final = 1000
"""
The number of lines after which other tasks of the event loop may run.
"""


@attrs.define
class CheckResult:
    """
    The result of checking all lines.

    Attributes:
        repeated: Numbers of lines with a key that an earlier line has for another request.
    """

    good: int = 0
    bad: int = 0
    repeated: set[int] = attrs.field(factory=set)


class KeyFilter:
    """
    Recognizes repeated keys in constant memory: it reports every repeated key, and very few that are new.

    Args:
        first: The number of keys that are remembered by their hashes, which takes a third of the time. In a set, each
            takes a hundred bytes.
        size: The number of bits for all others. Each key sets two; in the default 16 MiB, ten million keys have a few
            false alarms in a thousand.
    """

    def __init__(self, first: int = 2**18, size: int = 2**27) -> None:
        self._first = first
        self._hashes = set[int]()
        self._size = size
        self._bits = bytearray()

    def add(self, key: str) -> bool:
        """
        Return whether *key* may have been added before, and add it.
        """
        hashed = hash(key)
        if hashed in self._hashes:
            return True
        if len(self._hashes) < self._first:
            self._hashes.add(hashed)
            return False
        return self._add_bits(hashed)

    def _add_bits(self, hashed: int) -> bool:
        bits = self._bits = self._bits or bytearray(self._size // 8 + 1)
        rest, one = divmod(hashed, self._size)
        other = rest % self._size
        known = bits[one >> 3] >> (one & 7) & bits[other >> 3] >> (other & 7) & 1
        if not known:
            bits[one >> 3] |= 1 << (one & 7)
            bits[other >> 3] |= 1 << (other & 7)
        return bool(known)


async def check_input(
    source: InputSource,
    checks: RequestChecks,
    *,
    skips_invalid: bool,
    on_valid: Callable[[InputLine], object] = lambda _: None,
) -> CheckResult:
    """
    Check every line and print each broken rule. End the command if there is one, unless *skips_invalid*, and if no
    line is left.

    Args:
        on_valid: Called with each line that breaks no rule, before it is known whether its key is repeated.
    """
    result = await _check(source, checks, on_valid)
    lines = plural(result.good + result.bad, "line")
    if result.bad and not skips_invalid:
        print_error(
            f"Nothing was sent: {result.bad:,} of {lines} cannot be sent.",
            "Fix them, or skip them with --skip-invalid.",
        )
        raise typer.Exit(ExitCode.USAGE)
    if not result.good:
        print_error(f"Nothing was sent: {source.name} contains no {'valid line' if result.bad else 'prompt'}.")
        raise typer.Exit(ExitCode.USAGE)
    if result.bad:
        print_error(f"{result.bad:,} of {lines} skipped.")
    return result


async def _check(source: InputSource, checks: RequestChecks, on_valid: Callable[[InputLine], object]) -> CheckResult:
    result = CheckResult()
    keys, suspects = KeyFilter(), set[str]()
    for count, line in enumerate(_lines(source, checks), 1):
        if count % PAUSE_EVERY == 0:
            await asyncio.sleep(0)
        request = line.request
        broken = None if request is None else checks.broken_without_files(request)
        broken = await _broken(line, checks) if broken is None else line.broken + broken
        for rule in broken:
            print_error(line_error(line.number, rule))
        if broken or request is None:
            result.bad += 1
            continue
        result.good += 1
        on_valid(line)
        if line.key is not None and keys.add(line.key):
            suspects.add(line.key)
        if result.good % REPORT_EVERY == 0:
            print_error(f"{result.good:,} lines of {source.name} checked")
    if suspects:
        await _find_repeats(source, checks, suspects, result)
    return result


def _lines(source: InputSource, checks: RequestChecks) -> Iterator[InputLine]:
    # The largest line depends on the images that the service accepts.
    return source.lines(checks.dialect.image_max_bytes)


async def good_lines(source: InputSource, checks: RequestChecks, found: CheckResult) -> AsyncIterator[InputLine]:
    """
    Yield the valid lines.
    """
    async for line in _yielding(_lines(source, checks)):
        if not found.bad or (line.number not in found.repeated and not await _broken(line, checks)):
            yield line


def line_numbers_of(source: InputSource, checks: RequestChecks, broken: BrokenRule) -> list[int]:
    """
    Return the numbers of the lines to which a rule of the journal applies: it reports the value, not the line.
    """
    return [
        line.number
        for line in _lines(source, checks)
        if line.request is not None
        and broken.value == repr(line.key if broken.field == "key" else str(getattr(line.request, broken.field, "")))
    ]


def line_error(number: int, broken: BrokenRule) -> str:
    """
    Return a broken rule of a line of the input as one line of text.
    """
    if broken.field == "line":
        return one_line(f"line {number}: {broken.value} {broken.rule}".replace("  ", " "))
    return f"line {number}: {in_words(broken, broken.field)}"


async def _broken(line: InputLine, checks: RequestChecks) -> tuple[BrokenRule, ...]:
    return line.broken if line.request is None else (*line.broken, *await checks.broken(line.request))


async def _find_repeats(source: InputSource, checks: RequestChecks, suspects: set[str], found: CheckResult) -> None:
    first: dict[str, tuple[int, int]] = {}  # the line, and the hash of its request
    async for line in _yielding(_lines(source, checks)):
        if line.key not in suspects or line.key is None or await _broken(line, checks):
            continue
        number, request = first.setdefault(line.key, (line.number, hash(line.request)))
        if request != hash(line.request):
            rule = f"is already the key of line {number}, for another request"
            print_error(line_error(line.number, BrokenRule("key", repr(shorten(line.key)), rule)))
            found.repeated.add(line.number)
            found.good -= 1
            found.bad += 1


async def _yielding(lines: Iterable[InputLine]) -> AsyncIterator[InputLine]:
    for count, line in enumerate(lines, 1):
        if count % PAUSE_EVERY == 0:
            await asyncio.sleep(0)
        yield line
