from collections.abc import Callable

import pytest
from PIL import ImageChops

from kling_async.emulator.painting.canvas import Easel
from kling_async.emulator.painting.motifs import place_motif
from kling_async.emulator.painting.words import MOTIFS


@pytest.mark.parametrize("palette", ["ember", "midnight"])
@pytest.mark.parametrize("motif", sorted(MOTIFS))
def test_each_motif_is_seen(set_up: Callable[..., Easel], motif: str, palette: str) -> None:
    """
    By day and by night, each changes the picture on the side away from the light.
    """
    easel = set_up(palette, size=(320, 180))
    before = easel.image.copy()
    easel.sun = (40, 60)
    place_motif(easel, motif)
    changed = ImageChops.difference(before, easel.image).getbbox()

    assert changed is not None
    assert changed[2] > 160


@pytest.mark.parametrize(("sun", "is_right"), [(40, True), (280, False)])
def test_motif_does_not_stand_before_the_sun(set_up: Callable[..., Easel], sun: float, is_right: bool) -> None:  # noqa: FBT001
    """
    A rocket, which has no ground, is wholly in the other half.
    """
    easel = set_up(size=(320, 180))
    before = easel.image.copy()
    easel.sun = (sun, 60)
    place_motif(easel, "rocket")
    changed = ImageChops.difference(before, easel.image).getbbox()

    assert changed is not None
    assert is_right == (changed[0] > 160)
    assert is_right == (changed[2] > 160)
