from collections.abc import Callable

import pytest

from kling_async.emulator.drawing.canvas import Canvas
from kling_async.emulator.drawing.scenes import SCENES


@pytest.mark.parametrize("palette", ["ember", "midnight"])
@pytest.mark.parametrize("scene", sorted(SCENES))
def test_scene_fills_the_picture(set_up: Callable[..., Canvas], scene: str, palette: str) -> None:
    """
    By day and by night, whatever the dice say, no row is left as bare as it was.
    """
    for seed in range(6):
        canvas = set_up(palette, seed=seed, size=(90, 120) if seed % 2 else (160, 90))
        SCENES[scene](canvas)
        rows = [canvas.image.crop((0, y, canvas.width, y + 1)) for y in range(canvas.height)]

        assert not [y for y, row in enumerate(rows) if row.getcolors() == [(canvas.width, canvas.palette.haze)]]


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_scene_has_a_light(set_up: Callable[..., Canvas], scene: str) -> None:
    """
    Motifs and shadows need to know where it is.
    """
    canvas = set_up()
    SCENES[scene](canvas)

    assert 0 < canvas.sun[0] < canvas.width
    assert 0 < canvas.sun[1] < canvas.height
