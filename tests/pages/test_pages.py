"""
The README and the pages are true: what they show runs, and what they list is all there is.
"""

import asyncio
import csv
import importlib
import io
import json
import os
import re
import runpy
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import attrs
import PIL.Image
import pytest

from kling_async import GATEWAY, OFFICIAL, Model, errors
from kling_async.cli.exit_codes import ExitCode, code_of
from kling_async.emulator import Emulator, faults
from kling_async.wire.endpoints.image_generation import FROM_IMAGE, FROM_TEXT
from tests.fakes.asgi_server import served_by_uvicorn
from tests.fakes.subprocesses import Ended, run
from tests.unit.test_exports import PUBLIC
from tests.unit.test_imports import MAY_IMPORT, PACKAGE

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
README: Final = ROOT / "README.md"
CONTRIBUTING: Final = ROOT / "CONTRIBUTING.md"
PAGES: Final = [README, CONTRIBUTING, *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)]

INSTALLS: Final = "it fetches packages from the network; .ci/run runs the README's"
TESTS_IN_THE_CHECKOUT: Final = (
    "$ .venv/bin/pytest -n0 tests/unit/wire/test_status.py    # one file, in this process",
    "$ .venv/bin/pytest                                       # everything, about 3 minutes on 2 cores",
    "$ .venv/bin/nox                                          # style, types and all tests; `nox -l` lists more",
)
INSTALLED_ELSEWHERE: Final = (
    "$ pip install /path/to/checkout                    # the library; or /path/to/kling_async-0.1.0-py3-none-any.whl",
    '$ pip install "/path/to/checkout[cli,emulator]"    # with the commands and the emulator',
    '$ pip install "kling-async[storage]"               # adds what the extra "storage" needs',
)
LEFT_OUT: Final = {
    "$ python3 -m venv .venv && .venv/bin/pip install --quiet "
    '".[cli,emulator]" && .venv/bin/kling-async demo': INSTALLS,
    "$ python3 -m venv .venv && .venv/bin/pip install --quiet --upgrade pip && .venv/bin/pip install --quiet "
    '".[cli,emulator]" --group tests && .venv/bin/pytest': INSTALLS,
    "$ python3 -m venv .venv && .venv/bin/pip install --upgrade pip && .venv/bin/pip install -e "
    '".[cli,emulator]" --group tests nox': INSTALLS,
    **dict.fromkeys(INSTALLED_ELSEWHERE, INSTALLS),
    **dict.fromkeys(TESTS_IN_THE_CHECKOUT, "it runs these tests"),
    "$ source .venv/bin/activate": "it is about the reader's own shell",
    "$ dask scheduler --port 8786": "it serves until it is stopped",
    "$ dask worker tcp://host:8786 --nworkers 4 --nthreads 1": "it serves until it is stopped",
    "$ kling-async batch prompts.txt --out s3://bucket/run-7 --dask tcp://host:8786": (
        "there is no such host; tests/cli/batch/test_dask_cluster.py runs one like it"
    ),
    "$ uvicorn service:app --no-access-log": "it serves until it is stopped; a test below serves that application",
    "$ kling-async mcp --http 127.0.0.1:8000 --max-units 50": (
        "it serves until it is stopped; tests/unit/integrations/mcp/test_serving.py serves one like it"
    ),
    "$ uvicorn pictures:app": "it serves until it is stopped; a test below serves that application",
    '$ curl "localhost:8000/picture?prompt=a+lighthouse"': "a test below asks that application",
    "$ kling-async emulator --slots 3 --fault create:reset_after:rate=0.3 --fault query:stall:times=2": (
        "it serves until it is stopped; tests/cli/test_emulator.py runs it"
    ),
}
"""
Commands that are not run here, each with its reason.
"""

ENDS_WITH: Final = {"$ kling-async callback-test http://127.0.0.1:9/kling/probe.x": ExitCode.SERVICE}
"""
Commands that are shown because of what they complain of.
"""

WIDEST: Final = 94
"""
Characters of a program's line that a page shows without being moved.
"""

WIDTH: Final = 10
"""
Programs and commands at a time: they mostly wait.
"""

HAS_CLUSTER: Final = "dask"
"""
What a program with a cluster of Dask has in it. On a busy machine Dask logs slow workers, lost heartbeats and ports
that others have: only how the program ends is judged.
"""

DIRECTIVES: Final = {"{commands}", "{eval-rst}", "{include}", "{literalinclude}", "{toctree}"}

FILES: Final = {
    "prompts.txt": "a lighthouse at dusk\na fox in snow\na paper boat\n",
    "months.csv": "key,prompt,n,aspect_ratio\n"
    "january,a lighthouse in January,2,16:9\n"
    "february,a lighthouse in February,1,16:9\n"
    "march,a lighthouse in March,1,16:9\n",
    "films.csv": "key,kind,prompt,image,duration\n"
    "harbour,text-to-video,a boat leaves the harbour,,10\n"
    "lamp,image-to-video,the lamp is lit,lighthouse.png,5\n"
    "poster,image-generation,a lighthouse at dusk,,\n",
    "relay.toml": 'base = "gateway"\n'
    "prompt_max = 2500\n"
    'models = ["kling-v1", "kling-v1-5", "kling-v2", "kling-v2-1"]\n'
    'aspect_ratios = ["16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9"]\n'
    "external_ids = true\n",
}
"""
What a reader has in the folder, beside `lighthouse.png`.
"""


@attrs.frozen
class Block:
    """
    What a page shows between fences.
    """

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """
    Return the blocks of all pages, in these languages or in any.
    """
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in re.finditer(r"^(```+)[ ]*(\S*)[^\n]*\n(.*?)^\1[ ]*$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(page, line, match[2], match[3]))
    return [block for block in found if not languages or block.language in languages]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prepare(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "lighthouse.png").write_bytes((DOCS / "lighthouse.png").read_bytes())
    return folder


def environment(server: Emulator, zygote: Mapping[str, str]) -> dict[str, str]:
    """
    Return what a reader has set, with the emulator for an account.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KLING_")}
    account = {"KLING_API_KEY": server.api_key, "KLING_BASE_URL": server.url}
    cheap = {"PICTURE_SCALE": "0.1", "PICTURES": "plain"}  # emulators that programs make themselves
    return {**kept, **zygote, **account, **cheap, "NO_COLOR": "1", "COLUMNS": "120"}


async def run_program(block: Block, folder: Path, env: Mapping[str, str]) -> Ended:
    """
    Run a block as it stands; one of tests is run by pytest, and what other processes load is a file.
    """
    if "__main__" in block.text:
        (prepare(folder) / "program.py").write_text(block.text)
        return await run("python", "program.py", folder=folder, env=env)
    if not re.search(r"^(async )?def test_", block.text, re.MULTILINE):
        return await run("python", "-c", block.text, folder=prepare(folder), env=env)
    (prepare(folder) / "test_of_the_page.py").write_text(block.text)
    options = ["-q", "-o", "asyncio_default_fixture_loop_scope=function", "-o", "asyncio_mode=auto"]
    plugins = ["-p", "pytest_asyncio.plugin", "-p", "pytest_kling_async"]  # all that a reader has, and quick to import
    alone = {**env, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return await run("python", "-m", "pytest", *plugins, *options, "test_of_the_page.py", folder=folder, env=alone)


def test_every_block_is_of_a_kind_that_is_looked_at() -> None:
    """
    Nothing that looks like a program passes by unread; what is quoted from a file is a file that is run elsewhere.
    """
    known = {"python", "console", "json", "jsonl", "csv", "toml", "text", *DIRECTIVES}
    in_notebooks = {block.page.name for block in blocks("py")}  # cells: test_notebook runs those of that page

    assert {"notebooks.md"} == in_notebooks
    assert [] == [f"{block}: {block.language!r}" for block in blocks() if block.language not in {*known, "py"}]
    assert [] == [str(block) for block in blocks("{eval-rst}") if "code" in block.text]
    assert [] == [str(page) for page in PAGES if len(re.findall(r"^```", page.read_text(), re.MULTILINE)) % 2]


def test_programs_fit_their_pages() -> None:
    """
    No line of one is cut off on a wide screen.
    """
    programs = [block for block in blocks("python") if block.page != README]

    assert [] == [f"{block}: {line}" for block in programs for line in block.text.splitlines() if len(line) > WIDEST]


@pytest.mark.long
async def test_each_program_runs(
    emulator_in_thread: Callable[..., Emulator], zygote: Mapping[str, str], tmp_path: Path
) -> None:
    """
    As it stands, with nothing but the key and the host of the emulator in the environment, and without a complaint.
    """
    programs = blocks("python")
    width = asyncio.Semaphore(WIDTH)
    quick: dict[str, Any] = {"latency": (0.05, 0.1), "pictures": "plain", "picture_scale": 0.1}
    env = {page: environment(emulator_in_thread(**quick), zygote) for page in {block.page for block in programs}}

    async def complaint(number: int, block: Block) -> str | None:
        async with width:
            ended = await run_program(block, tmp_path / str(number), env[block.page])
        has_complained = bool(ended.err) and HAS_CLUSTER not in block.text.lower()
        return f"{block}: {ended}" if ended.code or has_complained else None

    complaints = await asyncio.gather(*(complaint(*each) for each in enumerate(programs)))

    assert [] == [told for told in complaints if told]


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """
    Yield each command of a console, and the lines that are shown below it.
    """
    for part in re.split(r"^(?=\$ )", block.text, flags=re.MULTILINE):
        command, *shown = part.splitlines() or [""]
        if command:
            yield command, shown


def is_among(shown: str, printed: list[str]) -> bool:
    """
    Tell whether a line was printed, however wide its columns are.
    """
    pattern = r"\s+".join(re.escape(word).replace("…", ".*") for word in shown.split())
    return any(re.fullmatch(pattern, line.strip()) for line in printed)


@pytest.mark.long
async def test_each_command_runs(
    emulator_in_thread: Callable[..., Emulator], zygote: Mapping[str, str], tmp_path: Path
) -> None:
    """
    Those of a page one after the other in one folder, with the exit code and the lines that it shows ("…" stands for
    anything).
    """
    width = asyncio.Semaphore(WIDTH)
    wrong: list[str] = []

    async def walk(page: Path) -> None:
        env = environment(emulator_in_thread(latency=(0.05, 0.1), pictures="plain", picture_scale=0.1), zygote)
        folder = prepare(tmp_path / name_of(page).replace("/", "-"))
        shown = [(block, *each) for block in blocks("console") if block.page == page for each in commands(block)]
        for block, command, lines in shown:
            if command in LEFT_OUT:
                continue
            async with width:
                ended = await run("bash", "-c", command.removeprefix("$ "), folder=folder, env=env)
            missing = [line for line in lines if not is_among(line, (ended.out + ended.err).splitlines())]
            if missing or ended.code != ENDS_WITH.get(command, ExitCode.SUCCESS):
                wrong.append(f"{block}: {command}: {missing} are not in {ended}")

    await asyncio.gather(*(walk(page) for page in PAGES))

    assert [] == wrong


def test_files_of_the_reader_are_introduced() -> None:
    """
    A page whose programs and commands read a file shows it, or says in words what it is.
    """
    unsaid = []
    for page in PAGES:
        text = page.read_text()
        program = r"^(```+)[ ]*(?:python|console|py)\b[^\n]*\n.*?^\1[ ]*$"
        words = re.sub(r"!\[[^]]*\]\([^)]*\)", "", re.sub(program, "", text, flags=re.MULTILINE | re.DOTALL))
        run = "".join(block.text for block in blocks("python", "console", "py") if block.page == page)
        unsaid += [
            f"{name_of(page)}: {name}" for name in (*FILES, "lighthouse.png") if name in run and name not in words
        ]

    assert [] == unsaid


def test_libraries_that_do_not_come_along_are_named() -> None:
    """
    A page whose programs import another library says how to install it, or the extra that brings it.
    """
    ours = {"kling_async", "attrs", "aiohttp", "PIL", *sys.stdlib_module_names}
    unsaid = []
    for block in blocks("python", "py"):
        text = block.page.read_text()
        installed = " ".join(re.findall(r"pip install ([^`]*)", text)) + (" pytest" if "With pytest" in text else "")
        imported = set(re.findall(r"^ *(?:from|import) (\w+)", block.text, re.MULTILINE)) - ours
        unsaid += [f"{block}: {name}" for name in imported if name.replace("_", "-") not in installed]

    assert [] == unsaid


def test_what_is_left_out_is_shown() -> None:
    """
    The list of exceptions names nothing that is gone from the pages, and every console has commands.
    """
    shown = [command for block in blocks("console") for command, _ in commands(block)]

    assert [] == [command for command in {**LEFT_OUT, **ENDS_WITH} if command not in shown]
    assert [] == [command for command in shown if not command.startswith("$ ")]


def read_table(text: str) -> list[dict[str | Any, str | Any]]:
    return list(csv.DictReader(io.StringIO(text), strict=True))


READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "json": json.loads,
    "jsonl": lambda text: [json.loads(line) for line in text.splitlines()],
    "csv": read_table,
    "toml": tomllib.loads,
}


@pytest.mark.parametrize("block", blocks(*READERS), ids=str)
def test_data_can_be_read(block: Block) -> None:
    """
    JSON, tables and settings are what they look like.
    """
    assert READERS[block.language](block.text)


# What the pages promise of their programs.


def program_of(page: Path, words: str) -> str:
    return next(block.text for block in blocks("python") if block.page == page and words in block.text)


FASTAPI: Final = DOCS / "howto" / "fastapi.md"


@pytest.mark.parametrize("page", [README, FASTAPI], ids=name_of)
async def test_the_application_answers_and_is_told(
    page: Path, emulator_in_thread: Callable[..., Emulator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The one with FastAPI is served, asked for a picture, and called back.
    """
    server = emulator_in_thread(latency=(0.05, 0.1), pictures="plain", picture_scale=0.1)
    monkeypatch.setenv("KLING_API_KEY", server.api_key)
    monkeypatch.setenv("KLING_BASE_URL", server.url)
    source = program_of(page, "CallbackReceiver")
    (tmp_path / "service.py").write_text(source)
    program = runpy.run_path(str(tmp_path / "service.py"))
    async with served_by_uvicorn(program["app"], "", lifespan="on") as url, aiohttp.ClientSession() as session:
        program["receiver"].public_url = f"{url}/kling"
        async with session.get(f"{url}/picture", params={"prompt": "a lighthouse"}) as answer:
            address = await answer.json()
        seen = await tasks_of(session, url) if "/tasks" in source else None

    assert address.startswith(server.url.removesuffix("/kling"))
    assert program["receiver"].counts.unsigned
    assert {200} == server.ledger.callback_answers.keys()
    assert seen in (None, ([422, 422, 404], ["succeed", 2]))


async def test_the_application_without_a_public_address(
    emulator_in_thread: Callable[..., Emulator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The short one is served and asked for a picture, which it polls for.
    """
    server = emulator_in_thread(latency=(0.05, 0.1), picture_scale=0.1)
    monkeypatch.setenv("KLING_API_KEY", server.api_key)
    monkeypatch.setenv("KLING_BASE_URL", server.url)
    (tmp_path / "pictures.py").write_text(program_of(FASTAPI, "KlingClient()"))
    app = runpy.run_path(str(tmp_path / "pictures.py"))["app"]
    async with served_by_uvicorn(app, "", lifespan="on") as url, aiohttp.ClientSession() as session:
        async with session.get(f"{url}/picture", params={"prompt": "a lighthouse"}) as answer:
            address = await answer.json()

    assert address.startswith(server.url.removesuffix("/kling"))
    assert not server.ledger.callback_answers


async def tasks_of(session: aiohttp.ClientSession, url: str) -> tuple[list[int], list[object]]:
    """
    Have the page's service refuse what it should, with an explanation, and accept a request, and ask for its task until
    it has ended.
    """
    refusals = []
    for ask, words in (
        (session.post(f"{url}/tasks", params={"prompt": "a fox", "n": 12}), "n"),
        (session.get(f"{url}/picture", params={"prompt": ""}), "prompt"),
        (session.get(f"{url}/tasks/nobody-knows-it"), "nobody-knows-it"),
    ):
        async with ask as answer:
            refusals.append(answer.status)
            assert words in (await answer.json())["detail"]
    async with session.post(f"{url}/tasks", params={"prompt": "a fox", "n": 2}) as answer:
        task_id = (await answer.json())["task_id"]
    async with asyncio.timeout(20):
        while True:
            async with session.get(f"{url}/tasks/{task_id}") as answer:
                told = await answer.json()
            if told["status"] == "succeed":
                return refusals, [told["status"], len(told["urls"])]


async def test_the_old_program_pays_twice(
    emulator_in_thread: Callable[..., Emulator], zygote: Mapping[str, str], tmp_path: Path
) -> None:
    """
    The page on `requests` is right about what an answer that is lost costs: the old way two tasks, with us one.
    """
    page = DOCS / "howto" / "from-requests.md"
    paid = []
    for words in ("import requests", "KlingClient"):
        lost = faults.reset_after("create", times=1)
        server = emulator_in_thread(latency=(0.05, 0.1), pictures="plain", picture_scale=0.1, faults=[lost])
        await run("python", "-c", program_of(page, words), folder=tmp_path, env=environment(server, zygote))
        paid.append(len(server.ledger.tasks))

    assert [2, 1] == paid


# What the pages list is all there is.


def rows_of(page: Path) -> list[list[str]]:
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows]


def test_every_error_is_in_the_table() -> None:
    """
    With the exit code that the commands have for it.
    """
    told = {row[0]: row[4] for row in rows_of(DOCS / "howto" / "errors.md") if row[0] in errors.__all__}
    values = [getattr(errors, name) for name in errors.__all__]

    assert {kind.__name__: str(int(code_of(kind("")))) for kind in values if issubclass(kind, Exception)} == told


def test_every_exit_code_is_in_the_table() -> None:
    """
    No more and no less.
    """
    told = [row[0] for row in rows_of(DOCS / "reference" / "environment.md") if row[0].isdigit()]

    assert [str(int(code)) for code in ExitCode] == told


def test_every_variable_is_in_the_table() -> None:
    """
    Each that the package reads, by its name.
    """
    source = "".join(path.read_text() for path in (ROOT / "kling_async").rglob("*.py"))
    table = "\n".join(row[0] for row in rows_of(DOCS / "reference" / "environment.md"))

    assert set(re.findall(r"KLING_[A-Z_]+", source)) == set(re.findall(r"KLING_[A-Z_]+", table))


def test_prices_are_those_that_are_counted() -> None:
    """
    For each model, from text and from an image.
    """
    told = {row[0]: row[1:] for row in rows_of(DOCS / "explanation" / "slots-and-money.md") if row[0] in FROM_TEXT}

    assert {model.value: [str(FROM_TEXT[model]), str(FROM_IMAGE[model])] for model in Model} == told


def test_the_drawing_has_every_folder() -> None:
    """
    Each entry of the package.
    """
    lines = re.findall(r"<text .*?>(.*?)</text>", (DOCS / "_static" / "imports.svg").read_text())

    assert set() == MAY_IMPORT.keys() - {line.strip("/").removesuffix(".py") for line in lines}


def test_the_relay_of_the_page_is_the_readers() -> None:
    """
    The commands of the page use the file that it shows.
    """
    assert f"# relay.toml\n{FILES['relay.toml']}" in [block.text for block in blocks("toml")]


def test_dialects_are_as_they_are_told() -> None:
    """
    Field by field.
    """
    told = [row for row in rows_of(DOCS / "howto" / "gateways.md") if hasattr(GATEWAY, row[0])]

    assert told
    assert [[row[0], str(getattr(GATEWAY, row[0])), str(getattr(OFFICIAL, row[0]))] for row in told] == told


DIRECTIVE: Final = re.compile(r"^\.\. (\w+):: (\S+?)(?:\(\))?\n((?:   .*\n)*)", re.MULTILINE)


def names_in_the_reference() -> Iterator[str]:
    for page in (DOCS / "reference").glob("*.md"):
        module = ""
        for kind, name, options in re.findall(
            r"^\.\. (\w+):: (\S+?)(?:\(\))?\n((?:   .*\n)*)", page.read_text(), re.MULTILINE
        ):
            if kind in ("currentmodule", "automodule"):
                module = name
                yield name
            yield f"{module}.{name}"
            if kind == "automodule" and ":members:" in options:
                yield from (f"{module}.{member}" for member in importlib.import_module(module).__all__)


@pytest.mark.parametrize("module", PUBLIC)
def test_the_reference_has_every_public_name(module: str) -> None:
    """
    Each name of each `__all__` has its place there.
    """
    told = set(names_in_the_reference())

    assert [] == [name for name in importlib.import_module(module).__all__ if f"{module}.{name}" not in told]


# The README, of which other pages and `.ci/run` rely on some things.


def test_the_first_two_commands_are_one_line_each() -> None:
    """
    The first is the demo, the second runs all tests; each makes its own virtual environment.
    """
    consoles = [block.text.splitlines() for block in blocks("console") if block.page == README]
    first, second = consoles[:2]

    assert [1, 1] == [len(first), len(second)]
    assert first[0].startswith("$ python3 -m venv")
    assert first[0].endswith("kling-async demo")
    assert second[0].startswith("$ python3 -m venv")
    assert second[0].endswith("pytest")


@pytest.mark.parametrize("page", [README, CONTRIBUTING], ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """
    Those that lead into the project; Sphinx looks at those of the pages.
    """
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text())

    assert links
    assert [] == [link for link in links if not (ROOT / link).exists()]


@pytest.mark.parametrize("picture", sorted(DOCS.rglob("*.png")), ids=name_of)
def test_pictures_stay_small(picture: Path) -> None:
    """
    They open, and nobody waits for them.
    """
    with PIL.Image.open(picture) as image:
        image.verify()

    assert picture.stat().st_size < 300_000


# The page on architecture.

ARCHITECTURE: Final = DOCS / "architecture.md"


def test_the_tree_has_every_folder() -> None:
    """
    With the folders within folders, and nothing else.
    """
    tree = re.findall(r"^( +)([\w.]+)(/?) ", blocks_of(ARCHITECTURE)[0].text, re.MULTILINE)
    path: list[str] = []
    shown: set[str] = set()
    for indent, name, slash in tree:
        path = [*path[: len(indent) // 2 - 1], name]
        shown |= {"/".join(path)} if slash else set()
    folders = {init.parent.relative_to(PACKAGE).as_posix() for init in PACKAGE.rglob("__init__.py")}

    assert folders - {"."} == shown


def blocks_of(page: Path) -> list[Block]:
    return [block for block in blocks() if block.page == page]


def test_the_table_of_imports_is_the_one_that_is_checked() -> None:
    """
    Entry by entry, in the same order.
    """
    told = {
        row[0]: frozenset(re.findall(r"\w+", row[1])) - {"nothing"} for row in rows_of(ARCHITECTURE) if len(row) == 2
    }

    assert list(MAY_IMPORT.items()) == [(entry, told.get(entry)) for entry in told if entry in MAY_IMPORT]


def test_modules_that_the_page_names_are_there() -> None:
    """
    Those that it names by their paths.
    """
    named = set(re.findall(r"`((?:[\w]+/)+[\w]+\.py)`", ARCHITECTURE.read_text()))

    assert named
    assert [] == [name for name in sorted(named) if not (ROOT / name).exists() and not (PACKAGE / name).exists()]


def test_what_is_public_is_listed() -> None:
    """
    Each module whose names are promised.
    """
    (sentence,) = re.findall(
        r"^What `__all__` names in (.*?) is public", ARCHITECTURE.read_text(), re.MULTILINE | re.DOTALL
    )

    assert PUBLIC == re.findall(r"`([\w.]+)`", sentence)
