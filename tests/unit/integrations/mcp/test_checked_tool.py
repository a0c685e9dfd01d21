"""
What a model reads of an error, and what it does not.
"""

from typing import Annotated, Any

import pytest
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult
from pydantic import Field

from kling_async.errors import BudgetExceeded, KlingError, NoFreeSlot, SubmissionUncertain
from kling_async.integrations.mcp.checked_tool import CheckedTool, explain


def server_with(error: Exception) -> MCPServer[None]:
    async def fail(number: Annotated[int, Field(description="Any.")] = 1) -> str:
        raise error

    return MCPServer("test", tools=[CheckedTool.from_function(fail, description="Fails.")])


async def text_of(error: Exception, **arguments: Any) -> str:
    with pytest.raises(ToolError) as raised:
        await server_with(error).call_tool("fail", arguments)
    return str(raised.value)


async def test_errors_of_the_package_and_of_the_system_are_read_in_their_own_words() -> None:
    """
    Without what may sign a URL. The SDK would only say that the tool has failed.
    """
    assert "KlingError: it broke (task 7)" == await text_of(KlingError("it broke", "7"))
    told = await text_of(OSError(28, "No space left on device", "https://example.org/x?Signature=secret"))
    assert "No space left on device" in told
    assert "secret" not in told


async def test_other_errors_are_not_shown() -> None:
    """
    Their texts may be anything; the log has them.
    """
    assert "Error executing tool fail" == await text_of(KeyError("sk-secret"))


async def test_wrong_arguments_are_refused_without_their_values() -> None:
    """
    A value may be a key.
    """
    told = await text_of(KeyError(), number="sk-secret", api_key="sk-other", numbr=3)
    assert "secret" not in told
    assert "other" not in told
    assert "numbr=3: is not a field of fail; did you mean number?" in told
    assert "number: Input should be a valid integer" in told


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (NoFreeSlot("all are taken"), "wait for running tasks first"),
        (SubmissionUncertain("lost"), "Do not create it again"),
        (BudgetExceeded("no price"), "--unknown-units"),
        (KlingError("other"), "KlingError: other"),
    ],
)
def test_advice_is_that_of_the_nearest_class(error: KlingError, advice: str) -> None:
    """
    An error without advice has its message alone.
    """
    assert advice in explain(error)


async def test_results_pass() -> None:
    """
    What a tool returns is not touched.
    """

    async def add(first: Annotated[int, Field(description="Any.")]) -> int:
        return first + 1

    result = await MCPServer("test", tools=[CheckedTool.from_function(add, description="Adds.")]).call_tool(
        "add", {"first": 1}
    )
    assert isinstance(result, CallToolResult)
    assert {"result": 2} == result.structured_content
