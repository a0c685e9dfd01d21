"""
A batch as a person runs it: stopped, killed, taken up again, and never paid twice.
"""

import contextlib
import json
import signal
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import PIL.Image
import pytest

from kling_async import OFFICIAL
from kling_async.batch.journal import Reader
from kling_async.batch.records import State
from kling_async.emulator import Emulator, faults
from kling_async.errors import JournalCorrupt
from tests.cli.conftest import Command, Ended, Here, lines_of, service
from tests.fakes.eventually import eventually


def write_prompts(folder: Path, count: int) -> None:
    (folder / "prompts.txt").write_text("".join(f"fox number {number}\n" for number in range(count)))


def prompts_made(server: Emulator) -> Counter[str]:
    return Counter(task.prompt for task in server.ledger.tasks)


def once_each(count: int) -> Counter[str]:
    return Counter({f"fox number {number}": 1 for number in range(count)})


def pictures_in(folder: Path) -> int:
    paths = list(folder.glob("*.png"))  # killing a command may leave a hidden part of one
    for path in paths:
        with PIL.Image.open(path) as picture:
            picture.verify()
    return len(paths)


@attrs.frozen
class BatchCommand:
    """
    `kling-async batch` in this process, and a service in a thread.
    """

    here: Here
    folder: Path
    server: Emulator

    def __call__(self, *words: str) -> Ended:
        return self.here("batch", *words, "--base-url", self.server.url)

    def write(self, count: int) -> None:
        write_prompts(self.folder, count)

    def change(self, **settings: Any) -> None:
        self.server.account.settings = attrs.evolve(self.server.account.settings, **settings)


InProcess: TypeAlias = Callable[..., BatchCommand]


@pytest.fixture
def in_process(here: Here, tmp_path: Path, emulator_in_thread: Callable[..., Emulator]) -> InProcess:
    """
    Start a service for commands in this process: quick, where nothing is to be killed.
    """

    def start(**settings: Any) -> BatchCommand:
        server = emulator_in_thread(
            **{"api_key": "sk-x", "latency": (0.0, 0.0), "pictures": "plain", "picture_scale": 0.1, **settings}
        )
        return BatchCommand(here, tmp_path, server)

    return start


def test_json(in_process: InProcess) -> None:
    """
    Each line of the input is an outcome on stdout, under its key and with its files; a second run has nothing to do,
    and does not forget that a row has failed.
    """
    batch = in_process(dialect=OFFICIAL, faults=[faults.failing_task(prompt="storm")])
    rows = [
        {"prompt": "a fox", "key": "fox", "n": 2, "image": "cats/one.png", "image_reference": "subject"},
        {"prompt": "a storm", "key": "storm"},
    ]
    (batch.folder / "in" / "cats").mkdir(parents=True)
    PIL.Image.new("RGB", (300, 300)).save(batch.folder / "in" / "cats" / "one.png")
    (batch.folder / "in" / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ("in/rows.jsonl", "--json", "--name", "{key}-{index}{ext}", "--dialect", "official")
    ended, again = batch(*words), batch(*words)

    lines = {line["key"]: line for line in lines_of(ended.out)}
    fox, storm = lines["fox"], lines["storm"]
    ids = {task.prompt: (task.task_id, task.external_task_id) for task in batch.server.ledger.tasks}
    assert (1, 1, "") == (ended.code, again.code, again.out)
    assert {"a fox": 1, "a storm": 1} == prompts_made(batch.server)
    assert ["pictures/fox-0.png", "pictures/fox-1.png"] == [image["path"] for image in fox["images"]]
    assert 2 == pictures_in(batch.folder / "pictures")
    assert ids["a fox"] == (fox["task_id"], fox["external_task_id"])
    assert ("succeed", 16, None) == (fox["status"], fox["units"], fox["error"])
    assert ("failed", "TaskFailed", []) == (storm["status"], storm["error"]["class"], storm["images"])
    assert "in/rows.jsonl.kling" in ended.err
    assert "1 saved, 1 failed" in again.err
    assert "To see the files: kling-async gallery in/rows.jsonl.kling" == again.err.splitlines()[-1]


async def test_stopped_in_good_order(command: Command) -> None:
    """
    After one Ctrl-C nothing more is sent, and what is under way is finished; the same command then makes the rest.
    """
    write_prompts(command.folder, 4)
    async with service(latency=(60, 60), slots=2) as server:
        async with command.to(server).running("batch", "prompts.txt", "--slots", "2") as running:
            await eventually(lambda: counts_in(command)[State.ACCEPTED] == 2)
            running.interrupt()
            await running.until("Stopping: ")
            server.account.settings = attrs.evolve(server.account.settings, latency=(0.1, 0.1))
            finish_all(server)
            ended = await running.ended()
        made = len(server.ledger.tasks)
        again = await command.to(server)("batch", "prompts.txt")

    assert (130, 2) == (ended.code, made)
    assert "Stopping: nothing more is sent; waiting for 2 running tasks." in ended.out
    assert "Press Ctrl-C again to quit immediately" in ended.out
    assert "2 queued, 2 saved" in ended.out
    assert (0, once_each(4), 4) == (again.code, prompts_made(server), pictures_in(command.folder / "pictures"))


async def test_killed(command: Command) -> None:
    """
    What was accepted goes on at the service; the same command waits for it, and sends nothing twice. Meanwhile the
    journal tells how far it has come.
    """
    write_prompts(command.folder, 4)
    async with service(latency=(60, 60), slots=2) as server:
        async with command.to(server).running("batch", "prompts.txt", "--slots", "2") as running:
            await eventually(lambda: counts_in(command)[State.ACCEPTED] == 2)
            status = await command("batch", "--status", "prompts.txt.kling", "--json")
            running.interrupt(signal.SIGKILL)
            await running.ended()
        server.account.settings = attrs.evolve(server.account.settings, latency=(0.1, 0.1))
        finish_all(server)
        again = await command.to(server)("batch", "prompts.txt")

    (counts,) = lines_of(status.out)
    assert (4, 2, 2, False) == tuple(counts[name] for name in ("rows", "queued", "accepted", "is_complete"))
    assert (0, once_each(4), 4) == (again.code, prompts_made(server), pictures_in(command.folder / "pictures"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_left_at_once(command: Command, number: signal.Signals) -> None:
    """
    A second Ctrl-C waits for no task, and neither does SIGTERM; the journal knows what goes on at the service.
    """
    write_prompts(command.folder, 3)
    async with (
        service(latency=(60, 60), slots=2) as server,
        command.to(server).running("batch", "prompts.txt", "--slots", "2") as running,
    ):
        await eventually(lambda: counts_in(command)[State.ACCEPTED] == 2)
        running.interrupt(number)
        if number is signal.SIGINT:
            await running.until("Ctrl-C again")
            running.interrupt()
        ended = await running.ended()

    assert 130 == ended.code
    assert "Run the same command again to continue" in ended.err
    assert "Traceback" not in ended.err
    assert {State.ACCEPTED: 2, State.QUEUED: 1} == counts_in(command)


def counts_in(command: Command) -> Counter[State]:
    """
    Count the rows of the journal, which may be at work, by their states.
    """
    try:
        with Reader(command.folder / "prompts.txt.kling") as reader:
            return Counter(row.state for row in reader.rows())
    except (FileNotFoundError, JournalCorrupt):  # it is about to be made
        return Counter()


def finish_all(server: Emulator) -> None:
    """
    Let all tasks that run have ended.
    """
    account = server.account
    for task_id in [task.task_id for task in server.ledger.tasks]:
        record = account.find_task(task_id)
        assert record is not None
        account._by_task_id[task_id] = attrs.evolve(record, done_at=record.created_at)
    account.usage.slots.clear()


async def test_emulated_service_seems_to_go_on(command: Command) -> None:
    """
    With `--emulator` a batch can be killed and taken up again, though its service dies with it; it has a journal of its
    own.
    """
    write_prompts(command.folder, 4)
    quick = ("--slots", "2", "--dialect", "official")
    async with command.running("batch", "prompts.txt", "--emulator", "--latency", "0.8", *quick) as running:
        await running.until("done: ")
        running.interrupt(signal.SIGKILL)
        await running.ended()
    again = await command("batch", "prompts.txt", "--emulator", "--latency", "0.1", *quick)

    assert 0 == again.code, again
    assert "4 saved" in again.out
    assert 4 == pictures_in(command.folder / "pictures")
    assert (command.folder / "prompts.txt.emulator.kling").exists()
    assert not (command.folder / "prompts.txt.kling").exists()


def test_input_was_edited(in_process: InProcess) -> None:
    """
    Rows that are not in the input any more stop the command before anything is sent, until somebody decides.
    """
    batch = in_process(units=0)
    batch.write(3)
    poor = batch("prompts.txt")
    batch.write(2)
    unclear = batch("prompts.txt")
    refused = batch.server.ledger.refusals.total()
    dropped = batch("prompts.txt", "--drop-missing")
    batch.write(1)
    batch.change(units=None)
    kept = batch("prompts.txt", "--keep-missing")

    assert (4, 2, 4, 0) == (poor.code, unclear.code, dropped.code, kept.code)
    assert "Stopped: AccountProblem" in poor.out
    assert "3 unsent rows: run the same command again to continue" in poor.out
    assert "1 unsent row of prompts.txt.kling no longer in prompts.txt" in unclear.err
    assert "--keep-missing" in unclear.err
    assert "--drop-missing" in unclear.err
    assert refused == 3
    assert once_each(2) == prompts_made(batch.server)


def test_uncertain(in_process: InProcess) -> None:
    """
    A row of unknown fate is reported with its key, prompt and what to do; it is sent again only on request.
    """
    batch = in_process(faults=[faults.reset_after(prompt="lost", times=1)])
    (batch.folder / "rows.jsonl").write_text('{"prompt": "a lost fox", "key": "mine"}\n{"prompt": "a fox"}\n')
    first, second = batch("rows.jsonl"), batch("rows.jsonl")
    before = prompts_made(batch.server)
    resent = batch("rows.jsonl", "--resend-uncertain")

    assert (6, 6, {"a lost fox": 1, "a fox": 1}) == (first.code, second.code, before)
    for ended in (first, second):
        assert "1 SubmissionUncertain: possibly created and paid for: check the vendor's console" in ended.out
        assert "  mine  a lost fox\n" in ended.out
        assert "--resend-uncertain" in ended.out
    assert (0, {"a lost fox": 2, "a fox": 1}) == (resent.code, prompts_made(batch.server))


def test_failure_that_may_pass(in_process: InProcess) -> None:
    """
    The command reports that another run tries again, and another run does; with more attempts the same run would.
    """
    batch = in_process(faults=[faults.failing_task("the paint ran out", times=2)])
    batch.write(1)
    first, second = batch("prompts.txt"), batch("prompts.txt", "--max-attempts", "2")

    assert (1, 0, 3) == (first.code, second.code, len(batch.server.ledger.tasks))
    assert "1 failed row may succeed later: run the same command again to retry" in first.out


def test_another_account_and_another_request(in_process: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A journal is of the account with which it was begun, until --new-key; and a key that it knows for another request is
    reported with its line, and nothing is sent.
    """
    batch = in_process()
    (batch.folder / "rows.csv").write_text("key,prompt\nk,a fox\n")
    batch("rows.csv")
    (batch.folder / "rows.csv").write_text("key,prompt\nl,an owl\nk,a bear\n")
    another_request = batch("rows.csv")
    monkeypatch.setenv("KLING_API_KEY", "sk-other")
    another_account = batch("rows.csv")
    (batch.folder / "rows.csv").write_text("key,prompt\nk,a fox\n")
    new_key, again = batch("rows.csv", "--new-key"), batch("rows.csv")
    monkeypatch.undo()

    assert (0, 0) == (new_key.code, again.code)
    assert (2, 2, 1) == (another_account.code, another_request.code, batch.server.ledger.creates_received)
    assert "JournalMismatch: 'rows.csv.kling' belongs to another account" in another_account.err
    assert "to continue it with the new ones, use --new-key" in another_account.err
    assert "line 3: key 'k': is the key of another request in this journal" in another_request.err


async def test_one_process_at_a_time(command: Command) -> None:
    """
    A second process reports the first; and a journal that is taken away stops all, and is reported.
    """
    write_prompts(command.folder, 3)
    async with (
        service(latency=(60, 60), slots=1) as server,
        command.to(server).running("batch", "prompts.txt", "--slots", "1") as running,
    ):
        await eventually(lambda: server.ledger.tasks)
        second = await command.to(server)("batch", "prompts.txt")
        (command.folder / "prompts.txt.kling").rename(command.folder / "elsewhere.kling")
        finish_all(server)
        ended = await running.ended()

    assert (2, 7) == (second.code, ended.code)
    assert "JournalLocked: another process works on 'prompts.txt.kling'" in second.err
    assert "Stopped: JournalCorrupt: 'prompts.txt.kling' was moved or deleted" in ended.out
    assert 1 == len(server.ledger.tasks)


async def test_callbacks(command: Command) -> None:
    """
    With an address from outside, the command listens for callbacks while it runs, and takes signed ones.
    """
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    env = {"KLING_CALLBACK_SECRET": (secret := "whsec_c2VjcmV0")}
    async with service(callback_secret=secret) as server:
        words = ("batch", "-", "--journal", "run.kling", "--callbacks", f"http://{address}/kling", "--listen", address)
        ended = await command.to(server).with_env(**env)(*words, stdin=b"a fox\nan owl\n")

    assert 0 == ended.code
    assert {200} == server.ledger.callback_answers.keys()
    assert {"a fox": 1, "an owl": 1} == prompts_made(server)


def test_dry_run(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A dry run needs no key, judges all lines, and leaves nothing behind.
    """
    monkeypatch.delenv("KLING_API_KEY")
    (tmp_path / "rows.csv").write_text("prompt,n\na fox,2\nan owl,20\n")

    broken = here("batch", "rows.csv", "--dry-run")
    ended = here("batch", "rows.csv", "--dry-run", "--skip-invalid", "--json", "--dialect", "official")

    assert (2, "", 0) == (broken.code, broken.out, ended.code)
    assert "line 3: n 20: must be a whole number from 1 to 9" in broken.err
    assert [(1, 2, 16, 0.056)] == [
        (facts["requests"], facts["pictures"], facts["units"], facts["dollars"]) for facts in lines_of(ended.out)
    ]
    assert ["rows.csv"] == [path.name for path in tmp_path.iterdir()]


def test_dry_run_judges_as_the_account_s_service_does(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Without an option, the environment names it: the dialect, the URL, or the kind of key. A wrong URL is reported.
    """
    (tmp_path / "long.txt").write_text(600 * "a" + "\n")  # a gateway takes 500 characters

    def code_with(**variables: str) -> int:
        with monkeypatch.context() as patch:
            for name in ("KLING_API_KEY", "KLING_BASE_URL", "KLING_DIALECT"):
                patch.delenv(name, raising=False)
            for name, value in variables.items():
                patch.setenv(f"KLING_{name}", value)
            return here("batch", "long.txt", "--dry-run", "--give-up-after", "0.1").code

    pair = {"ACCESS_KEY": "an-access-key-of-the-tests", "SECRET_KEY": "a-secret-key-of-the-tests-of-32-bytes"}
    nowhere = "https://127.0.0.1:9"
    assert (2, 2) == (code_with(), code_with(API_KEY="sk-1"))
    assert (0, 0) == (code_with(DIALECT="official"), code_with(BASE_URL="https://api-singapore.klingai.com"))
    assert 0 == code_with(**pair, BASE_URL=nowhere, DIALECT="official")
    assert 2 == code_with(API_KEY="sk-1", BASE_URL="nowhere")


def test_dry_run_leaves_out_repeated_keys(here: Here, tmp_path: Path) -> None:
    """
    A line whose key an earlier line has for another request is found after it was counted, and counts no more.
    """
    (tmp_path / "rows.csv").write_text("key,prompt,n\na,a fox,2\na,an owl,3\nb,a hen,1\n")

    ended = here("batch", "rows.csv", "--dry-run", "--skip-invalid", "--json", "--dialect", "official")

    assert [(2, 3)] == [(facts["requests"], facts["files"]) for facts in lines_of(ended.out)]
    assert "line 3: key 'a': is already the key of line 2, for another request" in ended.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "INPUT"),
        (["-"], "--journal"),
        (["prompts.prn"], "use --format jsonl, csv or text"),
        (["none.txt"], "No such file"),
        (["prompts.txt", "--name", "{index}{ext}"], "put {task_id}, {key} or {number} into it"),
        (["prompts.txt", "--name", "{key}{ext}/{what}"], "unknown field {what}"),
        (["rows.csv", "--name", "{key}{ext}"], "gives two files one name"),
        (["prompts.txt", "--keep-missing", "--drop-missing"], "--drop-missing"),
        (["prompts.txt", "--callbacks", "ftp://host"], "absolute http(s) URL"),
        (["prompts.txt", "--callbacks", "https://host", "--listen", "8080"], "HOST:PORT"),
        (["prompts.txt", "--listen", "127.0.0.1:0"], "--callbacks"),
        (["prompts.txt", "--out", "/dev/null/here"], "/dev/null/here"),
        (["prompts.txt", "--journal", "/dev/null/run.kling"], "/dev/null"),
        (["prompts.txt", "--max-attempts", "0"], "--max-attempts"),
    ],
)
def test_wrong_usage(here: Here, tmp_path: Path, words: list[str], message: str) -> None:
    """
    Wrong usage is reported by its name, with exit code 2, and no journal is created.
    """
    (tmp_path / "prompts.txt").write_text("a fox\n")
    (tmp_path / "rows.csv").write_text("prompt,n\na fox,2\n")

    ended = here("batch", *words, "--give-up-after", "0.1")

    assert 2 == ended.code
    assert message in " ".join(ended.err.replace("│", "").split())
    assert "Traceback" not in ended.err
    assert not list(tmp_path.glob("*.kling"))
