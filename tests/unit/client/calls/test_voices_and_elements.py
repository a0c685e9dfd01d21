"""
`client.voices` and `client.elements` against the emulator.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kling_async import (
    GATEWAY,
    OFFICIAL,
    Batch,
    Done,
    Element,
    ElementRequest,
    ImageToVideo,
    Voice,
    VoiceRequest,
)
from kling_async.emulator import Fault, faults
from kling_async.errors import InvalidRequest, SubmissionUncertain
from tests.fakes.clients import client_of, emulator
from tests.fakes.valid_requests.pictures import PNG

URL = "https://files.example/voice.mp3"
FOX: dict[str, Any] = {"frontal_image": PNG, "refer_images": [PNG, PNG]}

LOST = [faults.reset_after("create"), faults.garbled("create"), faults.status_after("create")]


async def test_voice_is_created_listed_and_deleted() -> None:
    """
    It costs 0.05 units, and can be heard.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        voice = await client.voices.create("narrator", URL)
        assert [voice] == [each async for each in client.voices.list()]
        await client.voices.delete(voice)
        assert [] == [each async for each in client.voices.list()]

        assert ("custom-voice", "0.05") == (server.ledger.tasks[0].endpoint, str(server.ledger.units_billed))
    assert ("narrator", "emulator") == (voice.voice_name, voice.owned_by)


async def test_element_is_created_listed_and_deleted() -> None:
    """
    It is free, and stays in the list.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        element = await client.elements.create("fox", "a red fox", **FOX, tag_list=["o_102"])
        assert [element] == [each async for each in client.elements.list()]
        await client.elements.delete(element.element_id)
        (deleted,) = [each async for each in client.elements.list(page_size=1)]

        assert 0 == server.ledger.units_billed
    assert ("fox", "a red fox", "image_refer", ("o_102",), "succeed") == (
        element.element_name,
        element.element_description,
        element.reference_type,
        element.tag_list,
        element.status,
    )
    assert (element.element_id, "deleted") == (deleted.element_id, deleted.status)


async def test_presets_are_listed() -> None:
    """
    Page by page; they belong to the service, and go into requests.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        voices = [each async for each in client.voices.presets(page_size=3)]
        elements = [each async for each in client.elements.presets()]
        await client.submit(ImageToVideo(PNG, prompt="a walk", element_list=[elements[0]]))
        element = await client.elements.create(
            "fox", "a fox", refer_video="https://files.example/fox.mp4", element_voice_id=voices[0]
        )

    assert {"kling"} == {voice.owned_by for voice in voices} == {each.owned_by for each in elements}
    assert (10, 10) == (len({voice.voice_id for voice in voices}), len({each.element_id for each in elements}))
    assert (voices[0].voice_id, "video_refer") == (element.voice and element.voice.voice_id, element.reference_type)


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: fault.kind)
async def test_lost_create_is_found(fault: Fault) -> None:
    """
    They are tasks, with an id of ours: each is made once, and paid for once.
    """
    async with emulator(OFFICIAL, fault) as server, client_of(server) as client:
        voice = await client.voices.create("narrator", URL)
        element = await client.elements.create("fox", "a red fox", **FOX)

        assert ["custom-voice", "custom-element"] == [task.endpoint for task in server.ledger.tasks]
    assert ("narrator", "fox") == (voice.voice_name, element.element_name)


async def test_cancelled_create_keeps_its_task(caplog: pytest.LogCaptureFixture) -> None:
    """
    It goes on, and its id is in the log.
    """
    async with emulator(OFFICIAL, faults.stuck_task()) as server, client_of(server) as client:
        creating = asyncio.ensure_future(client.voices.create("narrator", URL))
        while not server.ledger.reads:  # it waits for the task by now
            await asyncio.sleep(0.005)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating

        (handle,) = client.unfinished
    assert f"task {handle.task_id} is still running" in caplog.text


async def test_lost_create_at_a_gateway_is_uncertain() -> None:
    """
    There is no id to find it by.
    """
    async with emulator(GATEWAY, faults.reset_after("create")) as server, client_of(server) as client:
        with pytest.raises(SubmissionUncertain):
            await client.voices.create("narrator", URL)

        assert 1 == len(server.ledger.tasks)


async def test_lost_delete_is_sent_again() -> None:
    """
    That there is nothing left to delete is then what was wanted.
    """
    lost = faults.reset_after("call", times=1)
    async with emulator(OFFICIAL, lost) as server, client_of(server) as client:
        voice = await client.voices.create("narrator", URL)
        await client.voices.delete(voice.voice_id)

        assert ({"delete-voice": 1}, 2) == (server.ledger.calls, server.ledger.arrivals["call"])


async def test_second_delete_is_refused() -> None:
    """
    If no answer was lost, the caller is told.
    """
    async with emulator(OFFICIAL, faults.rate_limited("call", after=1, times=1)) as server:
        async with client_of(server) as client:
            element = await client.elements.create("fox", "a red fox", **FOX)
            await client.elements.delete(element)
            with pytest.raises(InvalidRequest, match="already be deleted"):
                await client.elements.delete(element)

        assert 3 == server.ledger.arrivals["call"]


@pytest.mark.parametrize("fault", [None, faults.reset_before("call", times=1)], ids=["", "lost"])
async def test_unknown_ones_cannot_be_deleted(fault: Fault | None) -> None:
    """
    A lost answer does not make them right.
    """
    async with emulator(OFFICIAL, *([] if fault is None else [fault])) as server, client_of(server) as client:
        with pytest.raises(InvalidRequest, match="Voice id not found"):
            await client.voices.delete("nobody")
        with pytest.raises(InvalidRequest, match="Element id not found: 5"):
            await client.elements.delete(Element(5))


@pytest.mark.parametrize("element", [0, -1, "5", True, 2**63, None])
async def test_impossible_ids_are_not_sent(element: Any) -> None:
    """
    The rule says what an id is.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        with pytest.raises(InvalidRequest, match="must be the id of an element"):
            await client.elements.delete(element)
        with pytest.raises(InvalidRequest, match="voice_id"):
            await client.voices.delete(Voice(""))

        assert {} == server.ledger.arrivals


async def test_gateways_list_none() -> None:
    """
    By their pages.
    """
    async with emulator(GATEWAY) as server, client_of(server) as client:
        for listed in (client.voices.list(), client.elements.presets()):
            with pytest.raises(InvalidRequest, match="do not list"):
                await anext(listed)

        assert {} == server.ledger.arrivals


async def test_they_are_tasks_like_others(tmp_path: Path) -> None:
    """
    `generate`, `stream` and batches take them; nothing is saved of them.
    """
    requests: list[Any] = [
        VoiceRequest("narrator", voice_url=URL),
        ElementRequest("fox", element_description="a fox", **FOX),
    ]
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        result = await client.generate(requests[0])
        streamed = [outcome async for outcome in client.stream(requests)]
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(requests)
            async for _ in batch.run(tmp_path / "files"):
                pass
        async with Batch(tmp_path / "run.kling", client) as batch:
            kept = [outcome async for outcome in batch.outcomes()]

        assert 5 == len(server.ledger.tasks)

    assert ((), "narrator") == (result.files, result.voices[0].voice_name)
    assert {Done} == {type(outcome) for outcome in (*streamed, *kept)}
    (voice,), (element,) = (
        (*outcome.result.voices, *outcome.result.elements) for outcome in kept if isinstance(outcome, Done)
    )
    assert (Voice, Element) == (type(voice), type(element))
    assert ["narrator", "fox"] == [outcome.caption for outcome in kept]


async def test_a_deleted_element_is_not_taken() -> None:
    """
    Nor one that never was; nothing is paid for.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        element = await client.elements.create("fox", "a red fox", **FOX)
        await client.elements.delete(element)
        for element_id in (element.element_id, 5):
            with pytest.raises(InvalidRequest, match=f"Element id not found: {element_id}"):
                await client.submit(ImageToVideo(PNG, prompt="a walk", element_list=[element_id]))

        assert 1 == len(server.ledger.tasks)
