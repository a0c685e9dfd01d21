"""
The tools of the server, called by the SDK's own client; the emulator's ledger agrees with what they say.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kling_async import GATEWAY, OFFICIAL, Dialect, ImageRequest
from kling_async.emulator import faults
from kling_async.integrations.mcp.tools import WAIT_MAX
from kling_async.wire import broken_rules
from tests.fakes.agents import Agent, agent, connected, use_every_tool
from tests.fakes.clients import emulator

FOREVER = (3600.0, 3600.0)
"""
How long tasks take that no test waits for.
"""


async def schema_of(one: Agent, name: str) -> dict[str, Any]:
    tools = (await one.client.list_tools()).tools
    return next(dict(tool.input_schema["properties"]) for tool in tools if tool.name == name)


async def test_each_tool_says_what_it_does_and_whether_it_costs(tmp_path: Path) -> None:
    """
    By its description and its annotations. Its schema is closed, and each argument is described.
    """
    async with agent(tmp_path) as one:
        tools = (await one.client.list_tools()).tools

    paid = {"generate_images", "generate_video", "create_task"}
    free = {"wait_for_task", "get_task", "list_tasks", "save_task", "estimate_cost", "describe_kind"}
    free |= {"list_library", "get_account"}
    assert paid | free == {tool.name for tool in tools}
    assert paid == {tool.name for tool in tools if "COSTS MONEY" in (tool.description or "")}
    assert free == {tool.name for tool in tools if "Free" in (tool.description or "")}
    for tool in tools:
        hints = tool.annotations
        assert hints is not None
        assert (tool.name not in paid | {"wait_for_task", "save_task"}) == hints.read_only_hint
        assert tool.name not in paid or not hints.idempotent_hint
        assert (tool.name in paid) == ("costs money" in (tool.title or ""))
        assert tool.input_schema["additionalProperties"] is False
        assert all(each["description"] for each in tool.input_schema["properties"].values())
        assert tool.output_schema is not None


@pytest.mark.parametrize("dialect", [GATEWAY, OFFICIAL], ids=lambda dialect: dialect.name)
async def test_limits_in_the_schema_are_those_of_the_rules(dialect: Dialect, tmp_path: Path) -> None:
    """
    What the schema allows is accepted, and what it does not is refused, for each limited argument of a picture.
    """
    async with agent(tmp_path, dialect=dialect) as one:
        schema = await schema_of(one, "generate_images")

    def is_allowed(**fields: Any) -> bool:
        rules = broken_rules(dialect, ImageRequest(**{"prompt": "a fox", **fields}))
        return not [rule for rule in rules if rule.field in fields and "needs an image" not in rule.rule]

    for name in ("prompt", "negative_prompt"):
        most = schema[name]["maxLength"]
        assert is_allowed(**{name: "x" * most})
        assert not is_allowed(**{name: "x" * (most + 1)})
    assert is_allowed(n=schema["n"]["maximum"])
    assert not is_allowed(n=schema["n"]["maximum"] + 1)
    for name in ("aspect_ratio", "model_name", "image_reference"):
        assert all(is_allowed(**{name: word}) for word in schema[name]["enum"])
        assert not is_allowed(**{name: "another"})
    assert ("resolution" in schema) == bool(dialect.resolutions)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_every_tool_works_and_the_ledger_agrees(mode: str, tmp_path: Path) -> None:
    """
    In both versions of the protocol. Names of files stay inside the folder.
    """
    async with agent(tmp_path, mode=mode) as one:
        task_id = await use_every_tool(one, tmp_path)
        assert "{colour}" in (await one("save_task", task_id=task_id, name="{colour}{ext}")).error
        assert "inside the folder" in (await one("save_task", task_id=task_id, name="../boat{ext}")).error


async def test_unknown_arguments_are_refused_with_what_was_meant(tmp_path: Path) -> None:
    """
    The SDK would drop them without a word, and the picture would be another one. Nothing is sent.
    """
    async with agent(tmp_path) as one:
        for wrong, meant in {
            "model": "model_name",
            "ratio": "aspect_ratio",
            "num_images": "n",
            "promt": "prompt",
        }.items():
            error = (await one("generate_images", prompt="a fox", **{wrong: "x"})).error
            assert f"{wrong}='x': is not a field of generate_images; did you mean {meant}?" in error
        assert "did you mean prompt?" in (await one("create_task", kind="text-to-audio", fields={"promt": "x"})).error
        assert "did you mean task_id?" in (await one("wait_for_task", taskId="1")).error
        assert 0 == one.tasks


async def test_all_broken_rules_are_reported_at_once(tmp_path: Path) -> None:
    """
    In the words of the package, so that a model can fix all of them; also wrong types and missing arguments.
    """
    async with agent(tmp_path) as one:
        error = (await one("generate_images", prompt="a fox", n=12, aspect_ratio="5:4", image_reference="face")).error
        assert "n=12: must be a whole number from 1 to 9" in error
        assert "aspect_ratio='5:4': must be one of 16:9" in error
        assert "image_reference='face': needs an image" in error
        error = (await one("generate_images", n="many")).error
        assert "prompt: Field required" in error
        assert "n: Input should be a valid integer" in error
        assert "wait_seconds" in (await one("generate_video", prompt="x", wait_seconds=WAIT_MAX + 1)).error
        assert "ratio" in (await one("generate_video", prompt="x", image="x.png", aspect_ratio="1:1")).error
        assert "attrs.evolve" not in (await one("generate_images", prompt="x", model_name="kling-v9")).error
        assert "status='done': must be one of submitted" in (await one("list_tasks", status="done")).error
        assert "no-such-kind" in (await one("estimate_cost", kind="no-such-kind", fields={})).error
        assert 0 == one.tasks


async def test_reference_pictures_are_read_from_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Absolute ones, those in the home folder, and those relative to the folder of the saved files.
    """
    monkeypatch.setenv("HOME", str(tmp_path))
    async with agent(tmp_path, settings={"picture_scale": 0.4}) as one:
        path = Path((await one("generate_images", prompt="a lighthouse")).fields["files"][0]["path"])
        for image in (str(path), f"~/{path.name}", path.name):
            made = await one("generate_video", prompt="it sails away", image=image)
            assert made.fields["kind"] == "image-to-video"
        assert "No such file" in (await one("generate_images", prompt="a fox", image="~/missing.png")).error


async def test_failed_task_is_an_error_with_its_reason(tmp_path: Path) -> None:
    """
    The model reads why, and that nothing was billed.
    """
    async with agent(tmp_path, faults.failing_task("the prompt is too dark")) as one:
        error = (await one("generate_images", prompt="night")).error
        assert "TaskFailed" in error
        assert "the prompt is too dark" in error
        [task] = (await one("list_tasks", status="failed")).fields["tasks"]
        looked = await one("get_task", task_id=task["task_id"])
        assert ["failed", "the prompt is too dark"] == [looked.fields["status"], looked.fields["message"]]
        assert "it is failed" in (await one("save_task", task_id=task["task_id"])).error
        assert 0 == one.emulator.ledger.units_billed


async def test_key_and_signed_urls_never_show(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    Neither in results nor in errors nor in the log, whatever the service answers.
    """
    async with emulator(OFFICIAL) as server:
        for key in (server.api_key, "sk-wrong-key-that-nobody-has"):
            caplog.clear()
            async with connected(server, tmp_path) as one:
                replies = [
                    await one("generate_images", prompt="a fox"),
                    await one("generate_images", prompt="a fox", api_key=key),
                    await one("create_task", kind="image-generation", fields={"prompt": "x", "token": key}),
                    await one("list_tasks", source="account"),
                    await one("get_account"),
                    await one("get_task", task_id="no-such-task"),
                ]
            told = "".join(reply.everything for reply in replies) + caplog.text
            assert key not in told
            assert server.url not in told
            assert "Signature" not in told


async def test_files_are_saved_once_however_often_they_are_waited_for(tmp_path: Path) -> None:
    """
    A second wait returns the same files without a download, and fetches what somebody has deleted.
    """
    async with agent(tmp_path) as one:
        made = await one("generate_images", prompt="a fox", n=2)
        waited = await one("wait_for_task", task_id=made.fields["task_id"])
        assert made.fields == waited.fields
        assert 2 == one.emulator.ledger.downloads
        Path(made.fields["files"][0]["path"]).unlink()
        again = await one("wait_for_task", task_id=made.fields["task_id"])
        assert all(Path(file["path"]).is_file() for file in again.fields["files"])


async def test_wait_ends_in_time_and_says_how_to_go_on(tmp_path: Path) -> None:
    """
    A picture that takes longer is no error: the report has the id, and the same task is waited for again.
    """
    async with agent(tmp_path, settings={"latency": FOREVER}) as one:
        made = await one("generate_images", prompt="a fox", wait_seconds=0.2)
        assert made.fields["status"] in ("submitted", "processing")
        assert f"call wait_for_task with task_id {made.fields['task_id']}" in made.text
        still = await one("wait_for_task", task_id=made.fields["task_id"], wait_seconds=0.2)
        assert [] == still.links
        assert "still running" in still.text
        assert 1 == one.tasks


async def test_progress_names_the_task_before_anything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    So even a client that gives up early has seen the id. While it waits, it hears how the task is doing.
    """
    monkeypatch.setattr("kling_async.integrations.mcp.waiting.PROGRESS_EVERY", 0.0)
    async with agent(tmp_path) as one:
        made = await one("generate_images", prompt="a fox")
        await asyncio.sleep(0)
        task_id = made.fields["task_id"]
        accepted = one.progress.index(f"accepted as task {task_id}")
        assert {"waiting to be accepted"} == set(one.progress[:accepted])
        assert any(f"task {task_id} is" in text for text in one.progress[accepted + 1 :])


async def test_tasks_of_other_programs_can_be_waited_for(tmp_path: Path) -> None:
    """
    By their id; of another kind than pictures, with their kind, as the error says if it is missing.
    """
    async with agent(tmp_path) as one:
        other = await one.service.client.submit("a fox")
        assert (await one("wait_for_task", task_id=other.task_id)).pictures
        error = (await one("get_task", task_id="12345")).error
        assert "give its kind" in error
        assert "no-such" in (await one("get_task", task_id="12345", kind="no-such")).error


async def test_voices_and_elements_are_listed_and_made(tmp_path: Path) -> None:
    """
    Those of the service, and those that the account has made.
    """
    voice = {"voice_name": "Ada", "voice_url": "https://example.org/ada.mp3"}
    async with agent(tmp_path) as one:
        presets = (await one("list_library", kind="voices", presets=True, limit=1)).fields
        assert [1, True] == [len(presets["records"]), presets["has_more"]]
        assert "There are none." == (await one("list_library", kind="elements")).text
        [made] = (await one("create_task", kind="custom-voice", fields=voice, wait_seconds=60)).fields["made"]
        listed = (await one("list_library", kind="voices")).fields["records"]
        assert [made] == listed
        assert ["voice", "Ada"] == [made["kind"], made["name"]]


async def test_services_that_do_not_list_tasks_say_so(tmp_path: Path) -> None:
    """
    A gateway lists none; the server's own tasks are listed all the same, and packs are not asked for.
    """
    async with agent(tmp_path, dialect=GATEWAY) as one:
        await one("generate_images", prompt="a fox")
        assert "do not list" in (await one("list_tasks", source="account")).error
        assert 1 == len((await one("list_tasks")).fields["tasks"])
        account = await one("get_account")
        assert [[], 1.0] == [account.fields["packs"], account.fields["units_spent"]]
        assert "a gateway may differ" in account.text
