from collections.abc import Callable

import pytest

from kling_async.emulator.painting.canvas import Easel
from kling_async.emulator.painting.scenes import SCENES


@pytest.mark.parametrize("palette", ["ember", "midnight"])
@pytest.mark.parametrize("scene", sorted(SCENES))
def test_scene_fills_the_picture(set_up: Callable[..., Easel], scene: str, palette: str) -> None:
    """
    By day and by night, whatever the dice say, no row is left as bare as it was.
    """
    for seed in range(6):
        easel = set_up(palette, seed=seed, size=(90, 120) if seed % 2 else (160, 90))
        SCENES[scene](easel)
        rows = [easel.image.crop((0, y, easel.width, y + 1)) for y in range(easel.height)]

        assert not [y for y, row in enumerate(rows) if row.getcolors() == [(easel.width, easel.palette.haze)]]


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_scene_has_a_light(set_up: Callable[..., Easel], scene: str) -> None:
    """
    Motifs and shadows need to know where it is.
    """
    easel = set_up()
    SCENES[scene](easel)

    assert 0 < easel.sun[0] < easel.width
    assert 0 < easel.sun[1] < easel.height
