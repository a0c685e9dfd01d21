import subprocess
import sys

import pytest

import kling_async
from tests.cli.conftest import SOURCE, Command, Here


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], cwd=SOURCE, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("word", ["demo", "generate", "batch", "gallery", "emulator", "callback-test", "doctor"])
def test_help(here: Here, word: str) -> None:
    """
    Help fits a screen, has examples, and tells the exit codes.
    """
    ended = here(word, "--help")

    assert 0 == ended.code
    assert len(ended.out.splitlines()) <= 45
    assert f"  kling-async {word}" in ended.out
    assert "130 interrupted" in ended.out


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
