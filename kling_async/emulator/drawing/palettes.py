"""
Colour palettes of scenes.
"""

import random
from typing import Final, NamedTuple

Colour = tuple[int, int, int]

WHITE: Final = (255, 255, 255)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


class Palette(NamedTuple):
    """
    The colours of the sky from top to horizon, of the sun or moon, and of the darkest ground.
    """

    sky: tuple[Colour, ...]
    light: Colour
    ground: Colour
    is_night: bool

    @property
    def haze(self) -> Colour:
        """
        The colour of distant shapes.
        """
        return mix(self.sky[-2], self.sky[-1], 0.45)

    def at(self, nearness: float) -> Colour:
        """
        Return the colour of the ground, from distant (0) to near (1).
        """
        return mix(self.haze, self.ground, nearness)

    def varied(self, dice: random.Random) -> "Palette":
        # The same slight cast on all colours keeps them in harmony.
        cast = dice.randrange(256), dice.randrange(256), dice.randrange(256)
        share = dice.uniform(0.02, 0.09)
        sky = tuple(mix(colour, cast, share) for colour in self.sky)
        return self._replace(sky=sky, ground=mix(self.ground, mix(self.ground, cast, share), 0.5))


_COLOURS: Final = {
    "ember": "191640 4b2a6b b3456f f08a5d ffd28f  fff1cf  150f2b",
    "rose": "5876a8 98a9d0 dcb9cf f8cdbf ffe6cd  fff8e6  2c2c4f",
    "lagoon": "0d2a40 1c5566 5a9a98 c8cf9f f9d595  fff3d0  0a1d2b",
    "lavender": "2a2257 62488f ae76b4 f0acbf ffe0cb  fff4e2  1d1740",
    "mint": "3b8c9e 7dbfbb bfe0c9 eef0d2 fff4d6  fffbea  10403f",
    "honey": "6b5f8a b3808d eaa676 fac774 ffe6a3  fffbe0  3a2233",
    "azure": "2b6cb0 5b9bd5 9cc8ec d3e6f2 fbeedb  fffdf0  173a52",
    "frost": "4f76a8 86abd3 bcd3ea e3e8f2 fde8da  fffaf0  24405f",
    "canyon": "2d376b 86496f d9684f f79a4f ffd47c  fff0c4  3a1527",
    "moss": "24504c 5a8a6c a3bf86 dfe0a4 fbf3c4  fffde4  0d2522",
    "neon": "120b33 3b1762 8c2b80 f4608f ffb37a  ffe6b8  0d0824",
    "midnight": "050a20 0b1b42 173869 2f5f93 6c94b8  f6f2dc  040919",
    "indigo": "0b0a2a 1c1a52 3a2f7d 6a4a9c b27fb0  fbeedd  080720",
    "polar": "040b1e 062338 0a3d4f 12605f 3e8f7d  e9fbe4  030b16",
}  # the sky from its top, the light, the ground


def _read(name: str, colours: str) -> Palette:
    *sky, light, ground = [(int(it[:2], 16), int(it[2:4], 16), int(it[4:], 16)) for it in colours.split()]
    return Palette(tuple(sky), light, ground, is_night=name in {"midnight", "indigo", "polar"})


PALETTES: Final = {name: _read(name, colours) for name, colours in _COLOURS.items()}
