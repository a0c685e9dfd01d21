import re
import subprocess
import sys
from typing import Final

import pytest

import kling_async
from kling_async.cli.commands import COMMANDS, CommandEntry, load_command
from tests.cli.conftest import SOURCE, Command, Here


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], cwd=SOURCE, capture_output=True, text=True, check=False)


WORDS: Final = sorted(entry.name for entry in COMMANDS)


@pytest.mark.parametrize("word", WORDS)
def test_help(here: Here, word: str) -> None:
    """
    Help fits a screen, has examples, and tells the exit codes.
    """
    ended = here(word, "--help")

    lines = ended.out.splitlines()
    assert 0 == ended.code
    assert len(lines) <= 49
    assert max(map(len, lines)) <= 80
    assert f"  kling-async {word}" in ended.out
    assert "130 interrupted" in ended.out


def test_help_of_all(here: Here) -> None:
    """
    All commands fit a screen, each on one line.
    """
    ended = here("--help")

    lines = ended.out.splitlines()
    assert len(lines) <= 42
    assert max(map(len, lines)) <= 80
    assert WORDS == sorted(re.findall(r"^│ ([a-z]\S+)  ", ended.out, re.MULTILINE))


@pytest.mark.parametrize("word", ["generate", "run", "demo", ""])
def test_flags_have_no_type_in_the_help(here: Here, word: str) -> None:
    """
    They take no value.
    """
    assert "<bool>" not in here(*word.split(), "--help").out


@pytest.mark.parametrize("word", ["generate", "video", "batch", "mcp"])
def test_both_limits_of_spending_are_in_the_help(here: Here, word: str) -> None:
    """
    In units and in dollars, each in its own line.
    """
    shown = here(word, "--help").out

    assert ["--max-units", "--max-cost"] == re.findall(r"^│ (--max-\w+)  ", shown, re.MULTILINE)[-2:]


def test_help_of_run_says_what_each_kind_makes(here: Here) -> None:
    """
    In one sentence.
    """
    shown = " ".join(here("run", "--help").out.replace("│", " ").split())

    assert "image-generation Pictures from text, and from a reference picture. avatar A video of" in shown


def test_help_of_a_kind_says_where_its_fields_are(here: Here) -> None:
    """
    They stand above the options.
    """
    shown = here("run", "avatar", "--help").out

    assert shown.index("Fields:") < shown.index("See the fields above.")


@pytest.mark.parametrize("option", ["--base-url", "--dialect", "--out", "--json", "--slots", "--give-up-after"])
def test_same_words(option: str) -> None:
    """
    An option that several commands have is described in the same words by all of them, except for its default.
    """
    told = {
        (parameter.metavar, parameter.help.partition(" (default")[0])
        for name in WORDS
        if name not in {*PLAYERS, "run"}  # whose kinds are the commands
        for parameter in load_command(name).params
        if option in parameter.opts and not parameter.hidden
    }

    assert 1 == len(told)


@pytest.mark.parametrize("word", WORDS)
def test_every_option_has_help(word: str) -> None:
    """
    Short, and also where the screen has no room for the option: the pages list those.
    """
    command = load_command(word)
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]

    assert [] == [option.name for option in options if not 5 < len(option.help or "") <= 100]
    assert [] == [option.name for option in options if option.hidden and not option.metavar]


PLAYERS: Final = ("demo", "emulator")
"""
They play a service rather than ask one: their `--dialect` and `--slots` are those of the service.
"""


@pytest.mark.parametrize("entry", COMMANDS, ids=[entry.name for entry in COMMANDS])
def test_summaries_agree(entry: CommandEntry) -> None:
    """
    The help of all commands says of each what its own help begins with.
    """
    command = load_command(entry.name)

    assert entry.summary == command.help.partition("\n")[0]
    assert entry.name == command.name


@pytest.mark.parametrize(
    ("words", "late"),
    [
        (["--help"], {"aiohttp", "asyncio", "attrs", "kling_async.wire"}),
        (["doctor", "--skip-invalid"], {"kling_async.batch", "kling_async.cli.batch", "sqlite3"}),
        (["batch", "--status", "none.kling"], {"aiohttp", "kling_async.batch.batch", "kling_async.media.storage"}),
        (
            ["batch", "-", "--format", "csv", "--dry-run", "--dialect", "gateway"],
            {
                "aiohttp",
                "kling_async.batch.records",
                "kling_async.client.client",
                "kling_async.client.handle",
                "kling_async.media.storage",
                "kling_async.wire.endpoints.text_to_video",
            },
        ),
    ],
)
def test_start_loads_only_what_is_needed(words: list[str], late: set[str]) -> None:
    """
    The help of all commands needs no module of any, reports and dry runs do without the client, and the doctor without
    the journal.
    """
    seen = f"print('late:', *sorted({late!r} & sys.modules.keys()))"
    program = f"import atexit, sys; atexit.register(lambda: {seen}); from kling_async.__main__ import main; main()"
    table = "prompt,n\na fox,1\n"
    ended = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=SOURCE, capture_output=True, text=True, check=False, input=table
    )

    assert "late:" == ended.stdout.splitlines()[-1].strip()


def test_end_searches_no_garbage() -> None:
    """
    All that a command has loaded would be searched.
    """
    program = "import atexit, gc; atexit.register(lambda: print(len(gc.get_objects()) < gc.get_freeze_count()))"
    ended = run_python(
        f"import sys; sys.argv[1:] = ['--help']; {program}; from kling_async_command import main; main()"
    )

    assert "True" == ended.stdout.splitlines()[-1]


async def test_version(command: Command) -> None:
    """
    `--version` tells the package's.
    """
    ended = await command("--version")

    assert (0, f"kling-async {kling_async.__version__}\n") == (ended.code, ended.out)


@pytest.mark.parametrize("module", ["typer", "rich"])
def test_missing_cli_extra(module: str) -> None:
    """
    Without typer or rich the command names the way to get them, and not a trace.
    """
    ended = run_python(f"import sys; sys.modules['{module}'] = None; from kling_async.__main__ import main; main()")

    assert (2, "") == (ended.returncode, ended.stdout)
    assert 'pip install "kling-async[cli,emulator]"' in ended.stderr
    assert 1 == len(ended.stderr.splitlines())


@pytest.mark.parametrize(
    "words",
    [["demo"], ["emulator"], ["generate", "--emulator", "a fox"], ["batch", "--emulator", "-", "--journal", "x"]],
)
def test_missing_emulator_extra(here: Here, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    """
    Without Pillow the commands that draw name the way to get it.
    """
    monkeypatch.setitem(sys.modules, "PIL", None)

    ended = here(*words)

    assert (2, "") == (ended.code, ended.out)
    assert 'pip install "kling-async[cli,emulator]"' in ended.err
    assert 1 == len(ended.err.splitlines())


def test_library_needs_no_extra() -> None:
    """
    Importing the library brings in neither typer nor rich nor Pillow.
    """
    ended = run_python("import sys, kling_async; print({'typer', 'rich', 'PIL'} & sys.modules.keys())")

    assert "set()\n" == ended.stdout
