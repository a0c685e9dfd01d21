import random
from collections.abc import Callable

import pytest

from kling_async.emulator.painting.canvas import Easel
from kling_async.emulator.painting.palettes import PALETTES


@pytest.fixture
def set_up() -> Callable[..., Easel]:
    """
    Sets up an easel: `set_up("ember", seed=1, size=(160, 90))`.
    """

    def made(palette: str = "ember", *, seed: int = 1, size: tuple[int, int] = (160, 90)) -> Easel:
        return Easel(size, PALETTES[palette], random.Random(seed))

    return made
