import json
import re
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import pytest

from kling_async.client.callbacks.receiver import CallbackReceiver
from tests.cli.conftest import Command, Here
from tests.fakes.eventually import eventually

SECRET: Final = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="


async def test_serves_until_interrupted(command: Command) -> None:
    """
    It tells address, key and ledger; the line it offers makes `generate` work; Ctrl-C sums up and is exit code 0.
    """
    words = ("--port", "0", "--latency", "0.1:0.2", "--api-key", "sk-mine", "--seed", "3")
    async with command.running("emulator", *words) as running:
        await running.until("-d ")
        told = "".join(running.seen)
        env = dict(re.findall(r"(KLING_\w+)=(\S+)", told))
        made = await command.with_env(**env)("generate", "a fox")
        async with aiohttp.ClientSession() as session:
            headers = {"Authorization": "Bearer sk-mine"}
            page = await session.get(re.findall(r"ledger +(\S+)", told)[0], headers=headers)
            ledger = await page.json()
        running.interrupt()
        ended = await running.ended()

    assert "sk-mine" == env["KLING_API_KEY"]
    assert f'curl -X POST "{env["KLING_BASE_URL"]}/v1/images/generations"' in told
    assert 0 == made.code
    assert ["a fox"] == [task["prompt"] for task in ledger["tasks"]]
    assert (0, "") == (ended.code, ended.err)
    assert re.search(r"^tasks +1$", ended.out, re.MULTILINE)


async def test_names(command: Command) -> None:
    """
    A name that is not this machine's opens it only where it was told.
    """
    async with command.running("emulator", "--port", "0", "--host-name", "kling.test", "--json") as running:
        await running.until("base_url")
        url = json.loads(running.seen[0])["ledger"]
        async with aiohttp.ClientSession() as session:
            statuses = [
                (await session.get(url, headers={"Host": name})).status for name in ("kling.test", "other.test")
            ]
        running.interrupt()
        await running.ended()

    assert [401, 421] == statuses


async def test_json(command: Command) -> None:
    """
    With `--json` a program reads address and key from the one line on stdout; the summary goes to stderr.
    """
    async with command.running("emulator", "--port", "0", "--dialect", "official", "--json") as running:
        await running.until("base_url")
        facts = json.loads(running.seen[0])
        async with aiohttp.ClientSession() as session:
            headers = {"Authorization": f"Bearer {facts['api_key']}"}
            page = await session.get(facts["ledger"], headers=headers)
        running.interrupt()
        ended = await running.ended()

    assert {"base_url", "api_key", "dialect", "ledger"} == facts.keys()
    assert (200, "official", 0) == (page.status, facts["dialect"], ended.code)
    assert running.seen == ended.out.splitlines(keepends=True)
    assert re.search(r"^requests +0 ", ended.err, re.MULTILINE)


async def test_fault(command: Command) -> None:
    """
    Troubles are ordered as text, and are summed up.
    """
    async with command.running("emulator", "--port", "0", "--units", "0", "--dialect", "official") as running:
        await running.until("-d ")
        env = dict(re.findall(r"(KLING_\w+)=(\S+)", "".join(running.seen)))
        made = await command.with_env(**env)("generate", "a fox")
        running.interrupt()
        ended = await running.ended()

    assert 4 == made.code
    assert "official" == env["KLING_DIALECT"]
    assert re.search(r"^refusals +1 of 1102$", ended.out, re.MULTILINE)


async def test_dialect_of_a_file_is_part_of_what_is_exported(command: Command) -> None:
    """
    With its full path, since the other terminal may be in another folder; then programs and commands have the dialect.
    """
    path = command.folder / "relay.toml"
    path.write_text('base = "gateway"\nmodels = ["kling-v2-1"]\ndefault_model = "kling-v2-1"\n')
    async with command.running("emulator", "--port", "0", "--dialect", "relay.toml") as running:
        await running.until("-d ")
        env = dict(re.findall(r"(KLING_\w+)=(\S+)", "".join(running.seen)))
        running.interrupt()
        ended = await running.ended()

    assert (0, str(path)) == (ended.code, env["KLING_DIALECT"])


async def test_callbacks(command: Command) -> None:
    """
    With a secret its callbacks are signed, and the summary counts them.
    """
    receiver = CallbackReceiver("http://127.0.0.1", secret=SECRET)
    words = ("--port", "0", "--latency", "0.1", "--callback-secret", SECRET)
    async with receiver.serve() as here, command.running("emulator", *words) as running:
        await running.until("-d ")
        env = dict(re.findall(r"(KLING_\w+)=(\S+)", "".join(running.seen)))
        url = here.url + urlsplit(receiver.address_of("submit-1")).path
        made = await command.with_env(**env)("generate", "a fox", "--callback-url", url)
        await eventually(lambda: receiver.counts.received == 3)
        running.interrupt()
        ended = await running.ended()

    assert (0, 0) == (made.code, ended.code)
    assert 3 == receiver.counts.signed
    assert re.search(r"^callbacks +3 sent, \d answered$", ended.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--fault", "create:nonsense"], "reset_after"),
        (["--latency", "6:2"], "MIN:MAX"),
        (["--latency", "nan"], "MIN:MAX"),
        (["--callback-secret", "hunter2!"], "signing secret"),
        (["--host", "203.0.113.1"], "Cannot listen"),
        (["--host", "999.1.1.1"], "Cannot listen on 999.1.1.1:0"),
    ],
)
def test_wrong_usage(here: Here, words: list[str], told: str) -> None:
    """
    A service that cannot be is wrong usage, told by what would be right.
    """
    ended = here("emulator", "--port", "0", *words)

    assert 2 == ended.code
    assert told in ended.err
    assert "Unknown error" not in ended.err
    assert "Traceback" not in ended.err
