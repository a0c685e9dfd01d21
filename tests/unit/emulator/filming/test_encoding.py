"""
The emulator's files, read by PyAV and, where it is installed, by ffprobe.
"""

import array
import functools
import io
import itertools
import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import attrs
import pytest
from PIL import Image, ImageChops, ImageStat

from kling_async.emulator.filming.encoding import encode_mp3, encode_video
from kling_async.emulator.video_spec import VideoSpec, VideoStopped
from tests.fakes.media_files import images_in, open_media

PLAIN = VideoSpec(
    width=128, height=72, seconds=1.0, prompt="a boat on the sea at sunset", model_name="kling-v3", seed=3
)

FFPROBE = shutil.which("ffprobe")


@functools.cache
def video_of(spec: VideoSpec) -> bytes:
    return encode_video(spec)


def picture(colour: str, size: tuple[int, int] = (400, 225)) -> bytes:
    # White to the left and black at the bottom, so that a picture that is mirrored or cut wrongly is found out.
    image = Image.new("RGB", size, colour)
    image.paste("white", (0, 0, size[0] // 2, size[1]))
    image.paste("black", (0, size[1] * 3 // 4, size[0], size[1]))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def difference(one: Image.Image, other: Image.Image) -> float:
    """
    Return the mean difference of two pictures of one size, from 0 to 255.
    """
    means = ImageStat.Stat(ImageChops.difference(one, other)).mean
    return sum(means) / len(means)


def boxes(data: bytes) -> list[str]:
    """
    Return the names of the boxes of a file that consists of whole ones.
    """
    names, start = [], 0
    while start < len(data):
        length, name = struct.unpack_from(">I4s", data, start)
        assert 8 <= length <= len(data) - start
        names.append(name.decode())
        start += length
    return names


@pytest.mark.parametrize("size", [(128, 72), (72, 128), (16, 16), (34, 18), (98, 98)])
@pytest.mark.parametrize("seconds", [1.0, 0.5, 0.04])
def test_size_and_length_are_as_asked(size: tuple[int, int], seconds: float) -> None:
    """
    A decoder finds the size, every frame at its time, and the exact length.
    """
    spec = attrs.evolve(PLAIN, width=size[0], height=size[1], seconds=seconds)
    with open_media(encode_video(spec)) as file:
        stream = file.streams.video[0]
        assert ("h264", "yuv420p", 24.0) == (stream.codec_context.name, stream.pix_fmt, float(stream.average_rate or 0))
        assert round(spec.frames / 24 * 1_000_000) == pytest.approx(file.duration, abs=1)
        frames = list(file.decode(stream))

    assert [number / 24 for number in range(spec.frames)] == pytest.approx([frame.time for frame in frames])
    assert {size} == {(frame.width, frame.height) for frame in frames}


def test_every_length_has_room_for_its_index() -> None:
    """
    The place for the index is reserved before its size is known; it does for long videos with sound, too.
    """
    spec = attrs.evolve(PLAIN, width=16, height=16, seconds=30.0, has_sound=True)

    assert ["ftyp", "moov"] == boxes(encode_video(spec))[:2]


@pytest.mark.parametrize("has_sound", [False, True])
def test_index_comes_first(*, has_sound: bool) -> None:
    """
    A player can begin before it has the whole file, which is made of whole boxes.
    """
    names = boxes(video_of(attrs.evolve(PLAIN, has_sound=has_sound)))

    assert ["ftyp", "moov"] == names[:2]
    assert "mdat" == names[-1]
    assert {"free"} >= set(names[2:-1])


@pytest.mark.parametrize("seconds", [1.0, 0.5, 2.25])
def test_sound_lasts_as_long_as_the_pictures(seconds: float) -> None:
    """
    The sound track is there, is heard, and ends with the video.
    """
    with open_media(encode_video(attrs.evolve(PLAIN, seconds=seconds, has_sound=True))) as file:
        (stream,) = file.streams.audio
        assert ("aac", 1) == (stream.codec_context.name, stream.channels)
        assert seconds == float((stream.duration or 0) * (stream.time_base or 0)) == (file.duration or 0) / 1_000_000
        heard = [sample for frame in file.decode(stream) for sample in array.array("f", bytes(frame.planes[0]))]

    assert max(heard) > 0.05


def test_no_sound_unless_asked() -> None:
    """
    A silent video has no sound track.
    """
    with open_media(video_of(PLAIN)) as file:
        assert ["video"] == [stream.type for stream in file.streams]


def test_pictures_move() -> None:
    """
    No two frames in a row are the same, and the last one is quite another than the first.
    """
    frames = images_in(encode_video(attrs.evolve(PLAIN, width=320, height=180)))
    steps = [difference(one, other) for one, other in itertools.pairwise(frames)]

    assert min(steps) > 0
    assert difference(frames[0], frames[-1]) > 2


def test_first_frame_begins_the_video() -> None:
    """
    The video begins with the given picture, and then moves.
    """
    given = picture("teal")
    frames = images_in(encode_video(attrs.evolve(PLAIN, first_frame=given)))
    wanted = Image.open(io.BytesIO(given)).resize((128, 72))

    assert difference(wanted, frames[0]) < 4
    assert difference(wanted, frames[-1]) > 2 * difference(wanted, frames[0])


def test_last_frame_ends_the_video() -> None:
    """
    The video begins with one picture and ends with the other.
    """
    first, last = picture("teal"), picture("darkred")
    frames = images_in(encode_video(attrs.evolve(PLAIN, first_frame=first, last_frame=last)))
    begin, end = (Image.open(io.BytesIO(content)).resize((128, 72)) for content in (first, last))

    assert difference(begin, frames[0]) < 4
    assert difference(end, frames[-1]) < 4
    assert difference(begin, end) > 20


def test_last_frame_alone() -> None:
    """
    A scene of the prompt leads to the last frame.
    """
    last = picture("darkred")
    frames = images_in(encode_video(attrs.evolve(PLAIN, last_frame=last)))
    end = Image.open(io.BytesIO(last)).resize((128, 72))

    assert difference(end, frames[-1]) < 4
    assert difference(end, frames[0]) > 20


@pytest.mark.parametrize("size", [(300, 900), (900, 300)])
def test_picture_of_another_ratio_is_fitted(size: tuple[int, int]) -> None:
    """
    It is cut, not stretched: the line between its halves stays in the middle.
    """
    frames = images_in(encode_video(attrs.evolve(PLAIN, seconds=0.1, first_frame=picture("black", size))))
    row = frames[0].convert("L").crop((0, 10, 128, 11)).tobytes()

    assert all(level > 200 for level in row[:60])
    assert all(level < 60 for level in row[68:])


def test_shots_are_cut() -> None:
    """
    Each shot has a scene of its own: the picture changes at once, where the shot ends, and little elsewhere.
    """
    shots = (("a red desert", 0.5), ("a city at night", 0.25))
    frames = images_in(encode_video(attrs.evolve(PLAIN, seconds=0.75, shots=shots)))
    steps = [difference(one, other) for one, other in itertools.pairwise(frames)]

    assert 11 == steps.index(max(steps))
    assert max(steps) > 5 * sorted(steps)[-2]


def test_unreadable_picture_is_an_error() -> None:
    """
    A picture that cannot be read leaves no half video.
    """
    with pytest.raises(ValueError, match="not a readable jpg or png"):
        encode_video(attrs.evolve(PLAIN, first_frame=b"?"))


def test_video_is_stopped_before_any_frame() -> None:
    """
    Whoever no longer wants it does not wait for the rest.
    """
    answers = iter([False, False, True])
    with pytest.raises(VideoStopped):
        encode_video(PLAIN, lambda: next(answers))

    assert [] == list(answers)


def test_everything_in_the_spec_counts() -> None:
    """
    Equal specs give equal bytes; each other prompt, seed, place, tint or watermark gives others.
    """
    changes: list[dict[str, Any]] = [
        {},
        {"prompt": "a cat in the city"},
        {"seed": 4},
        {"index": 1},
        {"tint": picture("green")},
        {"has_watermark": True},
        {"has_sound": True},
    ]
    short = attrs.evolve(PLAIN, seconds=0.1)
    files = [encode_video(attrs.evolve(short, **change)) for change in changes]

    assert files[0] == encode_video(short)
    assert len(changes) == len(set(files))


def test_prompt_is_in_the_file() -> None:
    """
    The title is the prompt, whatever its characters.
    """
    spec = attrs.evolve(PLAIN, seconds=0.1, prompt="灯塔 at «dusk»\0 🦊")
    with open_media(encode_video(spec)) as file:
        assert file.metadata["title"].startswith("灯塔 at «dusk»")


@pytest.mark.parametrize("seconds", [0.1, 1.0, 5.0])
def test_mp3_lasts_as_long_as_asked(seconds: float) -> None:
    """
    Its header says how long it is, exactly, and so does its sound.
    """
    content = encode_mp3(seconds, 1)
    with open_media(content) as file:
        assert "mp3float" == file.streams.audio[0].codec_context.name
        assert round(seconds * 1_000_000) == file.duration
        assert round(seconds * 16_000) == sum(int(frame.samples) for frame in file.decode(audio=0))

    assert content != encode_mp3(seconds, 2)


@pytest.mark.skipif(FFPROBE is None, reason="ffprobe is not installed")
def test_ffprobe_finds_no_fault(tmp_path: Path) -> None:
    """
    A second reader agrees, and has nothing to complain about.
    """
    path = tmp_path / "a.mp4"
    path.write_bytes(video_of(attrs.evolve(PLAIN, has_sound=True)))
    command = [str(FFPROBE), "-v", "warning", "-of", "json", "-show_streams", "-count_frames", str(path)]
    seen = subprocess.run(command, capture_output=True, check=True, text=True)
    video, audio = json.loads(seen.stdout)["streams"]

    assert "" == seen.stderr
    assert ("h264", 128, 72, "24") == (video["codec_name"], video["width"], video["height"], video["nb_read_frames"])
    assert "bt709" == video["color_space"]
    assert "aac" == audio["codec_name"]
