import functools
import io
import itertools
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image, ImageChops, ImageStat

from kling_async.emulator.drawing.picture import draw
from kling_async.emulator.drawing.prompt_keywords import SCENE_WORDS
from kling_async.emulator.picture_size import size_in_pixels

RATIOS = ["16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9"]

sketch = functools.partial(draw, index=0, seed=7, model_name="kling-v2-1", scale=0.1)


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def distance(one: Image.Image, other: Image.Image) -> float:
    """
    The mean difference of two pictures, in levels of 0 to 255.
    """
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


# Files


@pytest.mark.parametrize(("resolution", "megapixels"), [("1k", 1), ("2k", 4)])
@pytest.mark.parametrize("ratio", RATIOS)
def test_size_has_its_ratio_and_about_a_megapixel(ratio: str, resolution: str, megapixels: int) -> None:
    """
    The sides are multiples of 8, within one of them of the ratio, and their product is the resolution's.
    """
    width, height = size_in_pixels(ratio, resolution)
    across, down = map(int, ratio.split(":"))

    assert (0, 0) == (width % 8, height % 8)
    assert width == pytest.approx(height * across / down, abs=8 * across / down * megapixels)
    assert width * height == pytest.approx(megapixels * 1024 * 1024, rel=0.01)


@pytest.mark.parametrize("ratio", RATIOS)
def test_picture_has_the_size_asked_for(ratio: str) -> None:
    """
    The file has the sides that `size_in_pixels` tells, times the scale.
    """
    width, height = size_in_pixels(ratio, "2k")

    picture = opened(sketch("a hill", aspect_ratio=ratio, resolution="2k"))

    assert (round(width * 0.1), round(height * 0.1)) == picture.size


def test_full_picture_is_a_sound_png_of_modest_size() -> None:
    """
    At the default size the file is a PNG that Pillow verifies, small enough for a README.
    """
    content = draw("a lighthouse at dusk", index=0, seed=7, model_name="kling-v2-1")
    file = Image.open(io.BytesIO(content))
    file.verify()

    assert ("PNG", "RGB", size_in_pixels("16:9", "1k")) == (file.format, file.mode, file.size)
    assert len(content) < 300_000


def test_file_tells_what_it_shows() -> None:
    """
    The prompt and what else made the picture are written into the file, also where no font could show them.
    """
    text = opened(sketch("海边的灯塔")).info

    assert "海边的灯塔" == text["Description"]
    assert "kling-v2-1  ·  picture 0  ·  seed 7" == text["Comment"]


@pytest.mark.parametrize("scene", sorted(SCENE_WORDS))
def test_no_side_is_below_sixteen_pixels(scene: str) -> None:
    """
    However small the scale, each kind of scene can be painted.
    """
    prompt = SCENE_WORDS[scene].split()[0]

    assert [(16, 16)] * 8 == [opened(sketch(prompt, seed=seed, scale=0.0001)).size for seed in range(8)]


@pytest.mark.parametrize(("ratio", "resolution"), [("5:4", "1k"), ("16:9", "8k"), ("", "")])
def test_unknown_size_is_refused(ratio: str, resolution: str) -> None:
    """
    A ratio or a resolution without a size is a ValueError that names both.
    """
    with pytest.raises(ValueError, match=f"{ratio!r} at {resolution!r}"):
        draw("a hill", index=0, seed=0, model_name="m", aspect_ratio=ratio, resolution=resolution)


# The same and different


@pytest.mark.parametrize("scene", sorted(SCENE_WORDS))
def test_same_arguments_give_the_same_bytes(scene: str) -> None:
    """
    Each kind of scene is wholly determined, and leaves the program's own random numbers alone.
    """
    prompt = SCENE_WORDS[scene].split()[0]
    before = random.getstate()

    assert sketch(prompt) == sketch(prompt)
    assert before == random.getstate()


def test_another_process_draws_the_same() -> None:
    """
    Nothing depends on the interpreter's hash seed or on what was drawn before.
    """
    program = (
        "import sys; from kling_async.emulator.drawing.picture import draw;"
        "sys.stdout.buffer.write(draw('a cat', index=0, seed=7, model_name='kling-v2-1', scale=0.1))"
    )

    elsewhere = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout

    assert sketch("a cat") == elsewhere


def test_each_prompt_index_seed_and_model_has_its_own_picture() -> None:
    """
    Not only the bytes: the pixels of any two differ visibly, small as they are.
    """
    drawn = [
        sketch("a hill"),
        sketch("a hill."),
        sketch("a hill", index=1),
        sketch("a hill", seed=8),
        sketch("a hill", model_name="kling-v3"),
    ]

    assert all(distance(opened(one), opened(other)) > 1 for one, other in itertools.combinations(drawn, 2))


def test_pictures_of_one_task_differ_in_light() -> None:
    """
    Neighbours in a series of four are painted from different palettes, so that a gallery is not monotonous.
    """
    series = [opened(sketch("mountains", index=index)) for index in range(4)]

    assert all(distance(one, other) > 8 for one, other in itertools.pairwise(series))


def test_night_is_darker_than_noon() -> None:
    """
    A word for the time of day decides the light.
    """
    night, noon = (
        ImageStat.Stat(opened(sketch(f"mountains at {time}")).convert("L")).mean[0] for time in ("night", "noon")
    )

    assert night < noon - 60


@settings(max_examples=settings().max_examples // 4, deadline=None)
@given(
    prompt=st.text(max_size=60)
    | st.text(alphabet="海边的灯塔 🐈🌙\ud800\x00\u202e\u0301", max_size=40)
    | st.just("long " * 500),
    index=st.integers(0, 9),
    seed=st.integers(),
    ratio=st.sampled_from(RATIOS),
)
def test_any_prompt_can_be_drawn(prompt: str, index: int, seed: int, ratio: str) -> None:
    """
    Chinese, emoji, lone surrogates, control characters, nothing or very much: there is a picture, with a caption too.
    """
    content = draw(prompt, index=index, seed=seed, model_name=prompt[:9], aspect_ratio=ratio, scale=0.33)

    assert "PNG" == opened(content).format


def test_reference_shapes_the_picture() -> None:
    """
    At full fidelity a picture without a caption is its reference.
    """
    reference = sketch("a cat")

    assert distance(opened(reference), opened(sketch("a hill", reference=reference, fidelity=1.0))) == 0
    assert distance(opened(reference), opened(sketch("a hill"))) > 8


@pytest.mark.parametrize(("beyond", "within"), [(-3.0, 0.0), (7.0, 1.0)])
def test_fidelity_beyond_its_range_is_its_end(beyond: float, within: float) -> None:
    """
    What is more than all is all.
    """
    reference = sketch("a cat")

    assert sketch("a hill", reference=reference, fidelity=within) == sketch(
        "a hill", reference=reference, fidelity=beyond
    )
