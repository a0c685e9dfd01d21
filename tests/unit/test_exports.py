"""
What is public: the names that are promised are there, sorted, and come without what only edges need.
"""

import ast
import asyncio
import importlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kling_async
from kling_async.emulator import Emulator
from tests.fakes.storages import server  # noqa: F401

PUBLIC = [
    "kling_async",
    "kling_async.integrations.dask",
    "kling_async.batch.executors",
    "kling_async.errors",
    "kling_async.wire",
    "kling_async.emulator",
    "kling_async.gallery",
    "kling_async.integrations.notebook",
    "kling_async.integrations.otel",
    "kling_async.media.storage",
]


def isort_key(name: str) -> tuple[int, str]:
    """
    Constants first, then classes, then functions: as the linter sorts `__all__`.
    """
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("name", PUBLIC)
def test_every_promised_name_is_there(name: str) -> None:
    """
    Once each, in the linter's order.
    """
    module = importlib.import_module(name)

    assert [] == [name for name in module.__all__ if not hasattr(module, name)]
    assert sorted(set(module.__all__), key=isort_key) == module.__all__


def test_the_contract_is_exported() -> None:
    """
    The names that the design promises to users.
    """
    promised = {
        *("KlingClient", "TaskHandle", "ImageRequest", "TaskSnapshot", "TaskStatus", "TaskResult", "Image"),
        *("Done", "Failed", "AccessKey", "Dialect", "GATEWAY", "OFFICIAL", "HttpOptions", "RetryPolicy"),
        *("PollPolicy", "Slots", "CallbackReceiver", "__version__"),
    }

    assert promised <= set(kling_async.__all__)


def test_importing_pulls_in_nothing_for_edges(tmp_path: Path) -> None:
    """
    Neither the command line's libraries nor Pillow are loaded, and typing information is shipped.
    """
    program = """
import importlib.resources, sys
from kling_async import *
edges = {"rich", "typer", "PIL", "jinja2", "hypothesis", "opentelemetry", "IPython", "aiohttp.web"}
edges |= {"dask", "distributed", "cloudpickle", "fsspec"}
print(sorted(edges & set(sys.modules)))
print(importlib.resources.files("kling_async").joinpath("py.typed").is_file())
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert ["[]", "True"] == ended.stdout.split("\n")[:2]


def test_importing_loads_nothing_of_batches(tmp_path: Path) -> None:
    """
    Nor SQLite, nor what saves pictures, nor what draws and signs, nor what reads the sides of a picture: all of that is
    loaded where it is first used.
    """
    program = """
import sys
import kling_async
for name in set(kling_async.__all__) - {"Added", "Batch", "Keyed", "Summary"}:
    getattr(kling_async, name)
late = {"sqlite3", "jwt", "imagesize", "html", "statistics", "kling_async.batch.batch", "kling_async.media.downloads"}
print(sorted(late & set(sys.modules)))
from kling_async import Batch
print(Batch.__module__, kling_async.Batch is Batch)
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert "[]\nkling_async.batch.batch True\n" == ended.stdout


def test_client_loads_what_it_uses(tmp_path: Path) -> None:
    """
    One that only generates pictures needs neither callbacks nor calls nor other endpoints; each is loaded once.
    """
    program = """
import sys
from kling_async import KlingClient
client = KlingClient("sk-" + 40 * "0")
parts = ("client.callbacks.receiver", "client.calls.account", "wire.calls.account", "wire.endpoints.avatar")
print([part for part in parts if f"kling_async.{part}" in sys.modules])
print(type(client.account).__name__, client.account is client.account)
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert "[]\nAccountApi True\n" == ended.stdout


def test_homes_are_those_that_type_checkers_know() -> None:
    """
    The table of modules that names are loaded from says the same as the imports that type checkers read.
    """
    tree = ast.parse(Path(kling_async.__file__).read_text())
    told = {
        f"{node.module}": tuple(alias.name for alias in node.names)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kling_async.")
    }
    homes = kling_async._HOMES

    assert told == {f"kling_async.{home}": names for home, names in homes.items()}
    assert {"__version__", *itertools.chain.from_iterable(homes.values())} == set(kling_async.__all__)


def test_folders_are_attributes(tmp_path: Path) -> None:
    """
    Modules that are part of the library's use need no import of their own; a name that does not exist is an error.
    """
    program = """
import kling_async
print(kling_async.errors.KlingError is kling_async.KlingError, kling_async.wire.broken_rules.__name__)
print(sorted(set(kling_async.__all__) - set(dir(kling_async))))
try:
    kling_async.Klingclient
except AttributeError as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert [
        "True broken_rules",
        "[]",
        "module 'kling_async' has no attribute 'Klingclient'",
    ] == ended.stdout.splitlines()


async def test_a_batch_needs_neither_dask_nor_fsspec(server: Emulator, tmp_path: Path) -> None:
    """
    It fetches, stores and calls a function where both are missing; what needs them says how to get them.
    """
    program = """
import asyncio, sys
sys.modules.update(dict.fromkeys(["cloudpickle", "dask", "distributed", "fsspec", "s3fs"]))
from kling_async import Batch, Done, KlingClient
from tests.fakes.sample_functions import check

async def main(url, key):
    async with KlingClient(key, base_url=url) as client, Batch("run.kling", client) as batch:
        await batch.add(["a fox"])
        print([outcome.value async for outcome in batch.run("pictures", process=check)])
        try:
            await anext(batch.run("s3://bucket"))
        except ImportError as error:
            print(error)
    try:
        import kling_async.integrations.dask
    except ImportError as error:
        print(error)

asyncio.run(main(*sys.argv[1:]))
"""
    words = (sys.executable, "-c", program, server.url, server.api_key)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = await asyncio.create_subprocess_exec(*words, cwd=tmp_path, env=env, stdout=subprocess.PIPE)
    out, _ = await process.communicate()

    assert [
        "[(True,)]",
        "'s3://bucket' needs fsspec: pip install \"kling-async[storage]\"",
        'kling_async.integrations.dask needs Dask: pip install "kling-async[dask]"',
    ] == out.decode().splitlines()


def test_names_of_batches_are_as_public_as_others() -> None:
    """
    They are listed though they are not loaded, found by a star, and a name that is not there is missed as ever.
    """
    found: dict[str, object] = {}
    exec("from kling_async import *", found)  # noqa: S102 (a star is for modules alone)

    assert set(kling_async.__all__) <= set(dir(kling_async))
    assert set(kling_async.__all__) <= found.keys()
    with pytest.raises(AttributeError, match=r"module 'kling_async' has no attribute 'Bathc'"):
        kling_async.Bathc  # type: ignore[attr-defined]  # noqa: B018


AT_ONCE = """
import sys, threading
import kling_async

names = "Batch CallbackReceiver KlingClient OFFICIAL OmniVideo TaskStatus batch client errors media policy wire".split()
start = threading.Barrier(len(names))
failures = []

def use(name):
    start.wait()
    try:
        getattr(kling_async, name)
    except Exception as error:
        failures.append(f"{name}: {error!r}")

sys.setswitchinterval(1e-5)
threads = [threading.Thread(target=use, args=(name,)) for name in names]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(failures)
"""


def test_threads_may_use_the_first_names_at_once() -> None:
    """
    Each name, or folder, has a module of its own, and these modules import each other.
    """
    run = subprocess.run([sys.executable, "-c", AT_ONCE], check=True, capture_output=True, text=True)

    assert "[]\n" == run.stdout


FORKED = """
import importlib, os, signal, threading
import kling_async

import_module, has_begun, goes_on = importlib.import_module, threading.Event(), threading.Event()

def wait_and_import(name):
    has_begun.set()
    goes_on.wait()
    return import_module(name)

importlib.import_module = wait_and_import
thread = threading.Thread(target=lambda: kling_async.Batch)
thread.start()
has_begun.wait()
child = os.fork()
goes_on.set()
if not child:
    signal.alarm(20)
    os._exit(0 if kling_async.ImageRequest("a fox").prompt == "a fox" else 1)
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_child_does_not_wait_for_a_thread_of_its_parent() -> None:
    """
    A thread that uses its first name during a fork is not in the child, where it would never end.
    """
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], check=True, capture_output=True, text=True)

    assert "0\n" == run.stdout


def test_no_module_needs_a_lazy_name_to_be_imported() -> None:
    """
    One that did would wait for a thread that imports it and waits for the module.
    """
    folder = Path(kling_async.__file__).parent
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_text())
        imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "kling_async"]
        assert {name.name for node in imports for name in node.names} <= {"__version__"}, path
