"""
The house: rooms stand on floors, and imports point down.
"""

import ast
import graphlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs
import pytest

PACKAGE: Final = Path(__file__).parents[2] / "kling_async"

FLOORS: Final = (
    ("errors",),
    (
        "wire",
        "arguments",
        "policy",
        "pace",
        "plan",
        "ways",
        "width",
        "refusals",
        "rows",
        "addresses",
        "formats",
        "rates",
        "sources",
        "proxies",
        "filenames",
        "events",
        "cards",
        "tally",
    ),
    (
        "account",
        "deadline",
        "gate",
        "submission",
        "transport",
        "downloads",
        "references",
        "slots",
        "looks",
        "commits",
        "lockfile",
        "telling",
        "unbroken",
    ),
    ("client", "fanout", "task", "watcher", "callbacks", "bodies", "own_server", "hearing", "submits"),
    ("batch", "journal", "storage", "engine", "saving"),
    ("cli", "gallery", "emulator", "notebook", "otel", "dask", "pytest_plugin", "streams", "__main__"),
)
"""
The rooms of each floor, from the ground up; a folder is one room. The package itself, which shows what is public, is
above all but the edges. Up to floor 1 all is pure.
"""

EMULATOR_STANDS_ON: Final = ("errors", "wire", "emulator")

PURE: Final = 1
IMPURE: Final = {"aiohttp", "asyncio", "socket", "sqlite3", "subprocess", "threading", "time"}
CLOCKS: Final = {"now", "today", "utcnow"}

ROOT: Final = "kling_async"


@attrs.frozen
class Import:
    """
    One import: the full name of what is imported, and whether it is for annotations alone.
    """

    name: str
    is_for_types: bool


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


def room_of(module: str) -> str:
    """
    Return the room of a module of the package; empty text for the package itself.
    """
    return module.removeprefix(ROOT).lstrip(".").partition(".")[0]


def floor_of(module: str) -> float | None:
    """
    Return the floor of a module of the package, None where it has no place.
    """
    room = room_of(module)
    if not room:
        return len(FLOORS) - 1.5
    return next((number for number, rooms in enumerate(FLOORS) if room in rooms), None)


def complaints(sources: Mapping[str, str]) -> list[str]:
    """
    Return every offence against the order of the house, a sentence each; *sources* are modules by their full names.
    """
    packages = {name.rpartition(".")[0] for name in sources} | {ROOT}
    trees = {name: ast.parse(source) for name, source in sources.items()}
    imports = {name: list(find_imports(tree, name, is_package=name in packages)) for name, tree in trees.items()}
    found = []
    for module, tree in trees.items():
        floor = floor_of(module)
        if floor is None:
            found.append(f"{module} is on no floor")
            continue
        for imported in imports[module]:
            found.extend(judge_import(module, imported))
        if floor <= PURE:
            found.extend(f"{module} {offence}" for offence in find_impurities(tree))
    return sorted({*found, *find_cycles(imports)})


def find_imports(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[Import]:
    """
    Find what a module imports, anywhere in it; relative imports are made absolute.
    """
    for node, is_for_types in walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (Import(alias.name, is_for_types) for alias in names)
            case ast.ImportFrom(module=base, names=names, level=level):
                parts = module.split(".")
                above = parts[: len(parts) - level + is_package] if level else []
                origin = ".".join([*above, *([base] if base else [])])
                yield from (Import(f"{origin}.{alias.name}", is_for_types) for alias in names)


def walk(tree: ast.AST, *, is_for_types: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """
    Walk over all nodes, telling of each whether it is under `if TYPE_CHECKING:`.
    """
    for node in ast.iter_child_nodes(tree):
        yield node, is_for_types
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for inner in node.body:
                yield inner, True
                yield from walk(inner, is_for_types=True)
            for inner in node.orelse:
                yield inner, is_for_types
                yield from walk(inner, is_for_types=is_for_types)
        else:
            yield from walk(node, is_for_types=is_for_types)


def judge_import(module: str, imported: Import) -> Iterator[str]:
    """
    Judge one import of *module*, whose floor is known.
    """
    name, top = imported.name, imported.name.partition(".")[0]
    room, floor = room_of(module), floor_of(module)
    assert floor is not None
    if top == "backoff" and room != "transport":
        yield f"{module} imports backoff, which only transport may"
    if floor <= PURE and top in IMPURE:
        yield f"{module} is pure, but imports {top}"
    if top != ROOT or name == f"{ROOT}.__version__":
        return
    target = room_of(name)
    reached = floor_of(name)
    if reached is None or not target:
        yield f"{module} imports {name}, which is no room"
    elif reached > floor and not (room == "errors" and imported.is_for_types):
        yield f"{module} climbs to {name}"
    elif room == "emulator" and target not in EMULATOR_STANDS_ON:
        yield f"{module} imports {name}, which is none of the emulator's"


def find_impurities(tree: ast.AST) -> Iterator[str]:
    """
    Find calls that no pure module makes: opening files, and asking for the time.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="open") | ast.Attribute(attr="open")):
                yield "is pure, but opens a file"
            case ast.Call(func=ast.Attribute(attr=attribute)) if attribute in CLOCKS:
                yield f"is pure, but asks for the time with {attribute}()"


def find_cycles(imports: Mapping[str, list[Import]]) -> Iterator[str]:
    """
    Find modules of one floor that import each other in a ring; from floor to floor none can be closed without climbing.
    """
    graph = {
        module: {
            owner
            for each in found
            if (owner := owner_of(each.name, imports)) and owner != module and floor_of(owner) == floor_of(module)
        }
        for module, found in imports.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        yield "a ring: " + ", ".join(sorted(set(error.args[1])))


def owner_of(name: str, modules: Mapping[str, object]) -> str:
    """
    Return the module that *name* is, or is a name of; empty text where it is none of *modules*, or the package itself.
    """
    if name in modules and name != ROOT:
        return name
    owner = name.rpartition(".")[0]
    return owner if owner in modules and owner != ROOT else ""


def test_house_is_in_order() -> None:
    """
    No import of the package climbs, no pure room touches the world, and every module has a place.
    """
    assert [] == complaints(read_package())


def test_house_is_all_there() -> None:
    """
    The check reads the package: its ground floor, its pure rooms and itself.
    """
    modules = read_package()

    assert {
        "kling_async",
        "kling_async.errors",
        "kling_async.wire.codec",
        "kling_async.policy.policies",
    } <= modules.keys()


GOOD: Final = {
    "kling_async": "from kling_async.client.client import KlingClient",
    "kling_async.errors": "if TYPE_CHECKING:\n    from kling_async.wire.tasks import ImageRequest",
    "kling_async.wire": "from .models import ImageRequest\nfrom kling_async.wire.codec import CODEC",
    "kling_async.wire.tasks": "from kling_async.errors import KlingError\nimport datetime as dt",
    "kling_async.wire.codec": "from . import models\nfrom .models import Image\nfrom kling_async.wire import models",
    "kling_async.policy.policies": "import math",
    "kling_async.client.transport": "import backoff, asyncio\nfrom kling_async import __version__",
    "kling_async.client.client": "from kling_async.client.transport import Transport\nfrom .task import TaskHandle",
    "kling_async.client.handle": "import asyncio",
    "kling_async.batch.batch": "from kling_async.client.client import KlingClient",
    "kling_async.cli": "import kling_async.batch.batch",
    "kling_async.emulator": "from kling_async.emulator.server import Emulator",
    "kling_async.emulator.server": "from ..wire import codec\nimport aiohttp\nfrom . import pictures",
    "kling_async.emulator.pictures": "from kling_async.errors import KlingError",
}


def test_good_house_is_praised() -> None:
    """
    What the design allows is allowed, relative imports and packages included.
    """
    assert [] == complaints(GOOD)


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        (
            "errors",
            "from kling_async.wire.tasks import Image",
            "kling_async.errors climbs to kling_async.wire.tasks.Image",
        ),
        ("errors", "from .wire import models", "kling_async.errors climbs to kling_async.wire.tasks"),
        ("errors", "import socket", "kling_async.errors is pure, but imports socket"),
        (
            "errors",
            "if not TYPE_CHECKING:\n    import kling_async.policy.policies",
            "kling_async.errors climbs to kling_async.policy.policies",
        ),
        (
            "errors",
            "if TYPE_CHECKING:\n    pass\nelse:\n    import kling_async.policy.policies",
            "kling_async.errors climbs to kling_async.policy.policies",
        ),
        (
            "wire.models",
            "if TYPE_CHECKING:\n    from kling_async.client.client import KlingClient",
            "kling_async.wire.tasks climbs to kling_async.client.client.KlingClient",
        ),
        (
            "wire.models",
            "def f():\n    from ..slots import Slots",
            "kling_async.wire.tasks climbs to kling_async.client.limits.limiter.Slots",
        ),
        ("wire.models", "import time as t", "kling_async.wire.tasks is pure, but imports time"),
        ("policy", "from asyncio import sleep", "kling_async.policy.policies is pure, but imports asyncio"),
        ("policy", "import sqlite3.dbapi2", "kling_async.policy.policies is pure, but imports sqlite3"),
        ("policy", "open('x')", "kling_async.policy.policies is pure, but opens a file"),
        ("policy", "Path('x').open()", "kling_async.policy.policies is pure, but opens a file"),
        ("policy", "dt.datetime.now(dt.UTC)", "kling_async.policy.policies is pure, but asks for the time with now()"),
        (
            "transport",
            "import kling_async.client.client",
            "kling_async.client.transport climbs to kling_async.client.client",
        ),
        (
            "transport",
            "from kling_async import KlingClient",
            "kling_async.client.transport imports kling_async.KlingClient, which is no room",
        ),
        ("transport", "import kling_async", "kling_async.client.transport imports kling_async, which is no room"),
        ("client", "import backoff", "kling_async.client.client imports backoff, which only transport may"),
        (
            "client",
            "from kling_async.batch.batch import Batch",
            "kling_async.client.client climbs to kling_async.batch.batch.Batch",
        ),
        (
            "batch",
            "from kling_async.emulator import Emulator",
            "kling_async.batch.batch climbs to kling_async.emulator.Emulator",
        ),
        (
            "emulator.server",
            "from kling_async.client.client import KlingClient",
            "kling_async.emulator.server imports kling_async.client.client.KlingClient, which is none of the emulator's",
        ),
        (
            "emulator.server",
            "from kling_async import policy",
            "kling_async.emulator.server imports kling_async.policy.policies, which is none of the emulator's",
        ),
        ("utils", "", "kling_async.utils is on no floor"),
        (
            "task",
            "from kling_async.client.client import KlingClient",
            "a ring: kling_async.client.client, kling_async.client.handle",
        ),
    ],
)
def test_offence_is_noticed(module: str, source: str, complaint: str) -> None:
    """
    The check can fail: each offence against the order is found, and nothing else.
    """
    found = complaints({**GOOD, f"kling_async.{module}": source})

    assert [complaint] == found


def test_package_itself_does_not_show_the_edges() -> None:
    """
    What needs an extra is imported by its own name, never by the package.
    """
    found = complaints({**GOOD, "kling_async": "from kling_async.emulator import Emulator"})

    assert ["kling_async climbs to kling_async.emulator.Emulator"] == found
