"""
The scenes by name. Each function paints the whole picture without motifs, from back to front.
"""

from collections.abc import Callable, Mapping
from typing import Final

from kling_async.emulator.drawing.canvas import Canvas
from kling_async.emulator.drawing.scenes import desert_and_space, forest_and_meadow, mountains, paper, sea_and_city

SCENES: Final[Mapping[str, Callable[[Canvas], None]]] = {
    "aurora": sea_and_city.paint_aurora,
    "city": sea_and_city.paint_city,
    "desert": desert_and_space.paint_desert,
    "forest": forest_and_meadow.paint_forest,
    "meadow": forest_and_meadow.paint_meadow,
    "mountains": mountains.paint_mountains,
    "paper": paper.paint_paper,
    "peaks": mountains.paint_peaks,
    "sea": sea_and_city.paint_sea,
    "space": desert_and_space.paint_space,
}
