"""
`client.images`, and `client.faces` as the first step of a lip sync, against the emulator.
"""

from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from kling_async import GATEWAY, OFFICIAL, TextToVideo
from kling_async.emulator import faults
from kling_async.errors import InvalidRequest, SubmissionUncertain
from tests.fakes.clients import client_of, emulator
from tests.fakes.valid_requests.pictures import PNG


async def test_faces_of_a_result_are_found() -> None:
    """
    The video goes into the call as it is; its faces are there from its beginning to its end.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        result = await client.generate(TextToVideo("a woman speaks", duration=5))
        session = await client.faces.identify(result.videos[0])
        again = await client.faces.identify(result.videos[0].id or "")

        assert ({"identify-face": 2}, 2) == (server.ledger.calls, server.ledger.arrivals["call"])
    (face,) = session.faces
    assert ("0", 0, 5000) == (face.face_id, face.start_time, face.end_time)
    assert session.session_id != again.session_id
    assert "0.05" == str(session.units)


async def test_video_of_another_account_is_unknown() -> None:
    """
    As at relays that serve their clients from several accounts; its URL is known everywhere.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        video = (await client.generate(TextToVideo("a woman speaks", duration=5))).videos[0]
    async with emulator(OFFICIAL, seed=1) as server, client_of(server) as client:
        with pytest.raises(InvalidRequest, match="video_id value"):
            await client.faces.identify(video)

        assert (await client.faces.identify(video.url)).faces


@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)
async def test_picture_is_recognized(dialect: Any, tmp_path: Path) -> None:
    """
    Given in any way in which a request takes it.
    """
    path = tmp_path / "fox.png"
    path.write_bytes(PNG)
    pictures: list[Any] = [PNG, path, PIL.Image.new("RGB", (300, 300)), "https://pictures.example/fox.png"]
    async with emulator(dialect) as server, client_of(server) as client:
        found = [await client.images.recognize(picture) for picture in pictures]

        assert ({"image-recognize": 4}, "0.4") == (server.ledger.calls, str(server.ledger.units_billed))
    assert [True, False, False, False] == [segment.is_contain for segment in found[0].segments]
    assert {"object_seg"} == {each.segments[0].type for each in found}


@pytest.mark.parametrize("picture", [b"GIF89a", Path("missing.png"), "fox.png", 7, b""])
async def test_invalid_pictures_are_not_sent(picture: Any) -> None:
    """
    The rules are those of reference images.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        with pytest.raises(InvalidRequest) as caught:
            await client.images.recognize(picture)

        assert (["image"], {}) == ([rule.field for rule in caught.value.broken], server.ledger.arrivals)


async def test_small_picture_is_refused_by_the_service_too() -> None:
    """
    Which has the same rules.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        with pytest.raises(InvalidRequest, match="at least 300 pixels"):
            await client.images.recognize(PIL.Image.new("RGB", (200, 300)))

        assert {} == server.ledger.arrivals


async def test_lost_recognition_is_uncertain() -> None:
    """
    And is not sent again.
    """
    async with emulator(OFFICIAL, faults.reset_after("call")) as server, client_of(server) as client:
        with pytest.raises(SubmissionUncertain, match=r"may have been charged \(0.1 units\)"):
            await client.images.recognize(PNG)

        assert 1 == server.ledger.arrivals["call"]
