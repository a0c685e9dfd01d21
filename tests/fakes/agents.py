"""
An agent: the SDK's own client, connected to a server in this process, whose service is an emulator.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import mcp.types as mcp_types
from mcp.client import Client

from kling_async import OFFICIAL, Dialect
from kling_async.client.budget import Budget
from kling_async.emulator import Emulator, Fault
from kling_async.integrations.mcp import AgentService, TaskLog, make_server
from tests.fakes.clients import client_of, emulator

PLENTY = 10_000


@attrs.frozen
class Reply:
    """
    What a tool has returned.
    """

    result: mcp_types.CallToolResult

    @property
    def text(self) -> str:
        return "\n".join(each.text for each in self.result.content if isinstance(each, mcp_types.TextContent))

    @property
    def fields(self) -> dict[str, Any]:
        assert not self.result.is_error, self.text
        assert self.result.structured_content is not None
        fields: dict[str, Any] = self.result.structured_content
        return fields

    @property
    def error(self) -> str:
        assert self.result.is_error, self.text
        return self.text

    @property
    def pictures(self) -> list[mcp_types.ImageContent]:
        return [each for each in self.result.content if isinstance(each, mcp_types.ImageContent)]

    @property
    def links(self) -> list[mcp_types.ResourceLink]:
        return [each for each in self.result.content if isinstance(each, mcp_types.ResourceLink)]

    @property
    def everything(self) -> str:
        return json.dumps(self.result.model_dump(mode="json"))


@attrs.frozen
class Agent:
    """
    What a test has of an agent and its server.

    Attributes:
        progress: The messages that it was sent.
        questions: What it was asked.
    """

    client: Client
    service: AgentService
    emulator: Emulator
    progress: list[str] = attrs.field(factory=list)
    questions: list[str] = attrs.field(factory=list)

    async def __call__(self, tool: str, /, **arguments: Any) -> Reply:
        return Reply(await self.client.call_tool(tool, arguments, progress_callback=self._note))

    async def _note(self, progress: float, total: float | None, message: str | None) -> None:
        assert total is None or progress <= total
        self.progress.append(message or "")

    @property
    def tasks(self) -> int:
        return len(self.emulator.ledger.tasks)


def service_of(server: Emulator, folder: Path, budget: Budget, **options: Any) -> AgentService:
    """
    Return the operations of a server that saves in *folder*.
    """
    log = TaskLog(folder / TaskLog.NAME)
    is_remote = options.pop("is_remote", False)
    client = client_of(server, on_event=log.note, budget=budget, **options)
    return AgentService.of(client, budget, log, folder, is_remote=is_remote)


@contextlib.asynccontextmanager
async def connected(
    server: Emulator,
    folder: Path,
    *,
    units: float = PLENTY,
    mode: str = "auto",
    answer: Callable[[], str] | None = None,
    **options: Any,
) -> AsyncIterator[Agent]:
    """
    Connect an agent to a server of its own.

    Args:
        mode: "auto" for the newest protocol, "legacy" for the handshake of earlier ones.
        answer: What the user answers when asked: "yes", "no", "decline" or "cancel". None if nobody can be asked.
    """
    service = service_of(server, folder, Budget(units=units), **options)
    questions: list[str] = []

    async def ask(context: Any, params: Any) -> mcp_types.ElicitResult:
        questions.append(params.message)
        word = "" if answer is None else answer()
        if word in ("yes", "no"):
            return mcp_types.ElicitResult(action="accept", content={"allow": word == "yes"})
        return mcp_types.ElicitResult(action="decline" if word == "decline" else "cancel")

    async with Client(make_server(service), mode=mode, elicitation_callback=None if answer is None else ask) as client:
        yield Agent(client, service, server, questions=questions)


@contextlib.asynccontextmanager
async def agent(
    folder: Path, *rules: Fault, dialect: Dialect = OFFICIAL, settings: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Agent]:
    """
    Start an emulator, and connect an agent to a server that uses it.
    """
    async with emulator(dialect, *rules, **(settings or {})) as server, connected(server, folder, **options) as one:
        yield one
