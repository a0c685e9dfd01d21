import random
from typing import Final

import pytest
from PIL import Image

from kling_async.emulator.drawing.canvas import Canvas, glow, gradient, noise, radiance, stencil
from kling_async.emulator.drawing.outlines import Outline, box
from kling_async.emulator.drawing.palettes import PALETTES

RED: Final = (255, 0, 0)
BLUE: Final = (0, 0, 255)


@pytest.fixture
def canvas() -> Canvas:
    return Canvas((40, 20), PALETTES["ember"], random.Random(1))


def test_fill_keeps_to_its_shape(canvas: Canvas) -> None:
    """
    What is inside has the colours from top to bottom, what is outside stays as it was.
    """
    canvas.fill([box(10, 5, 20, 15)], [RED, BLUE])
    reds = canvas.image.crop((15, 5, 16, 15)).tobytes()[::3]
    around = [canvas.image.getpixel(at) for at in ((15, 4), (15, 15), (9, 10), (20, 10))]

    assert sorted(reds, reverse=True) == list(reds)
    assert reds[0] > 200
    assert reds[-1] < 60
    assert [PALETTES["ember"].haze] * 4 == around


def test_thin_fill_lets_shine_through(canvas: Canvas) -> None:
    """
    Of an opacity of half, half of each colour is seen.
    """
    canvas.image.paste(BLUE, (0, 0, 40, 20))
    canvas.fill([box(0, 0, 40, 20)], [RED], 0.5)

    assert pytest.approx((128, 0, 128), abs=1) == canvas.image.getpixel((20, 10))


@pytest.mark.parametrize(
    "shapes", [[], [box(-9, 2, -1, 9)], [box(41, 2, 50, 9)], [box(2, -9, 9, -1)], [box(2, 21, 9, 30)]]
)
def test_fill_outside_is_no_fill(canvas: Canvas, shapes: list[Outline]) -> None:
    """
    Nothing, and what is beyond a side, leaves the picture alone.
    """
    before = canvas.image.tobytes()
    canvas.fill(shapes, [RED])

    assert before == canvas.image.tobytes()


@pytest.mark.parametrize("level", [-5, 8, 30])
def test_ground_reaches_down(canvas: Canvas, level: float) -> None:
    """
    All below the crest is ground, wherever the crest is; a tree stands out of it.
    """
    canvas.ground([(-2, level), (42, level)], [RED], [box(30, level - 3, 34, level)])
    grounded = {(x, y) for x in range(40) for y in range(20) if canvas.image.getpixel((x, y)) == RED}

    assert {(x, y) for x, y in grounded if x < 30} == {(x, y) for x in range(30) for y in range(20) if y >= level}
    assert ((31, 6) in grounded) == (level <= 8)


def test_rays_fade_from_their_source(canvas: Canvas) -> None:
    """
    The nearer to its source, the more a ray shines; beside it is no light.
    """
    canvas.image.paste((0, 0, 0), (0, 0, 40, 20))
    canvas.shine((0, 10), 80, [box(0, 8, 40, 12)], 1.0)
    reds = [canvas.image.crop((0, y, 40, y + 1)).tobytes()[::3] for y in (10, 1)]

    assert reds[0][4] > reds[0][30] > 0
    assert bytes(40) == reds[1]


def test_glow_is_round_and_soft() -> None:
    """
    It is brightest at its centre and ends at its radius.
    """
    image = Image.new("L", (40, 40))
    glow(image, (20, 20), 10, 255, 1.0)
    levels = image.crop((20, 20, 40, 21)).tobytes()

    assert sorted(levels, reverse=True) == list(levels)
    assert levels[0] > 200
    assert bytes(10) == levels[10:]


def test_masks_have_their_sizes() -> None:
    """
    Stencil, gradient, radiance and noise are as large as asked for.
    """
    dice = random.Random(1)
    made = [
        stencil([], (3, 4, 10, 9)),
        gradient((7, 5), [RED]),
        radiance((7, 5), 255, 0.8),
        noise(dice, (7, 5), (2, 2)),
    ]

    assert [(7, 5)] * 4 == [image.size for image in made]
    assert [(35, RED)] == made[1].getcolors()
