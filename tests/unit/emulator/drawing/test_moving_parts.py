"""
What painters leave out of the pictures of a video.
"""

import pytest
from PIL import Image

from kling_async.emulator.drawing.moving_parts import Glint, MovingParts, Star
from kling_async.emulator.drawing.picture import paint

GLINT, STAR = Glint((20.0, 30.0), 6.0, 1.0), Star((40.0, 10.0))


@pytest.mark.parametrize(
    ("covered", "lights"),
    [
        (None, [GLINT, STAR]),
        ((18, 28, 22, 32), [STAR]),
        ((25, 29, 27, 31), [STAR]),
        ((39, 9, 42, 12), [GLINT]),
        ((0, 0, 64, 36), []),
    ],
)
def test_hidden_lights_are_left_out(covered: tuple[int, int, int, int] | None, lights: list[object]) -> None:
    """
    What is painted over a light hides it, and if it is only over an end of a glint.
    """
    image, moving = Image.new("RGB", (64, 36), "navy"), MovingParts()
    moving.add_lights([GLINT, STAR], image)
    if covered is not None:
        image.paste("black", covered)

    assert lights == moving.lights_in(image)


def test_lights_at_the_edge() -> None:
    """
    A light may lie outside of the picture.
    """
    moving = MovingParts()
    moving.add_lights([Star((-3.0, 99.0))], Image.new("RGB", (64, 36)))

    assert [Star((-3.0, 99.0))] == moving.lights_in(Image.new("RGB", (64, 36)))


def painted(prompt: str, moving: MovingParts | None = None) -> Image.Image:
    return paint(prompt, index=0, seed=3, model_name="kling-v3", size=(320, 180), moving=moving).image


@pytest.mark.parametrize(
    ("prompt", "motif"), [("a boat on the sea", "boat"), ("a balloon over a meadow", "balloon"), ("a rocket", "rocket")]
)
def test_motifs_that_float_are_left_out(prompt: str, motif: str) -> None:
    """
    They are noted with their outline, and the picture shows what is behind them.
    """
    moving = MovingParts()
    image = painted(prompt, moving)
    floating = moving.floating[0]
    left, top = floating.place
    box = left, top, left + floating.mask.width, top + floating.mask.height

    assert motif == floating.motif
    assert floating.image.size == floating.mask.size
    assert floating.mask.getbbox() is not None
    assert image.crop(box) != floating.image
    motif_only = floating.mask.point(lambda level: 255 * (level > 0))
    assert Image.composite(image.crop(box), floating.image, motif_only) == image.crop(box)


def test_birds_glints_and_stars_are_left_out() -> None:
    """
    The picture of a video is another than the still one, and everything that is missing is noted.
    """
    sea, night = MovingParts(), MovingParts()
    image = painted("birds over the sea at sunset", sea)

    assert len(sea.birds) > 10
    assert any(isinstance(light, Glint) for light in sea.lights_in(image))
    assert painted("birds over the sea at sunset") != image
    assert any(isinstance(light, Star) for light in night.lights_in(painted("mountains at night", night)))


def test_still_parts_stay() -> None:
    """
    A lighthouse stays in the picture.
    """
    moving = MovingParts()
    painted("a lighthouse", moving)

    assert [] == moving.floating
