"""
Every video and sound that the emulator makes can be played to its end, and is what the request asks for.
"""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from kling_async import OFFICIAL
from kling_async.emulator import Account, Settings
from kling_async.emulator.file_rendering import render_file
from kling_async.emulator.result_files import ResultFile
from kling_async.media.input_files import read_inputs, with_texts
from kling_async.wire import Endpoint
from tests.fakes.media_files import open_media
from tests.fakes.valid_requests.every_endpoint import ENDPOINTS, requests_of

SMALL = Settings(dialect=OFFICIAL, slots=None, picture_scale=0.03)
LENGTH = 2.0  # seconds where a request has none

MOVING = [endpoint for endpoint in ENDPOINTS if {"videos", "audios"} & set(endpoint.results)]


@pytest.mark.parametrize("endpoint", MOVING, ids=lambda endpoint: endpoint.name)
@settings(max_examples=settings().max_examples // 8)
@given(data=st.data())
async def test_every_video_plays(endpoint: Endpoint[Any], data: st.DataObject) -> None:
    """
    A decoder finds all frames of the wanted length, of one size, and sound where it was asked for.
    """
    drawn = endpoint.complete(data.draw(requests_of(endpoint)), OFFICIAL)
    files, _ = await read_inputs(drawn, OFFICIAL)
    request = with_texts(drawn, files)
    record = Account(SMALL).create(request, 0.0)
    seconds = record.seconds or float(getattr(request, "duration", None) or LENGTH)

    if "videos" in endpoint.results:
        with open_media(render_file(record, ResultFile("videos", 0), SMALL)) as file:
            frames = list(file.decode(video=0))
            sounds = [stream.type for stream in file.streams if stream.type == "audio"]
        sizes = {(frame.width, frame.height) for frame in frames}

        assert round(seconds * 24) == len(frames)
        assert 1 == len(sizes)
        assert getattr(request, "sound", None) in (None, bool(sounds))
    if "audios" in endpoint.results:
        for is_wav in (False, True):
            with open_media(render_file(record, ResultFile("audios", 0, is_wav=is_wav), SMALL)) as file:
                heard = sum(Fraction(frame.samples, frame.sample_rate) for frame in file.decode(audio=0))

            # LAME counts its padding short at some lengths: up to 46 samples of silence, 2.9 ms, are heard too.
            assert abs(seconds - heard) < (0.001 if is_wav else 0.003)
