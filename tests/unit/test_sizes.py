"""
Modules and classes that a reader can hold in mind: how many lines they may have.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import kling_async

PACKAGE: Final = Path(kling_async.__file__).parent

MODULE_LINES: Final = 450
CLASS_LINES: Final = 250
FACADE_LINES: Final = 300  # of `KlingClient`, most of which are docstrings and overloads
ENTRIES: Final = 10


def classes() -> Iterator[tuple[str, int]]:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                yield node.name, (node.end_lineno or 0) - node.lineno + 1


def test_no_module_is_long() -> None:
    """
    A longer one holds more than one decision.
    """
    lines = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}

    assert {} == {name: count for name, count in lines.items() if count > MODULE_LINES}


def test_no_class_is_long() -> None:
    """
    A longer one has more than one task.
    """
    limits = {"KlingClient": FACADE_LINES}

    assert {} == {name: count for name, count in classes() if count > limits.get(name, CLASS_LINES)}


def test_the_package_has_few_entries() -> None:
    """
    As many as one sees at a glance, besides what Python itself needs.
    """
    entries = [path for path in PACKAGE.iterdir() if not path.name.startswith("__") and path.suffix != ".typed"]

    assert len(entries) <= ENTRIES
