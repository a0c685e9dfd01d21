"""
What the README shows is true: its programs run, and its commands are where `.ci/run` and newcomers look for them.
"""

import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp
import PIL.Image
import pytest
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser

from kling_async.emulator import Emulator
from tests.test_callbacks import served_by_uvicorn

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


class Programs(CodeBlockParser):
    """
    Collects the Python blocks of a page, to be run as programs of their own.
    """

    language = "python"

    def evaluate(self, example: object) -> None:
        raise AssertionError("they are run by the test below")


def programs() -> list[str]:
    document = Sybil(parsers=[Programs()]).parse(README)
    return [str(example.parsed) for example in document.examples()]


def consoles() -> list[list[str]]:
    blocks = re.findall(r"^```console\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    return [block.splitlines() for block in blocks]


@pytest.mark.parametrize("program", programs(), ids=lambda program: f"line of {len(program)}")
def test_each_program_runs(
    program: str, emulator_in_thread: Callable[..., Emulator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    As it stands, with nothing but the key and the host of the emulator in the environment.
    """
    server = emulator_in_thread(latency=(0.05, 0.1), picture_scale=0.1)
    monkeypatch.setenv("KLING_API_KEY", server.api_key)
    monkeypatch.setenv("KLING_BASE_URL", server.url)
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (0, "") == (ended.returncode, ended.stderr)


async def test_the_application_answers_and_is_told(
    emulator_in_thread: Callable[..., Emulator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The one with FastAPI is served, asked for a picture, and called back.
    """
    server = emulator_in_thread(latency=(0.05, 0.1), picture_scale=0.1)
    monkeypatch.setenv("KLING_API_KEY", server.api_key)
    monkeypatch.setenv("KLING_BASE_URL", server.url)
    (tmp_path / "service.py").write_text(next(program for program in programs() if "FastAPI" in program))
    program = runpy.run_path(str(tmp_path / "service.py"))
    async with served_by_uvicorn(program["app"], "", lifespan="on") as url, aiohttp.ClientSession() as session:
        program["receiver"].public_url = f"{url}/kling"
        async with session.get(f"{url}/picture", params={"prompt": "a lighthouse"}) as answer:
            address = await answer.json()

    assert address.startswith(server.url.removesuffix("/kling"))
    assert program["receiver"].counts.unsigned
    assert {200} == server.ledger.callback_answers.keys()


def test_the_first_two_commands_are_one_line_each() -> None:
    """
    The first is the demo, the second runs all tests; each makes its own virtual environment.
    """
    first, second = consoles()[:2]

    assert [1, 1] == [len(first), len(second)]
    assert first[0].startswith("$ python3 -m venv")
    assert first[0].endswith("kling-async demo")
    assert second[0].startswith("$ python3 -m venv")
    assert second[0].endswith("pytest")


def test_each_picture_is_there() -> None:
    """
    Pictures that a page shows exist, open, and stay small.
    """
    shown = [ROOT / path for path in re.findall(r"!\[.*?\]\((docs/.*?)\)", README.read_text())]

    assert shown
    for path in shown:
        assert path.stat().st_size < 300_000
        with PIL.Image.open(path) as picture:
            picture.verify()
