from collections.abc import Callable

import pytest
from PIL import ImageChops

from kling_async.emulator.drawing.canvas import Canvas
from kling_async.emulator.drawing.motifs import place_motif
from kling_async.emulator.drawing.prompt_keywords import MOTIFS


@pytest.mark.parametrize("palette", ["ember", "midnight"])
@pytest.mark.parametrize("motif", sorted(MOTIFS))
def test_each_motif_is_seen(set_up: Callable[..., Canvas], motif: str, palette: str) -> None:
    """
    By day and by night, each changes the picture on the side away from the light.
    """
    canvas = set_up(palette, size=(320, 180))
    before = canvas.image.copy()
    canvas.sun = (40, 60)
    place_motif(canvas, motif)
    changed = ImageChops.difference(before, canvas.image).getbbox()

    assert changed is not None
    assert changed[2] > 160


@pytest.mark.parametrize(("sun", "is_right"), [(40, True), (280, False)])
def test_motif_does_not_stand_before_the_sun(set_up: Callable[..., Canvas], sun: float, is_right: bool) -> None:  # noqa: FBT001
    """
    A rocket, which has no ground, is wholly in the other half.
    """
    canvas = set_up(size=(320, 180))
    before = canvas.image.copy()
    canvas.sun = (sun, 60)
    place_motif(canvas, "rocket")
    changed = ImageChops.difference(before, canvas.image).getbbox()

    assert changed is not None
    assert is_right == (changed[0] > 160)
    assert is_right == (changed[2] > 160)
