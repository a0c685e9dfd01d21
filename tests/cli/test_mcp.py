"""
`kling-async mcp`, as the program that an agent starts.
"""

import asyncio
import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.server.mcpserver import MCPServer

from kling_async import OFFICIAL
from kling_async.cli.mcp import McpOptions, _serve_http
from kling_async.policy.spending import Amount
from tests.cli.conftest import Command, Here, on_terminal
from tests.fakes.agents import Caller, use_every_tool
from tests.fakes.clients import emulator
from tests.fakes.eventually import eventually
from tests.fakes.subprocesses import PATIENCE


async def test_agent_works_over_stdio(command: Command) -> None:
    """
    It starts the command and calls every tool. A call that is cancelled loses nothing, and the ledger agrees.
    """
    folder = command.folder / "kling-async"
    async with emulator(OFFICIAL) as server:
        env = {**command.to(server).with_env(HOME=str(command.folder)).environ(), **command.zygote}
        words = ["mcp", "--dialect", "official", "--max-units", "30"]
        parameters = StdioServerParameters(command=command.program[0], args=words, env=env, cwd=command.folder)
        async with Client(parameters) as client:
            one = Caller(client=client, emulator=server)
            assert 11 == len((await client.list_tools()).tools)
            await use_every_tool(one, folder)

            call = asyncio.create_task(one("generate_images", prompt="an owl", wait_seconds=600))
            await eventually(lambda: 4 == one.tasks)
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await call
            async with asyncio.timeout(PATIENCE):  # the answer may still be on its way
                while "an owl" not in (newest := await one("list_tasks", limit=1)).text:
                    await asyncio.sleep(0.01)
            assert [server.ledger.tasks[-1].task_id] == [task["task_id"] for task in newest.fields["tasks"]]
            assert "BudgetExceeded" in (await one("generate_images", prompt="a bear")).error
    assert 4 == len(server.ledger.tasks) == len((folder / "kling-async-tasks.jsonl").read_text().splitlines())


async def test_sigterm_ends_it_although_stdin_is_open(command: Command) -> None:
    """
    The SDK reads stdin in a thread that nothing interrupts. Only the protocol is on stdout.
    """
    greeting: dict[str, Any] = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    async with command.running("mcp", "--emulator", "--folder", "saved") as server:
        assert server.process.stdin is not None
        server.process.stdin.write(json.dumps(greeting).encode() + b"\n")
        await server.until('"result"')
        server.interrupt(signal.SIGTERM)
        assert 0 == await server.process.wait()
        ended = await server.ended()

    [answer] = [json.loads(line) for line in ended.out.splitlines()]
    assert "kling-async" == answer["result"]["serverInfo"]["name"]
    assert "Spent: 0 units" in ended.err


def test_person_at_a_terminal_is_told_what_the_server_waits_for(command: Command) -> None:
    """
    Otherwise nothing would happen, and nothing would say why.
    """
    code, screen = on_terminal(command, "mcp", "--emulator", "--folder", "saved", type_at="Ctrl-C stops")

    assert 0 == code
    assert "if you name it in its configuration; for one that connects to a URL, add --http" in screen
    assert "Spent: 0 units" in screen


def test_commands_do_not_import_the_sdk() -> None:
    """
    It would take two seconds of each.
    """
    program = """
import sys
from kling_async.cli.commands import COMMANDS, load_command
for each in COMMANDS:
    load_command(each.name)
print(sorted({"mcp", "mcp_types", "pydantic", "starlette"} & set(sys.modules)))
"""

    assert "[]\n" == subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_missing_sdk_is_named_with_the_command_that_installs_it(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    As for every other extra.
    """
    for name in [each for each in sys.modules if each.startswith("kling_async.integrations.mcp")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp", None)

    ended = here("mcp")

    assert 2 == ended.code
    assert 'pip install "kling-async[mcp]"' in ended.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--http", "8000"), "HOST:PORT"),
        (("--http", "127.0.0.1:port"), "HOST:PORT"),
        (("--http", "0.0.0.0:8000"), "KLING_MCP_TOKEN"),
        (("--max-units", "-1"), "--max-units"),
        (("--folder", "file/saved"), "--folder: cannot save"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_served(words: tuple[str, ...], message: str, here: Here) -> None:
    """
    With what to write instead.
    """
    Path("file").write_text("no folder")

    ended = here("mcp", *words)

    assert 2 == ended.code
    assert message in " ".join(ended.err.replace("│", " ").split())
    assert "" == ended.out


def test_server_for_all_addresses_needs_its_name(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Otherwise it would refuse every request, since none comes by the name "0.0.0.0".
    """
    monkeypatch.setenv("KLING_MCP_TOKEN", "secret")

    ended = here("mcp", "--http", "0.0.0.0:0")

    assert 2 == ended.code
    assert "--host-name" in ended.err


def test_limit_is_small_unless_an_option_sets_it() -> None:
    """
    Units without an option; only what is given with one.
    """
    assert Amount(20) == McpOptions().make_budget().limit
    assert Amount(50, 3) == McpOptions(max_units=50, max_cost=3).make_budget().limit
    assert Amount(None, 3) == McpOptions(max_cost=3, unknown_units=5).make_budget().limit


async def test_http_server_says_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """
    On stderr, with the port that it has chosen.
    """
    serving = asyncio.create_task(_serve_http(MCPServer("test"), ("127.0.0.1", 0), None, (), bool))
    printed = ""
    while "press Ctrl-C" not in printed:
        await asyncio.sleep(0.01)
        printed += capsys.readouterr().err
    [url] = re.findall(r"http://127\.0\.0\.1:[1-9]\d*/mcp", printed)
    async with Client(url) as client:
        assert [] == (await client.list_tools()).tools
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


def test_address_in_use_is_reported(here: Here) -> None:
    """
    By its number, without a traceback.
    """
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = here("mcp", "--http", f"127.0.0.1:{port}", "--folder", "saved")

    assert 2 == ended.code
    assert f"Cannot listen on 127.0.0.1:{port}" in ended.err
    assert "Traceback" not in ended.err
