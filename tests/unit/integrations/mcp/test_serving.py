"""
The server over streamable HTTP, on loopback: tools, resources, tokens and names of hosts.
"""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.types import BlobResourceContents

from kling_async import OFFICIAL
from kling_async.client.budget import Budget
from kling_async.emulator import Emulator
from kling_async.integrations.mcp import AgentService, listen, make_server, serve_http
from tests.fakes.agents import Agent, agent, service_of, use_every_tool
from tests.fakes.clients import emulator
from tests.fakes.eventually import eventually


@attrs.frozen
class Served:
    """
    A server at `url`, and what is behind it.
    """

    url: str
    service: AgentService
    emulator: Emulator
    serving: "asyncio.Task[None]"

    @contextlib.asynccontextmanager
    async def agent(self, mode: str = "auto") -> AsyncIterator[Agent]:
        async with Client(self.url, mode=mode) as client:
            yield Agent(client=client, service=self.service, emulator=self.emulator)


@contextlib.asynccontextmanager
async def served(folder: Path, token: str | None = None, **settings: object) -> AsyncIterator[Served]:
    async with emulator(OFFICIAL, **settings) as server:
        service = service_of(server, folder, Budget(units=1000), is_remote=True)
        with listen("127.0.0.1", 0) as listener:
            work = serve_http(make_server(service), listener, token=token, on_stop=service.stopping.set)
            serving = asyncio.create_task(work)
            host, port = listener.getsockname()
            try:
                yield Served(f"http://{host}:{port}/mcp", service, server, serving)
            finally:
                serving.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await serving


async def test_every_tool_works_over_http_and_the_ledger_agrees(tmp_path: Path) -> None:
    """
    As within one process.
    """
    async with served(tmp_path) as here, here.agent() as one:
        assert 11 == len((await one.client.list_tools()).tools)
        await use_every_tool(one, tmp_path)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_several_agents_share_a_server(mode: str, tmp_path: Path) -> None:
    """
    For one agent after another, with one client for all of them; a call that is cancelled loses nothing.
    """
    async with served(tmp_path, latency=(0.3, 0.3)) as here:
        async with here.agent(mode) as one:
            made = await one("generate_images", prompt="a fox", n=2)
            assert [2, 2] == [len(made.pictures), len(made.links)]
            assert any("accepted as task" in text for text in one.progress)
            call = asyncio.create_task(one("generate_video", prompt="a boat", wait_seconds=60))
            await eventually(lambda: 2 == one.tasks == len(list(here.service.log)))
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await call
        async with here.agent(mode) as other:
            tasks = (await other("list_tasks")).fields["tasks"]
            assert ["text-to-video", "image-generation"] == [task["kind"] for task in tasks]
            assert (await other("wait_for_task", task_id=tasks[0]["task_id"])).links
        assert {task["task_id"] for task in tasks} == {task.task_id for task in here.emulator.ledger.tasks}


async def test_saved_files_can_be_read_by_their_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    By an agent on another machine; other files cannot, wherever they are.
    """
    outside = tmp_path / "secret.png"
    outside.write_bytes(b"secret")
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "link.png").symlink_to(outside)
    async with served(folder) as here, here.agent() as one:
        [link] = (await one("generate_images", prompt="a fox")).links
        [content] = (await one.client.read_resource(link.uri)).contents
        assert isinstance(content, BlobResourceContents)
        assert [link.mime_type, link.size] == [content.mime_type, len(base64.b64decode(content.blob))]
        for path in (outside, folder / "link.png", folder / ".." / "secret.png", folder / "kling-async-tasks.jsonl"):
            with pytest.raises(MCPError):
                await one.client.read_resource(f"file://{path}")
        monkeypatch.setattr("kling_async.integrations.mcp.server.READ_MAX", 10)
        with pytest.raises(MCPError, match="has more than 10 bytes"):
            await one.client.read_resource(link.uri)


async def test_agent_elsewhere_cannot_have_files_of_this_machine_sent(tmp_path: Path) -> None:
    """
    A reference picture is a URL, or a file that was saved here.
    """
    folder = tmp_path / "saved"
    folder.mkdir()
    async with served(folder, picture_scale=0.4) as here, here.agent() as one:
        path = (await one("generate_images", prompt="a lighthouse")).fields["files"][0]["path"]
        (tmp_path / "private.png").write_bytes(Path(path).read_bytes())
        for image in (str(tmp_path / "private.png"), "../private.png"):
            assert "reads no other files" in (await one("generate_images", prompt="x", image=image)).error
        assert (await one("generate_video", prompt="it moves", image=path)).fields["task_id"]
        assert 2 == one.tasks


async def test_agents_without_the_token_are_refused(tmp_path: Path) -> None:
    """
    With 401, before anything of the protocol is read.
    """
    async with served(tmp_path, "let-me-in") as here:
        async with httpx2.AsyncClient() as plain:
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "let-me-in"}):
                answer = await plain.post(here.url, headers=headers, json={})
                assert [401, "Bearer"] == [answer.status_code, answer.headers["WWW-Authenticate"]]
        async with (
            httpx2.AsyncClient(headers={"Authorization": "Bearer let-me-in"}) as known,
            Client(streamable_http_client(here.url, http_client=known)) as client,
        ):
            assert 11 == len((await client.list_tools()).tools)


async def test_pages_in_browsers_cannot_reach_it_under_names_of_theirs(tmp_path: Path) -> None:
    """
    A request with another host name or origin is refused.
    """
    async with served(tmp_path) as here, httpx2.AsyncClient() as browser:
        for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
            answer = await browser.post(here.url, headers={"Accept": "application/json", **headers}, json={})
            assert answer.status_code in (403, 421)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_stopping_ends_running_calls_at_once(mode: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    They return the ids of their tasks, as if their time were over, and nothing is logged as a crash.
    """
    async with served(tmp_path, latency=(3600.0, 3600.0)) as here, here.agent(mode) as one:
        await one.client.list_tools()  # otherwise it would ask for the schema of the result, when the server is gone
        call = asyncio.create_task(one("generate_images", prompt="a fox", wait_seconds=600))
        await eventually(lambda: list(here.service.log))
        here.serving.cancel()
        assert "still running" in (await call).text
    assert 1 == len(list(here.service.log))
    assert [] == [record for record in caplog.records if record.levelname == "ERROR"]


async def test_one_server_serves_stdio_and_http_alike(tmp_path: Path) -> None:
    """
    The tools are the same.
    """
    async with agent(tmp_path) as inside:
        tools = await inside.client.list_tools()
    async with served(tmp_path) as here, here.agent() as outside:
        assert tools.tools == (await outside.client.list_tools()).tools
