"""
The page on failures: each of its rows names the tests that show it.
"""

import ast
import functools
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "failures.md"
ROWS = [row for row in PAGE.read_text().splitlines() if row.startswith("| ") and "<!--" in row]


@functools.cache
def names_in(module: str) -> list[str]:
    """
    Return the names of the tests in the modules of this name, in whichever folder, without their prefix.
    """
    trees = [ast.parse(path.read_text()) for path in TESTS.rglob(f"{module}.py")]
    nodes = (node for tree in trees for node in ast.walk(tree))
    functions = (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [node.name.removeprefix("test_") for node in functions if node.name.startswith("test_")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_each_row_is_shown_by_tests(row: str) -> None:
    """
    What a row cites is there: the beginning of a test's name, or a part of it.
    """
    cited = re.findall(r"(test_\w+): ([^;>]+?)(?=;| -->)", row)

    assert cited
    assert [] == [
        f"{module}: {name}"
        for module, names in cited
        for name in names.split(", ")
        if not any(name.removeprefix("a_") in test for test in names_in(module))
    ]


def test_no_row_is_without() -> None:
    """
    All rows cite something, but for headings and the table of states.
    """
    tables = PAGE.read_text().partition("\n## ")[2]
    rows = [row for row in tables.splitlines() if row.startswith("| ") and not row.startswith(("| what", "| ---"))]

    assert [] == [row for row in rows if row not in ROWS]
    assert len(ROWS) > 40
