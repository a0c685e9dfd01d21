"""
A series of pictures and an edited video, from a batch to the files.
"""

from pathlib import Path

from kling_async import OFFICIAL, Batch, Done, OmniImage, OmniVideo
from tests.fakes.clients import client_of, emulator
from tests.fakes.valid_requests.pictures import PNG

SERIES = OmniImage("four seasons of a tree", image_list=[PNG, PNG], result_type="series", series_amount=4)
EDITED = OmniVideo("the same in winter", image_list=[PNG], video_list=["https://videos.example/walk.mp4"])


async def test_series_and_video_in_a_batch(tmp_path: Path) -> None:
    """
    Each picture of a series is a file, in its order; another run reads all of it from the journal.
    """
    journal = tmp_path / "run.kling"
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        async with Batch(journal, client) as batch:
            await batch.add([SERIES, EDITED])
            first = [outcome async for outcome in batch.run(save_to=tmp_path / "files")]
        async with Batch(journal, client) as batch:
            again = [outcome async for outcome in batch.outcomes()]

    assert 2 == len(server.ledger.tasks) == len(first)
    series, edited = again
    assert isinstance(series, Done)
    assert isinstance(edited, Done)
    assert [SERIES.prompt, EDITED.prompt] == [series.caption, edited.caption]
    assert [0, 1, 2, 3] == [image.index for image in series.result.images]
    assert series.result.snapshot.task_result.is_series
    assert [f"{series.result.task_id}-{index}.png" for index in range(4)] == [path.name for path in series.paths]
    assert [".mp4"] == [path.suffix for path in edited.paths]
    assert {*series.paths, *edited.paths} == {*(tmp_path / "files").iterdir()}


async def test_series_of_auto_takes_what_there_is() -> None:
    """
    It waits for nine slots, since only the service knows its number, and gives all of them back.
    """
    request = OmniImage("four seasons of a tree", result_type="series", series_amount="auto")
    async with emulator(OFFICIAL, slots=9) as server, client_of(server, slots=9) as client:
        handle = await client.submit(request)
        held = client.slots["kling-v3-omni"].used
        result = await handle.wait()

        assert (9, 0) == (held, client.slots["kling-v3-omni"].used)
    assert 2 <= len(result.images) <= 9
    assert 8 * len(result.images) == result.snapshot.final_unit_deduction
