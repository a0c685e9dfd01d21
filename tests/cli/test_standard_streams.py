"""
Streams, disks and folders that fail a command: it ends in words and a documented exit code, and what is paid goes on.
"""

import errno
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kling_async.batch.journal import Reader
from kling_async.cli.standard_streams import Outlet
from tests.cli.conftest import Command, Ended, Here, service
from tests.fakes.small_disks import mounted
from tests.fakes.subprocesses import PATIENCE

PROMPTS = "a fox\nan owl\n"


@pytest.fixture
def folder(command: Command) -> Path:
    (command.folder / "prompts.txt").write_text(PROMPTS)
    return command.folder


@pytest.fixture
def emulated(folder: Path) -> tuple[str, ...]:
    """
    A batch that needs no service.
    """
    return ("batch", "prompts.txt", "--emulator", "--latency", "0.1", "--json", "--journal", str(folder / "j.kling"))


def run(command: Command, *words: str, redirected: str) -> Ended:
    """
    Run *words* with the redirections that *redirected* names; what they leave is captured. A Python that starts without
    a stream is no fork of one that has all.
    """
    program = (sys.executable, "-m", "kling_async") if "&-" in redirected else command.program
    ended = subprocess.run(
        ["/bin/sh", "-c", f'"$@" {redirected}', "sh", *program, *words],
        cwd=command.folder,
        env={**command.environ(), **command.zygote},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def saved(journal: Path) -> int:
    with Reader(journal) as reader:
        return reader.summary().saved


# Streams


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("--version",),
        (),
        ("generate", "--help"),
        ("batch", "prompts.txt", "--dry-run", "--emulator"),
        ("batch", "prompts.txt", "--emulator", "--latency", "0"),
        ("demo", "--count", "1", "--latency", "0"),
    ],
    ids=" ".join,
)
def test_reader_that_closes_its_pipe(command: Command, folder: Path, words: tuple[str, ...]) -> None:
    """
    A reader that closes its pipe early, as `head -1` does, is not a failure of the command.
    """
    reading, writing = os.pipe()
    os.close(reading)
    program = command.program if words not in [(), ("--help",)] else (sys.executable, "-m", "kling_async")
    ended = subprocess.run(
        [*program, *words],
        cwd=folder,
        env={**command.environ(), **command.zygote},
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=PATIENCE,
        check=False,
    )
    os.close(writing)

    assert (0 if words else 2, b"") == (ended.returncode, ended.stderr)


def test_full_disk_behind_stdout(command: Command, folder: Path, emulated: tuple[str, ...]) -> None:
    """
    A batch goes on where its lines cannot be written; that they are lost is said, with the exit code of disks.
    """
    ended = run(command, *emulated, redirected="> /dev/full")

    assert 7 == ended.code
    assert "the output is incomplete: writing to stdout failed: [Errno 28] No space left on device" in ended.err
    assert "Traceback" not in ended.err
    assert 2 == saved(folder / "j.kling")


def test_full_disk_behind_help(command: Command) -> None:
    """
    Whatever prints says that it could not.
    """
    assert 7 == run(command, "--help", redirected="> /dev/full").code


@pytest.mark.parametrize("redirected", [">&-", "2>&-", ">&- 2>&- <&-", "> /dev/null 2> /dev/full"])
def test_streams_that_are_closed(command: Command, folder: Path, emulated: tuple[str, ...], redirected: str) -> None:
    """
    A command that was started without streams works all the same, and no file of its own takes their numbers.
    """
    assert 0 == run(command, *emulated, redirected=redirected).code
    assert 2 == saved(folder / "j.kling")


def test_stdin_that_is_closed(command: Command) -> None:
    """
    Reading from a stdin that is not there finds nothing.
    """
    ended = run(command, "generate", "--emulator", "-", redirected="<&-")

    assert 2 == ended.code
    assert "stdin contains no prompt" in ended.err


def test_outlet_to_a_terminal_that_has_gone() -> None:
    """
    A terminal that was closed takes nothing any more, and says so by an error that is kept.
    """
    ours, theirs = pty.openpty()
    os.close(ours)
    with open(theirs, "wb", buffering=0) as raw:  # noqa: PTH123 (a descriptor)
        outlet = Outlet(raw)
        sizes = [outlet.write(b"one"), outlet.write(b"two")]

    assert [3, 3] == sizes
    assert outlet.is_lost
    assert outlet.error is not None
    assert errno.EIO == outlet.error.errno


def test_outlet_to_a_pipe_that_does_not_block() -> None:
    """
    A pipe that another program made non-blocking gets all that is written, as fast as it is read.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    text = os.urandom(300_000)
    taken: list[bytes] = []

    def read() -> None:
        with open(reading, "rb") as file:  # noqa: PTH123 (a descriptor)
            taken.append(file.read())

    reader = threading.Thread(target=read)
    reader.start()
    with open(writing, "wb", buffering=0) as raw:  # noqa: PTH123 (a descriptor)
        outlet, rest = Outlet(raw), memoryview(text)
        while rest:
            rest = rest[outlet.write(rest) :]
    reader.join(PATIENCE)

    assert [text] == taken


# Disks and folders


@pytest.fixture
def disk(folder: Path) -> Iterator[Path]:
    """
    A disk with room for bytes, and for one file.
    """
    with mounted(folder / "disk", "nr_inodes=2") as disk:
        yield disk


@pytest.mark.parametrize("option", ["--journal", "--out"])
def test_no_inodes(command: Command, folder: Path, disk: Path, option: str) -> None:
    """
    A disk that takes no more files is told as full, before anything is sent.
    """
    (disk / "last").touch()
    ended = run(command, "batch", "prompts.txt", "--emulator", option, str(disk / "x"), redirected="")

    assert 7 == ended.code
    assert "nothing was sent" in ended.err.lower()
    assert "free some disk space, then run the same command again" in ended.err.lower()


@pytest.mark.parametrize("words", [("batch", "prompts.txt", "--emulator"), ("batch", "--status", "loop.kling")])
def test_journal_that_is_a_loop_of_links(here: Here, folder: Path, words: tuple[str, ...]) -> None:
    """
    It is told in words, and the link is left alone.
    """
    (folder / "loop.kling").symlink_to("loop.kling")
    ended = here(*words, *(["--journal", "loop.kling"] if "--status" not in words else []))

    assert ended.code in (2, 7)
    assert "Too many levels of symbolic links" in " ".join(ended.err.split())
    assert (folder / "loop.kling").is_symlink()


@pytest.mark.parametrize(
    "words",
    [
        ("batch", "prompts.txt", "--emulator", "--journal", "."),
        ("batch", "prompts.txt", "--emulator", "--journal", ""),
        ("batch", "prompts.txt", "--emulator", "--journal", "/"),
        ("batch", "prompts.txt", "--emulator", "--journal", "{folder}"),
        ("batch", "prompts.txt", "--emulator", "--journal", os.devnull),
        ("batch", "--status", "."),
        ("batch", ".", "--emulator"),
        ("batch", "", "--emulator"),
    ],
)
def test_path_that_is_not_a_file(here: Here, folder: Path, words: tuple[str, ...]) -> None:
    """
    Folders, devices and paths without a name are refused in words, before anything is created.
    """
    ended = here(*(word.format(folder=folder) for word in words))

    assert ended.code in (2, 7)
    told = " ".join(ended.err.replace("│", "").split())
    assert any(words in told for words in ("must be a regular file", "is not a file", "there is no such journal"))
    assert {path.name for path in folder.rglob("*")} <= {"prompts.txt", "pictures"}


def test_name_that_is_too_long(here: Here, folder: Path) -> None:
    """
    An error of the system that no command foresees is told with its exit code, not with a trace.
    """
    ended = here("batch", "prompts.txt", "--dry-run", "--emulator", "--journal", "j" * 300)

    assert 7 == ended.code
    assert "File name too long" in ended.err


@pytest.mark.parametrize("change", ["a file in its place", "gone", "a loop of links"])
async def test_folder_of_the_journal_is_lost(command: Command, folder: Path, change: str) -> None:
    """
    A run whose journal cannot be reached any more ends what is under way, and says why in words.
    """
    (folder / "kept").mkdir()
    (folder / "prompts.txt").write_text("".join(f"fox {number}\n" for number in range(30)))
    words = ("batch", "prompts.txt", "--journal", "kept/j.kling", "--json")
    async with service(slots=2) as server, command.to(server).running(*words, "--slots", "2") as running:
        await running.until("succeed")
        (folder / "kept").rename(folder / "moved")
        if change == "a file in its place":
            (folder / "kept").touch()
        elif change == "a loop of links":
            (folder / "kept").symlink_to("kept")
        ended = await running.ended()

    assert 7 == ended.code
    assert "Traceback" not in ended.err
    assert "Stopped: " in ended.err
    with Reader(folder / "moved" / "j.kling") as reader:
        known = {row.task_id for row in reader.rows()}
    assert {task.task_id for task in server.ledger.tasks} <= known
