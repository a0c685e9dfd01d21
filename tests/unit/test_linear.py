"""
Patterns take time in proportion to the text that they see: most of it comes from outside.

Measured in CPU time of this process, so that it does not matter what else the machine does.
"""

import ast
import collections
import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from kling_async.cli.doctor import setup_checks
from kling_async.media import naming
from kling_async.wire.other_apis import NO_ROUTE, NO_ROUTE_IN_ERROR
from kling_async.wire.redaction import hide_secrets
from kling_async.wire.relay_refusals import RELAY_REFUSALS

if TYPE_CHECKING:
    import re

PACKAGE: Final = Path(__file__).parents[2] / "kling_async"

SIZES: Final = (10_000, 100_000)
"""
Characters, ascending, so that a pattern that is not linear fails at a size that still ends soon.
"""

PER_CHARACTER: Final = 5e-6
"""
Seconds of CPU; linear patterns take a fifth of it at most.
"""

PATTERNS: Final[Mapping[str, tuple[str, Sequence[str]]]] = {
    "client.credentials._ENDPOINT": ("sub", ("/v1", "/", "/v1/images/generations", "/v1/images")),
    "policy.host_networks._NAME": ("fullmatch", ("a.", "a", "a" * 63 + ".", "..")),
    "policy.host_networks._NUMBERLIKE": ("search", ("1.", ".", "0x", "1.....", "11")),
    "policy.arguments._LABEL": ("fullmatch", ("a", "-")),
    "policy.arguments._PLACEHOLDER": ("search", ("$", "%", "<", "{", "$a")),
    "gallery.entry._URL_OR_CONTENT": ("match", ("a", "https:/", "data")),
    "integrations.mcp.drafts._ATTRIBUTE": ("findall", ("    a: b\n", "    a:\n     b", "    ")),
    "integrations.cards._EMBEDDED": ("fullmatch", ("data:image/png;base64,", "=")),
    "cli.batch.json_items._BETWEEN": ("match", (" ", "\n", "a")),
    "cli.text_input._ARRAY": ("match", ("[", "[ ", " ", "[\n")),
    "cli.text_input._FIELD": ("match", ("--- ", "- ", "a", "a ", "- a", "---\n- ")),
    "cli.text_input._LINE_END": ("search", ("a", "\n")),
    "cli.text_input._PAGE": ("match", ("<html", "<", "<!doctype")),
    "cli.text_input._WORD": ("fullmatch", ("a", "a ")),
    "cli.doctor.setup_checks._PASTED": ("sub", ("/v1", "/v1/images/generations/", "/", "/v1/images")),
    "media.responses._CONTENT_RANGE": ("fullmatch", ("bytes 0-1", "1", "bytes 0-1/")),
    "media.resumption._CONTENT_RANGE": ("fullmatch", ("bytes 0-1", "1", "bytes 0-1/")),
    "media.resumption._ETAG": ("fullmatch", ('"', '"a', "!")),
    "media.resumption._UNSATISFIED": ("fullmatch", ("bytes */", "1")),
    "emulator.host_check._HOST": ("fullmatch", ("[", "a", ":", ":1", "[]:")),
    "emulator.file_response._RANGE": ("fullmatch", ("bytes=0-", "0", "-")),
    "emulator.result_files._NAME": ("fullmatch", ("0", "0-watermark", ".png")),
    "media.file_formats._BOX_TYPE": ("fullmatch", ("a", " ")),
    "media.file_formats._COUNTS": ("search", ("Xing", "Info", "Xing\0\0\0\1", "X")),
    "media.naming._RESERVED": ("match", ("con ", "con")),
    "media.naming._URL": ("match", ("a+", "a:")),
    "media.naming._WIDE": ("search", ("0", "{", "{a:0", "9", ":1")),
    "media.file_formats._MARKER": ("search", ("\xff", "\xff\xd9", "\xd8", "a")),
    "gallery.folder_entries._EMULATED": ("match", ("a  · ", "a  ·  picture 1")),
    "policy.proxies._BRACKETS": ("fullmatch", ("[", "1", "[1]")),
    "policy.proxies._OTHER_KIND": ("match", ("a", "a+", "a:")),
    "policy.proxies._PATTERN": ("fullmatch", ("a", "*", "a.-")),
    "batch.records._LASTING": ("search", ("risk contro", "polipolinot in a vali")),
    "media.urls._ABSOLUTE": ("match", ("a", "a:", "a+")),
    "media.urls._BASE64": ("fullmatch", ("A", "A=", "=")),
    "wire.json_text._SURROGATE": ("search", ("\\ud", "\\")),
    "wire.endpoints.rules._CONTROL": ("search", ("a", "\t")),
    "wire.endpoints.rules.HALF_A_PAIR": ("sub", ("\ud800",)),
    "wire.headers._NUMBER": ("fullmatch", ("1", "1.", ".")),
    "wire.headers._TIMEOUT": ("search", (",", ",\t\t", ",timeout=1", "timeout=")),
    "wire.other_apis._NO_ROUTE_IN_TEXT": (
        "fullmatch",
        ("404 ", "cannot get /", "not found", "the page could not be found"),
    ),
    "wire.image_headers._FILL": ("fullmatch", ("\xff",)),
    "wire.image_headers._MARKER": ("search", ("\xff", "a", "\xd8")),
    "wire.redaction._BASE64": ("sub", ("a" * 199 + " ", "A+/", "a" * 199 + "=")),
    "wire.redaction._BEARER": ("sub", ("bearer ", "bearer", "bearer\t\n  ", "bearer  " * 20 + "!")),
    "wire.redaction._KEY": ("sub", ("sk-", "sk-*", "sk-a ", "-sk")),
    "wire.redaction._QUERY": ("sub", ("?a", "a?", "?a=", "?a=)", "?=", "?a=.,")),
    "wire.redaction._TOKEN": ("sub", ("eyJ-", "eyJ.", "eyJa.eyJ-", "-eyJ-", "eyJ", "eyJa..")),
    "wire.redaction._URL": ("sub", ("a://", "a://a?", "a://a?)", "a+", "a" * 21, "a://a?b=.,", ":/")),
    "wire.error_answers._TASK_ID": ("search", ('"task_id": ', '"task_id":"', '"task_id":1', '"task_id":1 ')),
    "wire.webhooks._SECONDS": ("fullmatch", ("1",)),
    "wire.webhooks._SECRET": ("fullmatch", ("whsec_", "A=")),
    "wire.webhooks._SUBMIT_KEY": ("fullmatch", ("a-",)),
}
"""
How each pattern of the package is used, and what its worst inputs are made of.
"""


IN_TABLES: Final = frozenset({"wire.relay_refusals"})
"""
Modules that have patterns in tables, too. Those of `wire.other_apis` are text, compiled when an answer is compared.
"""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        yield name, ast.parse(path.read_text())


def is_compiled(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr="compile")):
            return True
    return False


def patterns_of_the_package() -> Iterator[str]:
    """
    Find the names of all compiled patterns, each after its module within the package.
    """
    for module, tree in modules():
        for node in ast.walk(tree):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                    if node.value is not None and is_compiled(node.value):
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

    compiled = {module: sum(map(is_compiled, ast.walk(tree))) for module, tree in modules()}
    listed = collections.Counter(name.rpartition(".")[0] for name in PATTERNS)
    assert IN_TABLES == {module for module, count in compiled.items() if count != listed[module]}


@pytest.mark.parametrize("name", PATTERNS)
def test_pattern_is_linear(name: str) -> None:
    """
    A hundred kilobytes of the worst input take half a second at most, not minutes.
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
    for clean in (naming._safe_value, naming._safe_part, setup_checks.without_endpoint):
        check_cpu(clean, unit)


@pytest.mark.parametrize("unit", ["RoutingError", "No route matches", "No route found for ", "Route GET:/", "\\"])
def test_other_apis_are_recognized_in_linear_time(unit: str) -> None:
    """
    Whatever their answers hold.
    """

    def read(text: str) -> None:
        for route in (*NO_ROUTE, *NO_ROUTE_IN_ERROR):
            route.fits(dict.fromkeys({*route.words, *route.needs}, text))

    check_cpu(read, unit)


@pytest.mark.parametrize("unit", ["分组 ", "分组 a 下", "分组 a 下模型 ", "当前", "No available channel"])
def test_refusals_of_relays_are_recognized_in_linear_time(unit: str) -> None:
    """
    Whatever their messages hold.
    """
    for words in (refusal.words for refusal in RELAY_REFUSALS if refusal.words is not None):
        check_cpu(words.match, unit)
