"""
The tools: names, descriptions, arguments and annotations, as a model reads them.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Literal

from mcp.server.elicitation import AcceptedElicitation
from mcp.server.mcpserver import Context, Elicit, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import ElicitationResult
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import Field

from kling_async.integrations.mcp import account
from kling_async.integrations.mcp.arguments import choice, object_of, plain_schema, text
from kling_async.integrations.mcp.checked_tool import CheckedTool
from kling_async.integrations.mcp.drafts import Draft
from kling_async.integrations.mcp.reports import AccountReport, CostReport, KindReport, RecordList, TaskList, TaskReport
from kling_async.integrations.mcp.service import STATUSES, AgentService, AnyContext
from kling_async.integrations.mcp.spending import Approval
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT

__all__ = ["WAIT_MAX", "make_tools"]

WAIT_MAX: Final = 600
"""
Seconds that one call may wait. The client program mostly gives up earlier.
"""

_PICTURES_FOR: Final = 45
"""
Seconds that calls wait by default: many client programs give up after 60.
"""

_WAITING: Final = "Seconds to wait for the result; 0 returns the task id at once."

_CREATES: Final = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False)
_SAVES: Final = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True)
_READS: Final = ToolAnnotations(read_only_hint=True)
_KNOWS: Final = ToolAnnotations(read_only_hint=True, open_world_hint=False)
"""
What client programs may decide by: whether a tool changes anything, and whether it reaches the service.
"""


def make_tools(service: AgentService) -> list[Tool]:
    """
    Return the tools of a service.
    """
    return [*_creating_tools(service), *_task_tools(service), *_free_tools(service)]


def _creating_tools(service: AgentService) -> list[Tool]:
    drafts = service.drafts
    return [
        _creating_tool(
            service,
            drafts.images(),
            "generate_images",
            "Generate pictures from text, or from text and a reference picture. COSTS MONEY for each picture. Waits, "
            "saves the pictures, and returns previews and links. If they are not ready in time it returns the task id: "
            "then call wait_for_task, not this again.",
            waits=_PICTURES_FOR,
        ),
        _creating_tool(
            service,
            drafts.video(),
            "generate_video",
            "Generate a video from text, or from a first or last picture. COSTS MONEY by the second. Returns a task id "
            "at once; a video takes minutes: call wait_for_task until it has ended.",
            waits=0,
        ),
        _creating_tool(
            service,
            drafts.any_kind(),
            "create_task",
            "Create a task of any kind, such as lip sync, try-on, effects or sounds. COSTS MONEY. Call describe_kind "
            "first. Returns a task id at once; then call wait_for_task.",
            waits=0,
        ),
    ]


def _creating_tool(service: AgentService, draft: Draft, name: str, description: str, *, waits: int) -> Tool:
    shared = list(inspect.signature(draft).parameters.values())

    async def ask(context: AnyContext, **fields: Any) -> Elicit[Approval] | None:
        request = draft(**fields)
        question = service.spending.question_for(request, context)
        if question is not None:  # the user should not be asked to pay for what cannot be sent
            await account.check_rules(request, service.client.dialect)
        return question

    async def create(context: AnyContext, answer: Any, wait_seconds: float, **fields: Any) -> CallToolResult:
        approval = _approval_in(answer)
        if approval is not None and not approval.allow:
            raise ToolError("The user did not agree to pay for this. Nothing was sent.")
        return await service.create(draft(**fields), wait_seconds, context, is_on_top=approval is not None)

    in_context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=Context)
    asking = Annotated[ElicitationResult[Approval], Resolve(_with_signature(ask, [in_context, *shared]))]
    waiting = Annotated[float, Field(description=_WAITING, ge=0, le=WAIT_MAX)]
    own = [
        inspect.Parameter("wait_seconds", inspect.Parameter.KEYWORD_ONLY, annotation=waiting, default=waits),
        in_context,
        inspect.Parameter("answer", inspect.Parameter.KEYWORD_ONLY, annotation=asking),
    ]
    function = _with_signature(create, [*shared, *own], Annotated[CallToolResult, TaskReport])
    return _tool(function, _CREATES, name, description)


def _approval_in(answer: object) -> Approval | None:
    # None if the user was not asked. A question that was closed without an answer counts as refused.
    if not isinstance(answer, AcceptedElicitation):
        return Approval(allow=False)
    approval: Approval | None = answer.data
    return approval


def _task_tools(service: AgentService) -> list[Tool]:
    task_id_schema = text("The id of the task.", least=1)
    name_schema = text(f"Names, with {{prompt}}, {{task_id}}, {{index}} and {{ext}}, inside {service.folder}.")
    kind_schema = text("The kind of task, such as image-to-video. Not needed for tasks of this server.")

    async def wait_for_task(
        context: Context[Any, Any],
        task_id: Annotated[str, task_id_schema],
        wait_seconds: Annotated[float, Field(description="Seconds to wait.", gt=0, le=WAIT_MAX)] = _PICTURES_FOR,
        kind: Annotated[str, kind_schema] = "",
    ) -> Annotated[CallToolResult, TaskReport]:
        return await service.wait(task_id, kind, wait_seconds, context)

    async def get_task(
        task_id: Annotated[str, task_id_schema], kind: Annotated[str, kind_schema] = ""
    ) -> Annotated[CallToolResult, TaskReport]:
        return await service.look(task_id, kind)

    async def list_tasks(
        source: Annotated[Literal["server", "account"], Field(description="Whose tasks.")] = "server",
        kind: Annotated[str, text("Only of this kind, such as image-to-video.")] = "",
        status: Annotated[str, choice("Only with this status.", STATUSES)] = "",
        limit: Annotated[int, Field(description="Tasks to return at most.", ge=1, le=100)] = 20,
    ) -> Annotated[CallToolResult, TaskList]:
        return await service.tasks(source, kind, status, limit)

    async def save_task(
        task_id: Annotated[str, task_id_schema],
        name: Annotated[str, name_schema] = "{task_id}-{index}{ext}",
        kind: Annotated[str, kind_schema] = "",
    ) -> Annotated[CallToolResult, TaskReport]:
        return await service.save(task_id, kind, name)

    return [
        _tool(
            wait_for_task,
            _SAVES,
            "wait_for_task",
            "Wait for a task. If it ends, its files are saved, and previews and links are returned. Free; call it "
            "again while the task is running.",
        ),
        _tool(get_task, _READS, "get_task", "Look at a task once, without waiting or saving. Free."),
        _tool(
            list_tasks,
            _READS,
            "list_tasks",
            "List tasks, the newest first: those of this server, also of cancelled calls and earlier runs; or those of "
            f"the account of one kind (default {DEFAULT_ENDPOINT.name}), where the service lists them. Free.",
        ),
        _tool(
            save_task,
            _SAVES,
            "save_task",
            "Save the files of a task that has succeeded, under other names or once more. Free.",
        ),
    ]


def _free_tools(service: AgentService) -> list[Tool]:
    kinds = service.drafts.kinds()

    async def estimate_cost(
        kind: Annotated[str, choice("The kind of task.", kinds)],
        fields: Annotated[dict[str, Any], object_of("The request, by field, as for create_task.")],
    ) -> Annotated[CallToolResult, CostReport]:
        return await account.estimate_cost(service.drafts.request_of_kind(kind, fields), service.spending)

    async def describe_kind(kind: Annotated[str, choice("The kind of task.", kinds)]) -> KindReport:
        return service.drafts.describe(kind)

    async def list_library(
        kind: Annotated[Literal["voices", "elements"], Field(description="What to list.")],
        *,
        presets: Annotated[bool, Field(description="Those of the service, not those of the account.")] = False,
        limit: Annotated[int, Field(description="How many to return at most.", ge=1, le=500)] = 50,
    ) -> Annotated[CallToolResult, RecordList]:
        return await account.list_library(service.client, kind, presets=presets, limit=limit)

    async def get_account() -> Annotated[CallToolResult, AccountReport]:
        return await account.describe_account(service.client, service.spending)

    return [
        _tool(
            estimate_cost,
            _KNOWS,
            "estimate_cost",
            "Say what a request would cost, check it, and say whether it fits the limit. Nothing is sent. Free.",
        ),
        _tool(describe_kind, _KNOWS, "describe_kind", "List the fields of a kind of task. Free."),
        _tool(
            list_library,
            _READS,
            "list_library",
            "List voices, or elements (persons and things), by whose ids requests for videos refer to them. Free.",
        ),
        _tool(
            get_account,
            _READS,
            "get_account",
            "Say what this server has spent of its limit, and list the account's packs where the service shows them. "
            "Free.",
        ),
    ]


def _tool(function: Callable[..., Any], annotations: ToolAnnotations, name: str, description: str) -> Tool:
    title = name.replace("_", " ").capitalize() + (" (costs money)" if annotations is _CREATES else "")
    tool = CheckedTool.from_function(function, name, title, description, annotations=annotations)
    tool.parameters = plain_schema(tool.parameters)
    return tool


def _with_signature(
    function: Callable[..., Any], parameters: Sequence[inspect.Parameter], returns: Any = inspect.Signature.empty
) -> Callable[..., Any]:
    # Let the SDK see these parameters, where the function takes any fields.
    named = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    function.__signature__ = inspect.Signature(named, return_annotation=returns)  # type: ignore[attr-defined]
    function.__annotations__ = {parameter.name: parameter.annotation for parameter in named}
    if returns is not inspect.Signature.empty:
        function.__annotations__["return"] = returns
    return function
