"""
Patterns take time in proportion to the text that they see: most of it comes from outside.

Measured in CPU time of this process, so that it does not matter what else the machine does.
"""

import ast
import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from kling_async import filenames
from kling_async.cli.doctor import findings
from kling_async.wire.redaction import hide_secrets

if TYPE_CHECKING:
    import re

PACKAGE: Final = Path(__file__).parent.parent / "kling_async"

SIZES: Final = (10_000, 100_000, 1_000_000)
"""
Characters, ascending, so that a pattern that is not linear fails at a size that still ends soon.
"""

PER_CHARACTER: Final = 5e-6
"""
Seconds of CPU; linear patterns take a fifth of it at most.
"""

PATTERNS: Final[Mapping[str, tuple[str, Sequence[str]]]] = {
    "addresses._NUMBERLIKE": ("search", ("1.", ".", "0x", "1.....", "11")),
    "cards._EMBEDDED": ("fullmatch", ("data:image/png;base64,", "=")),
    "cli.batch.inputs._NO_UTF8": ("search", ("\udc80",)),
    "cli.doctor.findings._PASTED": ("sub", ("/v1", "/v1/images/generations/", "/", "/v1/images")),
    "filenames._RESERVED": ("match", ("con ", "con")),
    "filenames._URL": ("match", ("a+", "a:")),
    "gallery.folder._DRAWN": ("match", ("a  · ", "a  ·  picture 1")),
    "rows._LASTING": ("search", ("risk contro", "polipolinot in a vali")),
    "wire.codec._SURROGATE": ("search", ("\\ud", "\\")),
    "wire.dialects.HALF_A_PAIR": ("sub", ("\ud800",)),
    "wire.redaction._BASE64": ("sub", ("a" * 199 + " ", "A+/", "a" * 199 + "=")),
    "wire.redaction._BEARER": ("sub", ("bearer ", "bearer", "bearer\t\n  ", "bearer  " * 20 + "!")),
    "wire.redaction._KEY": ("sub", ("sk-", "sk-*", "sk-a ", "-sk")),
    "wire.redaction._QUERY": ("sub", ("?a", "a?", "?a=", "?a=)", "?=", "?a=.,")),
    "wire.redaction._TOKEN": ("sub", ("eyJ-", "eyJ.", "eyJa.eyJ-", "-eyJ-", "eyJ", "eyJa..")),
    "wire.redaction._URL": ("sub", ("a://", "a://a?", "a://a?)", "a+", "a" * 21, "a://a?b=.,", ":/")),
    "wire.verdict._TASK_ID": ("search", ('"task_id": ', '"task_id":"', '"task_id":1', '"task_id":1 ')),
    "wire.webhook._SECONDS": ("fullmatch", ("1",)),
    "wire.webhook._SECRET": ("fullmatch", ("whsec_", "A=")),
    "wire.webhook._SUBMIT_KEY": ("fullmatch", ("a-",)),
}
"""
How each pattern of the package is used, and what its worst inputs are made of.
"""


def patterns_of_the_package() -> Iterator[str]:
    """
    Find the names of all compiled patterns, each after its module within the package.
    """
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=called))
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(func=called))
                ) if ast.unparse(called) == "re.compile":
                    yield f"{module}.{name}"


def bytes_as_needed(pattern: "re.Pattern[Any]", text: str) -> Any:
    return text.encode(errors="surrogatepass") if isinstance(pattern.pattern, bytes) else text


def check_cpu(read: Callable[[str], object], unit: str) -> None:
    """
    Fail where *read* takes more time than its text, made of *unit*, allows; also where the text ends in a surprise.
    """
    for size in SIZES:
        for end in ("", "!"):
            text = (unit * (size // len(unit) + 1))[:size] + end
            began = time.process_time()
            read(text)
            taken = time.process_time() - began
            assert taken <= PER_CHARACTER * size, f"{taken:.3f} s of CPU for {size} characters of {unit!r}"


def test_every_pattern_is_listed() -> None:
    """
    A new pattern is tested as the others are.
    """
    assert sorted(PATTERNS) == sorted(patterns_of_the_package())


@pytest.mark.parametrize("name", PATTERNS)
def test_pattern_is_linear(name: str) -> None:
    """
    A megabyte of the worst input takes a second or so, not minutes.
    """
    room, _, own_name = name.rpartition(".")
    pattern = getattr(importlib.import_module(f"kling_async.{room}"), own_name)
    use, units = PATTERNS[name]

    def read(text: str) -> object:
        given = bytes_as_needed(pattern, text)
        return pattern.sub(given[:0], given) if use == "sub" else getattr(pattern, use)(given)

    for unit in units:
        check_cpu(read, unit)


@pytest.mark.parametrize("unit", ["eyJ-", "eyJ.", "bearer ", "?a=", "a://a?", "sk-", "a" * 199 + " "])
def test_hiding_secrets_is_linear(unit: str) -> None:
    """
    However much of a text may be shown, all patterns together are linear too.
    """
    check_cpu(lambda text: hide_secrets(text, limit=len(text)), unit)


@pytest.mark.parametrize("unit", [" ", ". a", "/", "//v1"])
def test_cleaning_is_linear(unit: str) -> None:
    """
    Names of files and pasted addresses are cleaned by patterns of their own.
    """
    for clean in (filenames._safe_value, filenames._safe_part, findings._without_pasted):
        check_cpu(clean, unit)
