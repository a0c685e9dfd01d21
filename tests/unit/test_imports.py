"""
Imports point down: each folder imports only what is listed beside it, and modules make no circles.
"""

import ast
import graphlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

PACKAGE: Final = Path(__file__).parents[2] / "kling_async"

ROOT: Final = "kling_async"

MAY_IMPORT: Final[Mapping[str, frozenset[str]]] = {
    "errors": frozenset(),
    "wire": frozenset({"errors"}),
    "policy": frozenset({"errors", "wire"}),
    "media": frozenset({"errors", "wire", "policy"}),
    "client": frozenset({"errors", "wire", "policy", "media"}),
    "batch": frozenset({"errors", "wire", "policy", "media", "client"}),
    "emulator": frozenset({"errors", "wire"}),
    "gallery": frozenset({"errors", "wire", "batch"}),
    "integrations": frozenset({"errors", "wire", "policy", "media", "client", "batch", "emulator", "gallery"}),
    "cli": frozenset({"errors", "wire", "policy", "media", "client", "batch", "emulator", "gallery", "integrations"}),
}
"""
What each entry of the package may import besides itself. The package's own `__init__`, which shows what is public, may
import what needs no extra.
"""

SHOWN_BY_THE_PACKAGE: Final = frozenset({"errors", "wire", "policy", "media", "client", "batch", "integrations"})

PURE: Final = frozenset({"errors", "wire", "policy"})
IMPURE: Final = {"aiohttp", "asyncio", "socket", "sqlite3", "subprocess", "threading", "time"}
CLOCKS: Final = {"now", "today", "utcnow"}

ONLY_BACKOFF: Final = "kling_async.client.retries"

ONLY_READER: Final = "kling_async.wire.dialects"
"""
The only pure module that reads a file: `Dialect.load`.
"""

READING: Final = "is pure, but opens a file"


def read_package() -> dict[str, str]:
    """
    Read every module of the package, by its full name.
    """
    return {module_name(path.relative_to(PACKAGE)): path.read_text() for path in PACKAGE.rglob("*.py")}


def module_name(path: Path) -> str:
    """
    Return the full name of the module at *path* within the package.
    """
    parts = path.with_suffix("").parts
    return ".".join((ROOT, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def folder_of(module: str) -> str:
    """
    Return the entry of the package that *module* is in; empty text for the package itself.
    """
    return module.removeprefix(ROOT).lstrip(".").partition(".")[0]


def complaints(sources: Mapping[str, str]) -> list[str]:
    """
    Return every import that is not allowed, a sentence each; *sources* are modules by their full names.
    """
    packages = {name.rpartition(".")[0] for name in sources} | {ROOT}
    trees = {name: ast.parse(source) for name, source in sources.items()}
    imports = {name: list(find_imports(tree, name, is_package=name in packages)) for name, tree in trees.items()}
    found = []
    for module, tree in trees.items():
        folder = folder_of(module)
        if folder not in MAY_IMPORT and folder not in ("", "__main__"):
            found.append(f"{module} is in no folder of the table")
            continue
        for imported in imports[module]:
            found.extend(judge_import(module, imported))
        if folder in PURE:
            offences = (each for each in find_impurities(tree) if (module, each) != (ONLY_READER, READING))
            found.extend(f"{module} {offence}" for offence in offences)
    return sorted({*found, *find_cycles(imports)})


def find_imports(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[str]:
    """
    Find the full names that a module imports, anywhere in it, for annotations alone too; relative imports are made
    absolute.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=base, names=names, level=level):
                parts = module.split(".")
                above = parts[: len(parts) - level + is_package] if level else []
                origin = ".".join([*above, *([base] if base else [])])
                yield from (f"{origin}.{alias.name}" for alias in names)


def judge_import(module: str, name: str) -> Iterator[str]:
    """
    Judge one import of *module*, whose folder is in the table.
    """
    folder, top = folder_of(module), name.partition(".")[0]
    if top == "backoff" and module != ONLY_BACKOFF:
        yield f"{module} imports backoff, which only {ONLY_BACKOFF} may"
    if folder in PURE and top in IMPURE:
        yield f"{module} is pure, but imports {top}"
    if top != ROOT or name == f"{ROOT}.__version__":
        return
    target = folder_of(name)
    if target not in MAY_IMPORT:
        yield f"{module} imports {name}, which is in no folder of the table"
    elif target != folder and target not in allowed_to(folder):
        yield f"{module} may not import {name}"


def allowed_to(folder: str) -> frozenset[str]:
    """
    Return what modules of *folder* may import besides each other; the folder's name is empty for the package itself.
    """
    match folder:
        case "":
            return SHOWN_BY_THE_PACKAGE
        case "__main__":
            return frozenset(MAY_IMPORT)
        case _:
            return MAY_IMPORT[folder]


def find_impurities(tree: ast.AST) -> Iterator[str]:
    """
    Find calls that no pure module makes: opening files, and asking for the time.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="open") | ast.Attribute(attr="open" | "read_bytes" | "read_text")):
                yield READING
            case ast.Call(func=ast.Attribute(attr=attribute)) if attribute in CLOCKS:
                yield f"is pure, but asks for the time with {attribute}()"


def find_cycles(imports: Mapping[str, list[str]]) -> Iterator[str]:
    """
    Find modules that import each other in a circle, for annotations alone too.
    """
    graph = {
        module: {owner for name in found if (owner := owner_of(name, imports)) and owner != module}
        for module, found in imports.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        yield "a circle: " + ", ".join(sorted(set(error.args[1])))


def owner_of(name: str, modules: Mapping[str, object]) -> str:
    """
    Return the module that *name* is, or is a name of; empty text where it is none of *modules*, or the package itself.
    """
    if name in modules and name != ROOT:
        return name
    owner = name.rpartition(".")[0]
    return owner if owner in modules and owner != ROOT else ""


def test_imports_point_down() -> None:
    """
    No import of the package points up, no pure folder touches the world, and every module has a place.
    """
    assert [] == complaints(read_package())


def test_tree_is_the_table() -> None:
    """
    The entries of the package are those of the table, ten at most, besides its `__init__` and `__main__`.
    """
    entries = {path.stem for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"}

    assert {*MAY_IMPORT, "__init__", "__main__"} == entries - {"__pycache__"}
    assert len(MAY_IMPORT) <= 10


def test_whole_package_is_read() -> None:
    """
    The check reads the package: its lowest module, folders in folders and itself.
    """
    assert {ROOT, "kling_async.errors", "kling_async.client.polling.poller"} <= read_package().keys()


GOOD: Final = {
    "kling_async": "from kling_async.client.client import KlingClient",
    "kling_async.__main__": "from kling_async.cli import app",
    "kling_async.errors": "import attrs",
    "kling_async.wire": "from .tasks import Image\nfrom kling_async.wire.codec import CODEC",
    "kling_async.wire.tasks": "from kling_async.errors import KlingError\nimport datetime as dt",
    "kling_async.wire.codec": "from . import tasks\nfrom .tasks import Image\nfrom kling_async.wire import tasks",
    "kling_async.policy": "import math\nfrom kling_async.wire.redaction import shorten",
    "kling_async.client.retries": "import backoff, asyncio\nfrom kling_async import __version__",
    "kling_async.client.transport": "from kling_async.client.retries import retry",
    "kling_async.client.client": "from kling_async.client.transport import Transport\nfrom .handle import TaskHandle",
    "kling_async.client.handle": "import asyncio",
    "kling_async.client.polling.poller": "from ..handle import TaskHandle\nimport kling_async.client.handle",
    "kling_async.batch": "from kling_async.client.client import KlingClient",
    "kling_async.cli": "import kling_async.batch",
    "kling_async.emulator": "from kling_async.emulator.server import Emulator",
    "kling_async.emulator.server": "from ..wire import codec\nimport aiohttp\nfrom . import renderer",
    "kling_async.emulator.renderer": "from kling_async.errors import KlingError",
}


def test_what_is_allowed_is_allowed() -> None:
    """
    What the table allows is no complaint, relative imports and packages included.
    """
    assert [] == complaints(GOOD)


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("errors", "from kling_async.wire.tasks import Image", "may not import kling_async.wire.tasks.Image"),
        ("errors", "from .wire import tasks", "may not import kling_async.wire.tasks"),
        ("errors", "import socket", "is pure, but imports socket"),
        ("errors", "if TYPE_CHECKING:\n    import kling_async.policy", "may not import kling_async.policy"),
        ("wire.tasks", "def f():\n    from ..client import slots", "may not import kling_async.client.slots"),
        ("wire.tasks", "import time as t", "is pure, but imports time"),
        ("policy", "from asyncio import sleep", "is pure, but imports asyncio"),
        ("policy", "import sqlite3.dbapi2", "is pure, but imports sqlite3"),
        ("policy", "open('x')", "is pure, but opens a file"),
        ("policy", "Path('x').open()", "is pure, but opens a file"),
        ("wire.tasks", "Path('x').read_text()", "is pure, but opens a file"),
        ("policy", "dt.datetime.now(dt.UTC)", "is pure, but asks for the time with now()"),
        ("media.naming", "import kling_async.client.client", "may not import kling_async.client.client"),
        (
            "client.transport",
            "from kling_async import KlingClient",
            "imports kling_async.KlingClient, which is in no folder of the table",
        ),
        ("client.transport", "import kling_async", "imports kling_async, which is in no folder of the table"),
        ("client.client", "import backoff", f"imports backoff, which only {ONLY_BACKOFF} may"),
        ("client.client", "from kling_async.batch import Batch", "may not import kling_async.batch.Batch"),
        ("batch", "from kling_async.emulator import Emulator", "may not import kling_async.emulator.Emulator"),
        (
            "emulator.server",
            "from kling_async.client.client import KlingClient",
            "may not import kling_async.client.client.KlingClient",
        ),
        ("emulator.server", "from kling_async import policy", "may not import kling_async.policy"),
        ("", "from kling_async.emulator import Emulator", "may not import kling_async.emulator.Emulator"),
        ("utils", "", "is in no folder of the table"),
    ],
)
def test_offence_is_reported(module: str, source: str, complaint: str) -> None:
    """
    The check can fail: each import that is not allowed is reported, and nothing else.
    """
    name = f"{ROOT}.{module}".rstrip(".")

    found = complaints({**GOOD, name: source})

    assert [f"{name} {complaint}"] == [each for each in found if not each.startswith("a circle: ")]


@pytest.mark.parametrize(
    "source",
    [
        "from kling_async.client.client import KlingClient",
        "if TYPE_CHECKING:\n    from kling_async.client.client import KlingClient",
    ],
)
def test_circle_is_reported(source: str) -> None:
    """
    Within a folder too, and for annotations alone.
    """
    found = complaints({**GOOD, "kling_async.client.handle": source})

    assert ["a circle: kling_async.client.client, kling_async.client.handle"] == found
