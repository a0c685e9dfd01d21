"""
An agent: the SDK's own client, connected to a server in this process, whose service is an emulator.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
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


@attrs.frozen(kw_only=True)
class Caller:
    """
    An agent, and the service behind its server.

    Attributes:
        progress: The messages that it was sent.
    """

    client: Client
    emulator: Emulator
    progress: list[str] = attrs.field(factory=list)

    async def __call__(self, tool: str, /, **arguments: Any) -> Reply:
        return Reply(await self.client.call_tool(tool, arguments, progress_callback=self._note))

    async def _note(self, progress: float, total: float | None, message: str | None) -> None:
        assert total is None or progress <= total
        self.progress.append(message or "")

    @property
    def tasks(self) -> int:
        return len(self.emulator.ledger.tasks)


@attrs.frozen(kw_only=True)
class Agent(Caller):
    """
    An agent whose server is in this process.

    Attributes:
        questions: What it was asked.
    """

    service: AgentService
    questions: list[str] = attrs.field(factory=list)


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
        yield Agent(client=client, service=service, emulator=server, questions=questions)


@contextlib.asynccontextmanager
async def agent(
    folder: Path, *rules: Fault, dialect: Dialect = OFFICIAL, settings: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Agent]:
    """
    Start an emulator, and connect an agent to a server that uses it.
    """
    async with emulator(dialect, *rules, **(settings or {})) as server, connected(server, folder, **options) as one:
        yield one


async def use_every_tool(one: Caller, folder: Path) -> str:
    """
    Call each tool of a server that saves in *folder*, and compare what is reported with the ledger. Return the id of a
    task whose file is saved.
    """
    pictures = await one("generate_images", prompt="a lighthouse", n=2, aspect_ratio="3:2")
    assert ["succeeded", 16.0] == [pictures.fields["status"], pictures.fields["units_billed"]]
    assert [2, 2] == [len(pictures.pictures), len(pictures.links)]
    saved = [Path(file["path"]) for file in pictures.fields["files"]]
    assert [path.as_uri() for path in saved] == [link.uri for link in pictures.links]
    assert [path.stat().st_size for path in saved] == [link.size for link in pictures.links]
    assert {"image/png"} == {link.mime_type for link in pictures.links}

    video = await one("generate_video", prompt="a boat", duration=5)
    task_id = video.fields["task_id"]
    assert "wait_for_task" in video.text
    assert (await one("get_task", task_id=task_id)).fields["kind"] == "text-to-video"
    film = await one("wait_for_task", task_id=task_id)
    assert ["video/mp4"] == [link.mime_type for link in film.links]
    assert [] == film.pictures
    assert [5.0] == [file["seconds"] for file in film.fields["files"]]

    sound = await one("create_task", kind="text-to-audio", fields={"prompt": "rain"}, wait_seconds=60)
    assert ["audio/mpeg"] == [link.mime_type for link in sound.links]

    listed = await one("list_tasks")
    kinds = [task["kind"] for task in listed.fields["tasks"]]
    assert ["text-to-audio", "text-to-video", "image-generation"] == kinds  # the newest first
    assert {"succeeded"} == {task["status"] for task in listed.fields["tasks"]}
    ours = (await one("list_tasks", source="account", kind="text-to-video")).fields["tasks"]
    assert [(task_id, "a boat")] == [(task["task_id"], task["prompt"]) for task in ours]

    again = await one("save_task", task_id=task_id, name="films/{prompt}-{index}{ext}")
    assert [str(folder / "films" / "a-boat-0.mp4")] == [file["path"] for file in again.fields["files"]]

    price = await one("estimate_cost", kind="text-to-video", fields={"prompt": "a boat", "duration": 10})
    assert [6.0, 0.84] == [price.fields["units"], price.fields["dollars_at_most"]]
    described = await one("describe_kind", kind="virtual-try-on")
    assert ["human_image", "cloth_image", "model_name"] == [field["name"] for field in described.fields["fields"]]

    presets = (await one("list_library", kind="voices", presets=True)).fields["records"]
    assert {"voice"} == {record["kind"] for record in presets}

    account = await one("get_account")
    ledger = one.emulator.ledger
    assert [16, 3, Decimal("0.25")] == [task.units for task in ledger.tasks]
    assert account.fields["units_spent"] == float(ledger.units_billed) == 19.25
    assert len(account.fields["packs"]) == 1
    return str(task_id)
