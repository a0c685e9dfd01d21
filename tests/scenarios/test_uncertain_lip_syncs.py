"""
Lip syncs from the first step to the last, and what becomes of them if an answer is lost: a lookup by an id of ours may
not find such a task, although it exists.
"""

from pathlib import Path

import pytest

from kling_async import OFFICIAL, Batch, Done, Failed, LipSync, TextToVideo
from kling_async.emulator import faults
from kling_async.errors import SubmissionUncertain, TaskNotFound
from kling_async.wire import endpoint_of
from tests.fakes.clients import client_of, emulator
from tests.fakes.sounds import WAV

SYNC = LipSync("829836802793406552", face_id="0", sound_file=WAV, sound_end_time=3000)


async def test_results_go_from_step_to_step() -> None:
    """
    A video, its faces, a speech, and the video that speaks. The service tells which video it was made from.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        made = await client.generate(TextToVideo("a keeper looks at us", duration=3))
        session = await client.faces.identify(made.videos[0])
        speech = await client.speech.generate("Good evening", voice_id="oversea_male1", voice_language="en")
        result = await client.generate(
            LipSync(session, face_id=session.faces[0], audio_id=speech.audio, sound_end_time=2000)
        )

    (video,) = result.videos
    assert 3.0 == video.duration
    assert made.videos[0].id == result.snapshot.raw["task_info"]["parent_video"]["id"]


async def test_it_is_read_by_its_task_id_only() -> None:
    """
    As the vendor's page lists it; its tasks do not repeat our id.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        handle = await client.submit(SYNC)
        await handle.wait()
        (task,) = server.ledger.tasks
        assert task.external_task_id is not None
        with pytest.raises(TaskNotFound):
            await client.core.tasks.look_up(task.external_task_id, endpoint_of(LipSync))
        assert (await client.get(handle.task_id, endpoint="lip-sync")).task_info.external_task_id is None


async def test_batch_pays_once_and_again_only_if_told_to(tmp_path: Path) -> None:
    """
    A run whose answer was lost ends uncertain, and so does the next one. One that is told to resend uses the same id,
    which the service refuses.
    """
    async with emulator(OFFICIAL, faults.reset_after("create", times=1)) as server:
        for resends in (False, False, True):
            async with client_of(server) as client, Batch(tmp_path / "batch.db", client) as batch:
                await batch.add([SYNC])
                async for outcome in batch.run(tmp_path / "videos", resend_uncertain=resends):
                    assert isinstance(outcome, Failed)
                    assert isinstance(outcome.error, SubmissionUncertain)
            assert 1 == len(server.ledger.tasks)

        assert 1 == server.ledger.duplicates_refused


async def test_batch_makes_it_otherwise(tmp_path: Path) -> None:
    """
    Without trouble it is a row like any other.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client, Batch(tmp_path / "batch.db", client) as batch:
        await batch.add([SYNC])
        outcomes = [outcome async for outcome in batch.run(tmp_path / "videos")]

    assert [Done] == list(map(type, outcomes))
