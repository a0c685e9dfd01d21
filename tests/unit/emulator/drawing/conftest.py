import random
from collections.abc import Callable

import pytest

from kling_async.emulator.drawing.canvas import Canvas
from kling_async.emulator.drawing.palettes import PALETTES


@pytest.fixture
def set_up() -> Callable[..., Canvas]:
    """
    Sets up an canvas: `set_up("ember", seed=1, size=(160, 90))`.
    """

    def made(palette: str = "ember", *, seed: int = 1, size: tuple[int, int] = (160, 90)) -> Canvas:
        return Canvas(size, PALETTES[palette], random.Random(seed))

    return made
