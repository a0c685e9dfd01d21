"""
Pictures of one colour.
"""

import io
import zlib

from hypothesis import given, strategies as st
from PIL import Image

from kling_async.emulator.plain_picture import plain_picture

SIDES = st.integers(1, 3000)


def opened(content: bytes) -> Image.Image:
    Image.open(io.BytesIO(content)).verify()
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


@given(size=st.tuples(SIDES, SIDES), prompt=st.text(max_size=50), identity=st.text(max_size=50))
def test_picture_is_a_whole_file_of_one_colour(size: tuple[int, int], prompt: str, identity: str) -> None:
    """
    Of any size it is a PNG whose checksums are right, with the same colour everywhere.
    """
    content = plain_picture(size, prompt, identity)
    image = opened(content)
    packed = content[content.index(b"IDAT") + 4 : -16]

    assert ("PNG", "RGB", size) == (image.format, image.mode, image.size)
    assert [size[0] * size[1]] == [count for count, _ in image.getcolors() or ()]
    assert (3 * size[0] + 1) * size[1] == len(zlib.decompress(packed))  # raises if its checksum is wrong


def test_other_identities_are_other_files() -> None:
    """
    Each identity gives a file, and mostly a colour, of its own; equal arguments the same file.
    """
    content = [plain_picture((64, 48), "a fox", f"picture {number}") for number in range(100)]

    assert 100 == len(set(content))
    assert 90 < len({opened(each).getpixel((5, 5)) for each in content})
    assert content[7] == plain_picture((64, 48), "a fox", "picture 7")


def test_file_tells_what_it_stands_for() -> None:
    """
    Prompt and identity are written into it.
    """
    text = opened(plain_picture((8, 8), "海边的灯塔", "picture 0")).info

    assert ("海边的灯塔", "picture 0") == (text["Description"], text["Comment"])
