"""
Where a file ends by its own structure, whatever its length was said to be.
"""

import functools
import io
import time
from collections.abc import Callable

import PIL.Image
import pytest
from hypothesis import given, settings, strategies as st

from kling_async.emulator.filming.encoding import encode_mp3, encode_video
from kling_async.emulator.filming.sounds import write_wav
from kling_async.emulator.video_spec import VideoSpec
from kling_async.media.file_formats import FileEnd, find_ext, is_known
from tests.fakes.media_files import make_sound, make_video
from tests.unit.media.sounds import box, chunk, mov, mp3, mp4, riff, wav, wav_of_a_pipe


def drawn(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture = PIL.Image.effect_noise((120, 90), 60)
    if kind == "jpeg":
        small = io.BytesIO()
        picture.resize((32, 24)).save(small, "jpeg")
        # a thumbnail within: a picture of its own, with an end of its own
        options = {"exif": b"Exif\0\0" + small.getvalue(), **options}
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


WHOLE = {
    ".png": drawn("png"),
    ".jpg": drawn("jpeg"),
    ".jpg, progressive": drawn("jpeg", progressive=True),
    ".jpg, with restarts": drawn("jpeg", restart_marker_blocks=1),
    ".gif": drawn("gif"),
    ".gif, moving": drawn("gif", save_all=True, append_images=[PIL.Image.effect_noise((120, 90), 60)], comment=b"c"),
    ".webp": drawn("webp"),
    ".webp, lossless": drawn("webp", lossless=True),
}


ENDLESS_MP3 = mp3()[:183] + b"\x7f\xff\xff\xff" + mp3()[187:556]  # it states a number of frames that never come
FMT, DATA = chunk(b"fmt ", bytes(16)), chunk(b"data", bytes(99))

VIDEOS = {
    ".mp4": mp4(),
    ".mp4, moov last": mp4(moov_first=False),
    ".mp4, 64 bits": mp4(wide=True),
    ".mov": mov(),
}
SOUNDS = {
    ".mp3": mp3(),
    ".mp3, no tag": mp3(tagged=False),
    ".mp3, no count": mp3(counted=False),
    ".wav": wav(),
    ".wav, a list before and after": riff(
        chunk(b"LIST", b"odd"),
        FMT := chunk(b"fmt ", bytes(16)),
        DATA := chunk(b"data", bytes(99)),
        chunk(b"LIST", b"b"),
    ),
}
OTHERS = {**{name: (content, "video") for name, content in VIDEOS.items()}} | {
    name: (content, "audio") for name, content in SOUNDS.items()
}


def is_whole(content: bytes, *, kind: str = "image", by: int = 4096) -> bool:
    ext = find_ext(content[:12], kind)
    assert ext is not None
    end = FileEnd.of(ext)
    for start in range(0, len(content), by):
        end.feed(content[start : start + by])
    return end.is_reached


@pytest.mark.parametrize("by", [1, 2, 3, 5, 64, 10**6])
@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE)
def test_whole(content: bytes, by: int) -> None:
    """
    Every format is followed to its end, in pieces of any size, and appended data does not matter.
    """
    assert is_whole(content, by=by)
    assert is_whole(content + b"\0" * 3000 + b"what a camera appends", by=by)


@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE)
def test_cut_anywhere(content: bytes) -> None:
    """
    Without its last byte, or any more of them, none is whole: neither behind a thumbnail within nor at the end of a
    part.
    """
    shortest = 12
    ext = find_ext(content, "image")
    assert ext is not None
    end = FileEnd.of(ext)
    end.feed(content[:shortest])
    for at in range(shortest, len(content)):
        assert not end.is_reached, at
        end.feed(content[at : at + 1])
    assert end.is_reached


@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE)
def test_header_before_zeros(content: bytes) -> None:
    """
    The right length is no proof: what a broken disk or a sparse file holds behind the header is no picture.
    """
    if not content.startswith(b"RIFF"):  # whose only structure is its length
        assert not is_whole(content[:200] + bytes(len(content) - 200))


@settings(deadline=None)
@given(st.sampled_from([*WHOLE.values()]), st.data())
def test_pieces_change_nothing(content: bytes, data: st.DataObject) -> None:
    """
    However a file is cut into pieces, also a damaged one, the verdict is that of the whole.
    """
    at = data.draw(st.integers(12, len(content) - 1))
    damaged = content[:at] + data.draw(st.binary(max_size=40)) + content[at:]
    by = data.draw(st.integers(1, 700))

    assert is_whole(damaged, by=len(damaged)) == is_whole(damaged, by=by)


@pytest.mark.parametrize(
    "content",
    [
        b"GIF89a" + bytes(7) + b"!\xf9" + b"\1\0" * 2**19,
        b"GIF89a" + bytes(7) + b"!\xf9" + b"\1x" * 2**19,
        b"GIF89a" + bytes(7) + b"\0" * 2**20,
        b"GIF89a" + bytes(7) + b"?" * 2**20,
        b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0abcd\0\0\0\0" * (2**20 // 12),
        b"\x89PNG\r\n\x1a\n" + b"\0" * 2**20,
        b"\xff\xd8" + b"\xff" * 2**20,
        b"\xff\xd8" + b"\xff\xe0\0\2" * 2**18,
        b"\xff\xd8" + b"\xff\xd8" * 2**19,
        b"\xff\xd8\xff" + b"\xff\0" * 2**19,
    ],
    ids=range(10),
)
def test_worst_input(content: bytes) -> None:
    """
    A MiB of whatever takes long takes less than a second of CPU, and has no end.
    """
    began = time.process_time()

    assert not is_whole(content, by=2**16)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (box(b"ftyp", b"isom" + bytes(4)) + box(b"free") * 2**17, "video"),
        (box(b"ftyp", b"isom" + bytes(4)) + b"".join(box(b"%04d" % number) for number in range(10_000)) * 13, "video"),
        (ENDLESS_MP3 + (b"\xff\xf3\x14\xc4" + bytes(20)) * (2**20 // 24), "audio"),
        (ENDLESS_MP3 + b"\xff\xf3" * 2**19, "audio"),
        (riff(chunk(b"LIST", b"") * 2**17), "audio"),
        (riff(chunk(b"fmt ", b"") * 2**17, size=0xFFFFFFFF), "audio"),
    ],
    ids=range(6),
)
def test_worst_video_and_sound(content: bytes, kind: str) -> None:
    """
    A MiB of the smallest parts takes less than a second of CPU, too, and has no end.
    """
    began = time.process_time()

    assert not is_whole(content, kind=kind, by=2**16)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("head", [b"", b"<html>", b"\x89PNG", b"RIFF\0\0\0\0WAVE", b"BM" + bytes(20)])
def test_no_picture(head: bytes) -> None:
    """
    What is none of the kinds is none.
    """
    assert find_ext(head, "image") is None


@pytest.mark.parametrize("by", [1, 3, 64, 10**6])
@pytest.mark.parametrize(("content", "kind"), OTHERS.values(), ids=OTHERS)
def test_video_and_sound(content: bytes, kind: str, by: int) -> None:
    """
    Videos and sounds are complete at their end, and not in the middle of a part.
    """
    assert is_whole(content, kind=kind, by=by)
    assert not is_whole(content[:-1], kind=kind, by=by)
    assert not is_whole(content[: len(content) // 2], kind=kind, by=by)


@pytest.mark.parametrize("name", [name for name in OTHERS if name != ".mp3, no count"])
def test_video_and_sound_cut_anywhere(name: str) -> None:
    """
    Without its last byte, or any more of them, none is complete: neither between two boxes nor between two frames.
    """
    content, kind = OTHERS[name]
    ext = find_ext(content, kind)
    assert ext is not None
    assert name.startswith(ext)
    end = FileEnd.of(ext)
    for at in range(len(content)):
        assert not end.is_reached, at
        end.feed(content[at : at + 1])
    assert end.is_reached


@functools.cache
def emulated(ext: str) -> bytes:
    """
    A file as the emulator makes it.
    """
    match ext:
        case ".wav":
            return write_wav(0.2, seed=1)
        case ".mp3":
            return encode_mp3(0.5, seed=1)
        case _:
            return encode_video(VideoSpec(width=32, height=16, seconds=0.25, prompt="a fox", has_sound=True))


@given(st.sampled_from([".wav", ".mp3", ".mp4"]), st.data())
def test_emulated_files_cut_anywhere(ext: str, data: st.DataObject) -> None:
    """
    The emulator's videos and sounds are complete at their end only, in pieces of any size.
    """
    content = emulated(ext)
    kind = "video" if ext == ".mp4" else "audio"
    by = data.draw(st.integers(1, 2 * len(content)))

    assert is_whole(content, kind=kind, by=by)
    assert not is_whole(content[: data.draw(st.integers(12, len(content) - 1))], kind=kind, by=by)


@pytest.mark.parametrize(
    ("ext", "make"),
    [
        (".mp4", functools.partial(make_video, container="mp4")),
        (".mov", functools.partial(make_video, container="mov")),
        (".mp3", functools.partial(make_sound, codec="libmp3lame", container="mp3")),
        (".m4a", functools.partial(make_sound, codec="aac", container="ipod")),
        (".wav", functools.partial(make_sound, 0.1, codec="pcm_s16le", container="wav")),
    ],
)
def test_files_of_ffmpeg_cut_anywhere(ext: str, make: Callable[[], bytes]) -> None:
    """
    Those of a common encoder, too, are complete at their last byte and not before.
    """
    content = make()
    assert ext == find_ext(content, "video" if ext in (".mp4", ".mov") else "audio")
    end = FileEnd.of(ext)
    for at in range(len(content)):
        assert not end.is_reached, at
        end.feed(content[at : at + 1])

    assert end.is_reached


def test_mp4_of_fragments() -> None:
    """
    A video in fragments is complete at the end of each.
    """
    start = box(b"ftyp", b"iso5" + bytes(4)) + box(b"moov", bytes(20))
    fragment = box(b"moof", bytes(20)) + box(b"mdat", bytes(50))

    assert is_whole(start + 3 * fragment, kind="video")
    assert not is_whole(start, kind="video")
    assert not is_whole(start + fragment + fragment[:-1], kind="video")
    assert not is_whole(start + fragment + fragment[:28], kind="video")  # its frames are to come


def test_box_that_ends_with_the_file() -> None:
    """
    The last box may have no length; the index must stand before it then.
    """
    ftyp, moov, mdat = box(b"ftyp", b"isom" + bytes(4)), box(b"moov", bytes(20)), b"\0\0\0\0mdat" + bytes(50)

    assert is_whole(ftyp + moov + mdat, kind="video")
    assert not is_whole(ftyp + mdat, kind="video")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (mp4() + b"what an editor appends", "video"),
        (mp3() + b"TAG" + bytes(125), "audio"),
        (mp3(counted=False) + b"APETAGEX" + bytes(30), "audio"),
        (wav() + bytes(100), "audio"),
        (wav_of_a_pipe(), "audio"),
        (riff(FMT, DATA[:-1], size=4 + 24 + 8 + 99), "audio"),  # many encoders leave the padding out
        (riff(FMT, DATA, size=36), "audio"),  # too small a size, of an encoder that did not finish it
        (riff(FMT, DATA, size=0xFFFFFFFF), "audio"),
        (riff(FMT, DATA, chunk(b"LIST", b"ab"), size=0xFFFFFFFF), "audio"),
        (riff(FMT, DATA, b"\0" * 50, size=0xFFFFFFFF), "audio"),
        (riff(FMT, chunk(b"data", bytes(99), size=0xFFFFFFFF)), "audio"),
        (riff(FMT, chunk(b"data", bytes(99), size=0x7FFFF000), size=0x7FFFF024), "audio"),
    ],
)
def test_data_after_the_end(content: bytes, kind: str) -> None:
    """
    Tags after the end do not matter, and neither does a length that the encoder could not know.
    """
    assert is_whole(content, kind=kind)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (mp4()[:40] + bytes(3000), "video"),
        (mp3()[:139] + bytes(3000), "audio"),
        (mp3(tagged=False)[:417] + bytes(3000), "audio"),
        (wav()[:12] + bytes(3000), "audio"),
        (riff(FMT, chunk(b"LIST", bytes(200))), "audio"),
        (riff(chunk(b"data", bytes(200), size=0xFFFFFFFF), size=0xFFFFFFFF), "audio"),
    ],
)
def test_header_of_a_video_or_sound_before_zeros(content: bytes, kind: str) -> None:
    """
    What a sparse file holds behind the header is no video and no sound, and neither is a file without its data.
    """
    assert not is_whole(content, kind=kind)


@pytest.mark.parametrize(
    ("head", "kind", "ext"),
    [
        (mp4(), "video", ".mp4"),
        (mov(), "video", ".mov"),
        (mp4(), "audio", ".m4a"),
        (mp4(), "image", None),
        (WHOLE[".png"], "video", None),
        (WHOLE[".gif"], "audio", None),
        (wav(), "video", None),
        (b"\xff\xf1\x50\x80" + bytes(20), "audio", None),  # AAC, which has another layer
        (b"\xff\xfb\xf0\x64" + bytes(20), "audio", None),  # a bit rate that does not exist
    ],
)
def test_no_extension_belongs_to_two_kinds(head: bytes, kind: str, ext: str | None) -> None:
    """
    So an image and a video of one task that have the same index have different names.
    """
    assert find_ext(head, kind) == ext


@pytest.mark.parametrize(("flags", "least"), [(0, 1), (1, 6), (2, 4), (3, 6), (15, 6)])
def test_counts_of_an_mp3(flags: int, least: int) -> None:
    """
    The first frame may state the number of frames, the bytes, both, or neither.
    """
    header = b"\xff\xfb\x90\x64"
    numbers = [number.to_bytes(4) for bit, number in ((1, 6), (2, 4 * 417)) if flags & bit]
    first = (header + bytes(32) + b"Xing" + flags.to_bytes(4) + b"".join(numbers)).ljust(417, b"\0")
    frame = header + bytes(413)

    assert least == next(count for count in range(1, 9) if is_whole(first + (count - 1) * frame, kind="audio"))


def test_two_bytes_are_not_enough() -> None:
    """
    A path may begin like the Base64 of an MP3 frame; other formats are known by more.
    """
    assert not is_known(mp3(tagged=False)[:12])
    assert all(is_known(content[:12]) for content in (mp3(), mp4(), wav(), *WHOLE.values()))
