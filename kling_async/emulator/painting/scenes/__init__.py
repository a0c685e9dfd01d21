"""
The scenes by their names. Each paints the whole picture but for the motif, from back to front.
"""

from collections.abc import Callable, Mapping
from typing import Final

from kling_async.emulator.painting.canvas import Easel
from kling_async.emulator.painting.scenes import heights, paper, shores, wastes, woods

SCENES: Final[Mapping[str, Callable[[Easel], None]]] = {
    "aurora": shores.paint_aurora,
    "city": shores.paint_city,
    "desert": wastes.paint_desert,
    "forest": woods.paint_forest,
    "meadow": woods.paint_meadow,
    "mountains": heights.paint_mountains,
    "paper": paper.paint_paper,
    "peaks": heights.paint_peaks,
    "sea": shores.paint_sea,
    "space": wastes.paint_space,
}
