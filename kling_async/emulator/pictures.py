"""
The emulator's pictures: real PNG files, painted from the prompt's words and determined by the arguments alone.

A picture is built from back to front: sky, land, motif, caption. All shapes are polygons in pixels of the picture; what
is soft (sky, clouds, reflections) is painted small and enlarged, for that is quick and compresses well.
"""

import functools
import hashlib
import io
import itertools
import math
import random
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps, ImageStat, PngImagePlugin

__all__ = ["draw", "size_in_pixels"]

Colour = tuple[int, int, int]
Point = tuple[float, float]
Outline = Sequence[Point]

_RATIOS: Final = {
    "16:9": (16, 9),
    "9:16": (9, 16),
    "1:1": (1, 1),
    "4:3": (4, 3),
    "3:4": (3, 4),
    "3:2": (3, 2),
    "2:3": (2, 3),
    "21:9": (21, 9),
}
_ENLARGED: Final = {"1k": 1, "2k": 2}
_SMALLEST: Final = 16  # pixels of a side
_SOFT: Final = 4  # soft things are painted this many times smaller
_WHITE: Final = (255, 255, 255)


def size_in_pixels(aspect_ratio: str, resolution: str) -> tuple[int, int]:
    """
    Return width and height: about a megapixel for "1k" and four for "2k", the sides in multiples of 8.

    Raises:
        ValueError: The ratio or the resolution is not known.
    """
    try:
        across, down = _RATIOS[aspect_ratio]
        enlarged = _ENLARGED[resolution]
    except KeyError as error:
        raise ValueError(f"no picture of {aspect_ratio!r} at {resolution!r}: {error} is not known") from None
    width = 1024 * math.sqrt(across / down)
    return round(width / 8) * 8 * enlarged, round(width * down / across / 8) * 8 * enlarged


def draw(  # noqa: PLR0913 - a request has as many fields
    prompt: str,
    *,
    index: int,
    seed: int,
    model_name: str,
    aspect_ratio: str = "16:9",
    resolution: str = "1k",
    reference: bytes | None = None,
    fidelity: float = 0.5,
    scale: float = 1.0,
) -> bytes:
    """
    Paint a picture and return it as a PNG file; the same arguments give the same bytes.

    Some words of the prompt, English or Chinese, choose the scene, the light and a motif; what they leave open, the
    prompt's hash chooses.

    Args:
        index: Which of a task's pictures; neighbours differ in composition and light.
        reference: A jpg or png file that shapes the picture.
        fidelity: How much it does: 1 nearly repeats it, 0 takes its colours only.
        scale: Multiplies the sides, none of which becomes less than 16 pixels.

    Raises:
        ValueError: The reference cannot be read, or there is no such ratio or resolution.
    """
    width, height = size_in_pixels(aspect_ratio, resolution)
    size = max(_SMALLEST, round(width * scale)), max(_SMALLEST, round(height * scale))
    given = None if reference is None else _open_reference(reference, size)
    image = _paint(prompt, index, seed, model_name, size)
    if given is not None:
        image = _shape(image, given, min(1.0, max(0.0, fidelity)))
    facts = f"{model_name}  \N{MIDDLE DOT}  picture {index}  \N{MIDDLE DOT}  seed {seed}"
    _caption(image, prompt, facts, is_frosted=given is not None)
    return _encode(image, prompt, facts)


# Colours


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _hex(text: str) -> Colour:
    return int(text[:2], 16), int(text[2:4], 16), int(text[4:], 16)


class _Palette(NamedTuple):
    """
    The light of a scene: the sky from its top to the horizon, the sun or moon, and the darkest ground.
    """

    sky: tuple[Colour, ...]
    light: Colour
    ground: Colour
    is_night: bool = False

    @property
    def haze(self) -> Colour:
        """
        What far things fade into.
        """
        return _mix(self.sky[-2], self.sky[-1], 0.45)

    def at(self, nearness: float) -> Colour:
        """
        Return the ground's colour from the far end, 0, to the near one, 1.
        """
        return _mix(self.haze, self.ground, nearness)


def _palette(sky: str, light: str, ground: str, *, is_night: bool = False) -> _Palette:
    return _Palette(tuple(_hex(stop) for stop in sky.split()), _hex(light), _hex(ground), is_night)


_PALETTES: Final = {
    "ember": _palette("191640 4b2a6b b3456f f08a5d ffd28f", "fff1cf", "150f2b"),
    "rose": _palette("5876a8 98a9d0 dcb9cf f8cdbf ffe6cd", "fff8e6", "2c2c4f"),
    "lagoon": _palette("0d2a40 1c5566 5a9a98 c8cf9f f9d595", "fff3d0", "0a1d2b"),
    "lavender": _palette("2a2257 62488f ae76b4 f0acbf ffe0cb", "fff4e2", "1d1740"),
    "mint": _palette("3b8c9e 7dbfbb bfe0c9 eef0d2 fff4d6", "fffbea", "10403f"),
    "honey": _palette("6b5f8a b3808d eaa676 fac774 ffe6a3", "fffbe0", "3a2233"),
    "azure": _palette("2b6cb0 5b9bd5 9cc8ec d3e6f2 fbeedb", "fffdf0", "173a52"),
    "frost": _palette("4f76a8 86abd3 bcd3ea e3e8f2 fde8da", "fffaf0", "24405f"),
    "canyon": _palette("2d376b 86496f d9684f f79a4f ffd47c", "fff0c4", "3a1527"),
    "moss": _palette("24504c 5a8a6c a3bf86 dfe0a4 fbf3c4", "fffde4", "0d2522"),
    "neon": _palette("120b33 3b1762 8c2b80 f4608f ffb37a", "ffe6b8", "0d0824"),
    "midnight": _palette("050a20 0b1b42 173869 2f5f93 6c94b8", "f6f2dc", "040919", is_night=True),
    "indigo": _palette("0b0a2a 1c1a52 3a2f7d 6a4a9c b27fb0", "fbeedd", "080720", is_night=True),
    "polar": _palette("040b1e 062338 0a3d4f 12605f 3e8f7d", "e9fbe4", "030b16", is_night=True),
}


# Words of the prompt


class _Hints(NamedTuple):
    """
    What the prompt's words ask for; None and empty where they leave it open.
    """

    scene: str | None
    motifs: tuple[str, ...]
    palettes: tuple[str, ...]


_SCENE_WORDS: Final = {
    "aurora": "aurora arctic polar 极光",
    "space": "space planet galaxy nebula mars alien cosmic astronaut spaceship universe 太空 星球 宇",
    "city": "city town street skyline cyberpunk urban skyscraper tokyo london neon rooftop 城市 街",
    "desert": "desert dune sand sahara canyon camel mesa cactus egypt pyramid 沙漠",
    "peaks": "snow snowy winter ice glacier alps peak ski christmas frozen 雪 冬",
    "forest": "forest wood woods pine jungle fox wolf bear deer owl fairy mushroom dragon 森林 树林",
    "sea": "sea ocean beach coast island wave harbor harbour bay whale fish 海",
    "meadow": "flower meadow garden field rose tulip poppy daisy spring bee butterfly bird rabbit sunflower 花 草原",
    "mountains": "mountain hill valley lake river mist fog horse 山 湖",
    "paper": "abstract logo pattern paper minimal minimalist poster icon design 抽象 剪纸",
}
_MOTIF_WORDS: Final = {
    "lighthouse": "lighthouse 灯塔",
    "boat": "boat ship sail sailboat yacht sailor fisherman 船",
    "balloon": "balloon airship 热气球",
    "cat": "cat kitten kitty 猫",
    "robot": "robot android mech droid 机器人",
    "cabin": "cabin house hut cottage home village 屋 房",
    "castle": "castle palace fortress kingdom 城堡",
    "tree": "tree oak baobab 树",
    "rocket": "rocket spaceship spacecraft 火箭",
    "person": "man woman girl boy person wanderer traveler traveller hiker astronaut portrait 人物 女孩",
    "birds": "bird birds gull crane swallow 鸟",
}
_MOTIF_SCENES: Final = {
    "lighthouse": "sea",
    "boat": "sea aurora peaks city",
    "balloon": "mountains meadow desert",
    "cat": "city mountains",
    "robot": "city space desert",
    "cabin": "peaks aurora forest",
    "castle": "mountains forest",
    "tree": "meadow mountains",
    "rocket": "space",
    "person": "mountains sea aurora meadow",
    "birds": "sea mountains",
}
_PALETTE_WORDS: Final = {
    "midnight indigo polar": "night midnight moon moonlit star starry dark 夜 月 星",
    "ember lavender canyon": "sunset dusk evening twilight 日落 黄昏 傍晚",
    "rose honey mint": "dawn sunrise morning 日出 清晨 早晨",
    "neon indigo": "neon cyberpunk synthwave 霓虹",
    "honey canyon": "autumn fall golden gold amber 秋 金",
    "mint moss": "green spring jungle 绿 春",
    "azure": "blue sunny noon summer day 蓝 夏",
    "rose lavender": "pink romantic dream dreamy pastel 粉",
}
_SCENE_PALETTES: Final = {
    "aurora": "polar midnight indigo",
    "space": "indigo neon midnight ember",
    "city": "neon ember midnight lavender",
    "desert": "canyon honey ember rose",
    "peaks": "frost rose lavender azure",
    "forest": "moss mint lagoon honey",
    "sea": "ember lagoon rose lavender azure",
    "meadow": "rose honey mint azure lavender",
    "mountains": "ember lavender lagoon rose honey mint",
    "paper": "ember lagoon lavender azure canyon moss neon",
}


def _read_hints(prompt: str) -> _Hints:
    text = prompt[:400].casefold()
    words = {form for word in re.findall(r"[a-z]+", text) for form in (word, word.removesuffix("s"))}

    def named(table: dict[str, str]) -> list[str]:
        return [name for name, hints in table.items() if any(_is_meant(hint, words, text) for hint in hints.split())]

    scenes, motifs, palettes = named(_SCENE_WORDS), named(_MOTIF_WORDS), named(_PALETTE_WORDS)
    return _Hints(scenes[0] if scenes else None, tuple(motifs), tuple(palettes[0].split()) if palettes else ())


def _is_meant(hint: str, words: set[str], text: str) -> bool:
    return hint in words if hint.isascii() else hint in text


def _dice(*facts: object) -> random.Random:
    digest = hashlib.sha256(repr(facts).encode("ascii", "backslashreplace")).digest()
    return random.Random(digest)  # noqa: S311 - pictures are no secret


# The easel


class _Easel:
    """
    A picture in the making.

    Attributes:
        unit: Pixels of one part in a thousand of the picture's geometric mean side; widths of thin things are in it.
        sun: Where the light is, once the sky is painted.
    """

    def __init__(self, size: tuple[int, int], palette: _Palette, dice: random.Random) -> None:
        self.image = Image.new("RGB", size, palette.haze)
        self.width, self.height = size
        self.unit = math.sqrt(self.width * self.height) / 1000
        self.span = min(self.height, self.width * 0.8)  # heights of far things are shares of it
        self.palette = palette
        self.dice = dice
        self.sun: Point = (self.width / 2, self.height / 2)

    def fill(self, shapes: Iterable[Outline], colours: Sequence[Colour], opacity: float = 1.0) -> None:
        """
        Fill *shapes*, smooth-edged, with *colours* from the top of them all to the bottom.
        """
        shapes = [shape for shape in shapes if len(shape) > 2]
        if not shapes:
            return
        xs = [x for shape in shapes for x, _ in shape]
        ys = [y for shape in shapes for _, y in shape]
        top, bottom = math.floor(min(ys)), math.ceil(max(ys))
        left, right = max(0, math.floor(min(xs))), min(self.width, math.ceil(max(xs)))
        first, last = max(0, top), min(self.height, bottom)
        if left >= right or first >= last:
            return
        mask = _stencil(shapes, (left, first, right, last))
        if opacity < 1:
            mask = mask.point([round(level * opacity) for level in range(256)])
        paint: Image.Image | Colour = colours[0]
        if len(colours) > 1:
            paint = _gradient((right - left, bottom - top), colours).crop((0, first - top, right - left, last - top))
        self.image.paste(paint, (left, first, right, last), mask)

    def ground(self, crest: Outline, colours: Sequence[Colour], grown: Iterable[Outline] = ()) -> None:
        """
        Fill all below *crest*, with what has *grown* on it.
        """
        grown = list(grown)
        top = min(self.height - 1, max(0, math.floor(min(y for shape in (crest, *grown) for _, y in shape))))
        foot = max(top + 1, min(self.height, math.ceil(max(y for _, y in crest))))
        paint = _gradient((self.width, self.height - top), colours)
        closed = [*crest, (self.width + 2, foot), (-2, foot)]
        mask = _stencil([closed, *grown], (0, top, self.width, foot))
        self.image.paste(paint.crop((0, 0, self.width, foot - top)), (0, top), mask)
        self.image.paste(paint.crop((0, foot - top, self.width, paint.height)), (0, foot))

    def glow(self, centre: Point, radius: float, colour: Colour, strength: float) -> None:
        """
        Lay a soft round light over the picture.
        """
        _glow(self.image, centre, radius, colour, strength)

    def shine(self, source: Point, reach: float, rays: Iterable[Outline], strength: float) -> None:
        """
        Lay *rays* over the picture that fade with the distance from their source.
        """
        size = max(2, self.width // _SOFT), max(2, self.height // _SOFT)
        mask = _stencil([[(x / _SOFT, y / _SOFT) for x, y in ray] for ray in rays], (0, 0, *size))
        light = Image.new("L", size)
        _glow(light, (source[0] / _SOFT, source[1] / _SOFT), reach / _SOFT, 255, strength, 1.2)
        mask = ImageChops.multiply(mask, light)
        self.image.paste(self.palette.light, (0, 0), mask.resize(self.image.size, Image.Resampling.BILINEAR))


def _stencil(shapes: Iterable[Outline], box: tuple[int, int, int, int]) -> Image.Image:
    left, top, right, bottom = box
    mask = Image.new("L", ((right - left) * 2, (bottom - top) * 2))
    pen = ImageDraw.Draw(mask)
    for shape in shapes:
        pen.polygon([((x - left) * 2, (y - top) * 2) for x, y in shape], fill=255)
    return mask.reduce(2)


def _gradient(size: tuple[int, int], colours: Sequence[Colour]) -> Image.Image:
    column = Image.new("RGB", (1, len(colours)))
    column.putdata(colours)
    # Half a stop at either end would be flat: it is cut off.
    column = column.resize((1, size[1]), Image.Resampling.BICUBIC, box=(0, 0.4, 1, len(colours) - 0.4))
    return column.resize(size, Image.Resampling.NEAREST)


@functools.cache
def _radiance(strength: int, power: float) -> Image.Image:
    # Pillow's gradient reaches 255 in the corners, hence 180 at the sides.
    return Image.radial_gradient("L").point(
        [round(strength * max(0.0, 1 - level / 180) ** power) for level in range(256)]
    )


def _glow(
    image: Image.Image, centre: Point, radius: float, colour: Colour | int, strength: float, power: float = 2.0
) -> None:
    side = max(2, round(2 * radius))
    mask = _radiance(round(255 * strength), power).resize((side, side), Image.Resampling.BICUBIC)
    image.paste(colour, (round(centre[0] - radius), round(centre[1] - radius)), mask)


def _noise(dice: random.Random, size: tuple[int, int], cells: tuple[int, int]) -> Image.Image:
    grid = Image.frombytes("L", cells, dice.randbytes(cells[0] * cells[1]))
    return grid.resize(size, Image.Resampling.BICUBIC)


def _clouds(dice: random.Random, size: tuple[int, int], cells: tuple[int, int], *, density: float) -> Image.Image:
    # Three octaves of noise, and of their sum what lies above a threshold.
    mass = _noise(dice, size, cells)
    for octave, share in ((2, 0.36), (5, 0.2)):
        mass = Image.blend(mass, _noise(dice, size, (cells[0] * octave, cells[1] * octave)), share)
    low, high = 205 - 150 * density, 285 - 110 * density
    return mass.point([round(255 * _eased((level - low) / (high - low))) for level in range(256)])


def _eased(share: float) -> float:
    share = min(1.0, max(0.0, share))
    return share * share * (3 - 2 * share)


# Outlines


def _ridge(dice: random.Random, width: float, level: float, rise: float, rough: float = 0.52) -> list[Point]:
    # Midpoint displacement.
    heights = [dice.uniform(-1, 1) for _ in range(5)]
    spread = 0.9
    for _ in range(6):
        between = [(a + b) / 2 + dice.uniform(-spread, spread) for a, b in itertools.pairwise(heights)]
        heights = [height for pair in zip(heights, between, strict=False) for height in pair] + heights[-1:]
        spread *= rough
    step = (width + 4) / (len(heights) - 1)
    return [(i * step - 2, level - rise * height) for i, height in enumerate(heights)]


def _swell(dice: random.Random, width: float, level: float, rise: float, waves: float = 1.2) -> list[Point]:
    turns = [
        (waves * factor, dice.uniform(0, math.tau), share) for factor, share in ((1, 1.0), (2.1, 0.4), (4.3, 0.12))
    ]
    return [
        (
            (i / 80) * (width + 4) - 2,
            level - rise * sum(share * math.sin(i / 80 * math.tau * rate + start) for rate, start, share in turns),
        )
        for i in range(81)
    ]


def _oval(x: float, y: float, across: float, down: float | None = None, tilt: float = 0.0) -> list[Point]:
    down = across if down is None else down
    steps = 64 if across > 20 else 24
    turns = [(math.cos(i / steps * math.tau) * across, math.sin(i / steps * math.tau) * down) for i in range(steps)]
    if not tilt:
        return [(x + dx, y + dy) for dx, dy in turns]
    cos, sin = math.cos(tilt), math.sin(tilt)
    return [(x + dx * cos - dy * sin, y + dx * sin + dy * cos) for dx, dy in turns]


def _box(left: float, top: float, right: float, bottom: float) -> list[Point]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _rounded(corners: Outline, times: int = 3) -> list[Point]:
    # Chaikin's corner cutting.
    points = list(corners)
    for _ in range(times):
        points = [
            (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share)
            for a, b in zip(points, points[1:] + points[:1], strict=True)
            for share in (0.25, 0.75)
        ]
    return points


def _conifer(dice: random.Random, x: float, foot: float, height: float) -> list[Point]:
    left: list[Point] = []
    right: list[Point] = []
    tiers = 7
    for tier in range(1, tiers + 1):
        y = foot - height * (1 - tier / (tiers + 0.6))
        reach = height * 0.19 * tier / tiers
        left += [(x - reach * dice.uniform(0.8, 1.15), y), (x - reach * 0.45, y - height * 0.02)]
        right += [(x + reach * dice.uniform(0.8, 1.15), y), (x + reach * 0.45, y - height * 0.02)]
    trunk = height * 0.018
    return [
        (x, foot - height),
        *right,
        (x + trunk, foot + height * 0.05),
        (x - trunk, foot + height * 0.05),
        *left[::-1],
    ]


def _height_at(crest: Outline, x: float) -> float:
    return min(crest, key=lambda point: abs(point[0] - x))[1]


# Skies and waters


def _sky(
    easel: _Easel, horizon: float, *, sun: Point | None = None, cloudy: float = 0.5, radius: float = 0.055
) -> None:
    """
    Paint the sky down to *horizon* with its light, clouds and, at night, stars.

    Args:
        sun: Shares of the width and of the way down to the horizon; None chooses.
        radius: Of the sun or moon, in shares of the span; 0 paints none.
    """
    dice, palette = easel.dice, easel.palette
    across, down = sun or (
        dice.uniform(0.2, 0.8),
        dice.uniform(0.25, 0.6) if palette.is_night else dice.uniform(0.5, 0.9),
    )
    easel.sun = (easel.width * across, horizon * down)
    end = min(easel.height, round(horizon * 1.2))  # the land covers the rest
    size = max(4, easel.width // _SOFT), max(4, end // _SOFT)
    low = min(size[1], max(1, round(horizon / _SOFT)))
    small = Image.new("RGB", size, palette.sky[-1])
    small.paste(_gradient((size[0], low), palette.sky), (0, 0))
    centre = (easel.sun[0] / _SOFT, easel.sun[1] / _SOFT)
    strength = 0.35 if palette.is_night else 0.6
    _glow(small, centre, easel.span * 1.05 / _SOFT, _mix(palette.sky[-2], palette.sky[-1], 0.4), strength * 0.8)
    _cover_with_clouds(small, low, palette, dice, cloudy)
    _glow(small, centre, easel.span * 0.42 / _SOFT, palette.light, strength, 2.6)
    easel.image.paste(small.resize((easel.width, end), Image.Resampling.BICUBIC), (0, 0))
    if palette.is_night:
        _stars(easel, horizon)
    if radius:
        _sun_or_moon(easel, easel.span * radius)


def _cover_with_clouds(small: Image.Image, low: int, palette: _Palette, dice: random.Random, cloudy: float) -> None:
    size = small.width, low
    fade = Image.linear_gradient("L").resize(size)
    for colour, density, share in ((palette.sky[-2], 0.5, 0.5), (palette.light, 0.42, 0.42)):
        mass = _clouds(dice, size, (3, 7), density=density * (0.5 + cloudy))
        faded = ImageChops.multiply(
            mass, fade.point([round(255 * share * math.sin(math.pi * v / 290)) for v in range(256)])
        )
        small.paste(_mix(colour, palette.sky[1], 0.15), (0, 0), faded)


def _stars(easel: _Easel, horizon: float) -> None:
    dice, pen = easel.dice, ImageDraw.Draw(easel.image, "RGBA")
    for _ in range(320):
        x, y = dice.uniform(0, easel.width), horizon * dice.random() ** 1.4
        bright = dice.random() ** 3
        radius = easel.unit * (0.35 + 1.1 * bright)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*_WHITE, round(70 + 180 * bright)))
    for _ in range(5):
        spot = dice.uniform(0, easel.width), horizon * dice.uniform(0, 0.8)
        easel.glow(spot, easel.unit * 9, _WHITE, 0.7)


def _sun_or_moon(easel: _Easel, radius: float) -> None:
    x, y = easel.sun
    palette, dice = easel.palette, easel.dice
    if not palette.is_night:
        easel.fill([_oval(x, y, radius)], [palette.light, _mix(palette.light, palette.sky[-1], 0.55)])
        return
    radius *= 0.9
    easel.fill([_oval(x, y, radius)], [palette.light])
    seas = [(dice.uniform(-0.5, 0.5), dice.uniform(-0.5, 0.5), dice.uniform(0.12, 0.3)) for _ in range(6)]
    ovals = [_oval(x + dx * radius, y + dy * radius, r * radius, r * radius * 0.8) for dx, dy, r in seas]
    easel.fill(ovals, [_mix(palette.light, palette.sky[2], 0.35)], 0.4)


def _water(easel: _Easel, shore: float, *, calm: float = 0.6) -> None:
    """
    Paint water from *shore* to the bottom: what stands above it, mirrored, and the light's path on it.

    Args:
        calm: From 0, the plain colour of the depth, to 1, a clear mirror.
    """
    top = round(shore)
    depth = easel.height - top
    if depth < 4 or top < 4:
        return
    palette = easel.palette
    reach = min(top, round(depth * 1.35))
    mirrored = easel.image.crop((0, top - reach, easel.width, top)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    blurred = mirrored.resize((max(2, easel.width // 5), max(2, depth // 9)), Image.Resampling.BOX)
    body = _gradient(blurred.size, [_mix(palette.haze, palette.light, 0.15), palette.at(0.55), palette.at(0.92)])
    easel.image.paste(Image.blend(body, blurred, calm).resize((easel.width, depth), Image.Resampling.BICUBIC), (0, top))
    _ripples(easel, top, depth)
    _sun_path(easel, top, depth)


def _ripples(easel: _Easel, top: int, depth: int) -> None:
    dice, unit = easel.dice, easel.unit
    dark: list[Outline] = []
    bright: list[Outline] = []
    for _ in range(130):
        near = dice.random() ** 1.3
        where = dice.uniform(0, easel.width), top + depth * (0.02 + 0.98 * near)
        shape = _lens(*where, unit * (10 + 75 * near) * dice.uniform(0.5, 1.5), unit * (0.4 + 1.7 * near))
        (dark if dice.random() < 0.6 else bright).append(shape)
    easel.fill(dark, [easel.palette.ground], 0.18)
    easel.fill(bright, [easel.palette.sky[-1]], 0.22)


def _sun_path(easel: _Easel, top: int, depth: int) -> None:
    dice, unit = easel.dice, easel.unit
    glints: list[Outline] = []
    for _ in range(110):
        near = dice.random() ** 1.5
        x = easel.sun[0] + dice.gauss(0, 1) * unit * (16 + 75 * near)
        glints.append(
            _lens(x, top + 1 + depth * near, unit * (7 + 32 * near) * dice.uniform(0.4, 1.4), unit * (0.7 + 2 * near))
        )
    easel.fill(glints, [easel.palette.light, _mix(easel.palette.light, easel.palette.sky[-1], 0.5)], 0.62)


def _lens(x: float, y: float, half: float, thick: float) -> list[Point]:
    return [(x - half, y), (x - half * 0.4, y - thick), (x + half * 0.4, y - thick), (x + half, y), (x, y + thick)]


# Scenes. Each paints the whole picture but for the motif.


def _mountains(easel: _Easel) -> None:
    dice, palette = easel.dice, easel.palette
    horizon = easel.height * dice.uniform(0.5, 0.6)
    _sky(easel, horizon * 1.1)
    count = dice.choice((5, 6, 7))
    is_lake = dice.random() < 0.5
    last = 0.72 if is_lake else 0.95
    for layer in range(count):
        near = layer / (count - 1)
        level = horizon + (easel.height * last - horizon) * near**1.25
        rise = easel.span * (0.13 - 0.075 * near)
        colour = palette.at(0.16 + 0.74 * near**1.1)
        foot = _mix(colour, palette.haze, 0.62 - 0.45 * near)
        crest = _ridge(dice, easel.width, level, rise, 0.5)
        grown = _pines(easel, crest, easel.span * 0.05, 90) if near > 0.8 else []
        easel.ground(crest, [colour, foot, foot], grown)
    if is_lake:
        _water(easel, easel.height * 0.78, calm=0.72)
        _frame_with_pines(easel)
    _birds(easel)


def _pines(easel: _Easel, crest: Outline, height: float, count: int) -> list[Outline]:
    dice = easel.dice
    trees: list[Outline] = []
    for _ in range(count):
        x, foot = crest[dice.randrange(len(crest))]
        x += dice.uniform(-6, 6) * easel.unit
        trees.append(_conifer(dice, x, foot + height * 0.15, height * dice.uniform(0.5, 1.25)))
    return trees


def _frame_with_pines(easel: _Easel) -> None:
    # Large dark trees at one side, nearer than all else.
    dice = easel.dice
    is_left = dice.random() < 0.5
    trees: list[Outline] = []
    for place in range(6):
        share = place * dice.uniform(0.03, 0.055) - 0.02
        x = easel.width * (share if is_left else 1 - share)
        trees.append(_conifer(dice, x, easel.height * 1.01, easel.span * dice.uniform(0.34, 0.62) * (1 - 0.11 * place)))
    easel.fill(trees, [easel.palette.at(0.93), easel.palette.ground])


def _birds(easel: _Easel, *, count: int | None = None) -> None:
    dice = easel.dice
    count = dice.choice((0, 5, 7, 9)) if count is None else count
    x, y = easel.width * dice.uniform(0.25, 0.75), easel.height * dice.uniform(0.16, 0.32)
    shapes: list[Outline] = []
    for _ in range(count):
        wing = easel.unit * dice.uniform(7, 14)
        lift = dice.uniform(0.25, 0.6)
        bx, by = x + dice.gauss(0, 75) * easel.unit, y + dice.gauss(0, 32) * easel.unit
        for side in (-1, 1):
            tip = (bx + side * wing, by - wing * lift)
            elbow = (bx + side * wing * 0.45, by - wing * lift * 1.15)
            shapes.append(
                [(bx, by), elbow, tip, (bx + side * wing * 0.5, by - wing * lift * 0.75), (bx, by + wing * 0.16)]
            )
    easel.fill(shapes, [easel.palette.at(0.8)])


def _peaks(easel: _Easel) -> None:
    dice, palette = easel.dice, easel.palette
    horizon = easel.height * dice.uniform(0.62, 0.68)
    _sky(
        easel,
        horizon,
        sun=(dice.choice((0.14, 0.84)) + dice.uniform(-0.05, 0.05), dice.uniform(0.25, 0.45)),
        cloudy=0.6,
    )
    haze = palette.haze
    easel.ground(_ridge(dice, easel.width, horizon * 0.82, easel.span * 0.09, 0.56), [palette.at(0.22), haze, haze])
    places = [(place + dice.uniform(-0.35, 0.35)) / 4 for place in dice.sample(range(5), 5)]
    for order, place in enumerate(places):
        _peak(
            easel, place * easel.width, horizon, easel.span * dice.uniform(0.24, 0.34) * (1 + order * 0.11), order / 4
        )
    shore = easel.height * dice.uniform(0.74, 0.8)
    for near in (0.35, 0.7):
        crest = _swell(dice, easel.width, horizon + (shore - horizon) * near * 0.6, easel.unit * 8, 2.0)
        colour = palette.at(0.35 + near * 0.6)
        easel.ground(
            crest, [colour, _mix(colour, haze, 0.3)], _pines(easel, crest, easel.span * (0.035 + 0.05 * near), 70)
        )
    _water(easel, shore, calm=0.8)
    if dice.random() < 0.6:
        _frame_with_pines(easel)


def _peak(easel: _Easel, x: float, foot: float, height: float, near: float) -> None:
    dice, palette = easel.dice, easel.palette
    lights_left = easel.sun[0] < x
    flanks = [_flank(dice, x, foot, height, side) for side in (-1, 1)]
    spine = _flank(dice, x, foot, height, dice.uniform(-0.12, 0.12), rough=0.05)
    snow = _mix(palette.light, palette.haze, 0.12)
    shade = _mix(palette.sky[0], palette.haze, 0.5)
    for flank, is_lit in zip(flanks, (lights_left, not lights_left), strict=True):
        rock = _mix(palette.at(0.42 + 0.25 * near), palette.light, 0.16 if is_lit else 0.0)
        easel.fill([[*flank, *spine[::-1]]], [rock, _mix(rock, palette.haze, 0.75)])
        cap = _snow(dice, flank, spine, foot - height * dice.uniform(0.42, 0.52))
        easel.fill([cap], [snow, _mix(snow, palette.haze, 0.35)] if is_lit else [_mix(shade, snow, 0.35), shade])


def _flank(dice: random.Random, x: float, foot: float, height: float, side: float, rough: float = 0.035) -> list[Point]:
    points = [(x, foot - height)]
    for step in range(1, 15):
        share = step / 14
        lean = side * height * 1.05 * share ** (1.12 if abs(side) == 1 else 1)
        points.append(
            (x + lean + dice.uniform(-rough, rough) * height * min(1, share * 2.5), foot - height * (1 - share))
        )
    return points


def _snow(dice: random.Random, flank: Outline, spine: Outline, line: float) -> list[Point]:
    # The part above the snow line, whose lower edge runs in tongues from the flank to the spine.
    outer = [point for point in flank if point[1] < line]
    inner = [point for point in spine if point[1] < line]
    (x1, y1), (x2, y2) = outer[-1], inner[-1]
    drop = (line - flank[0][1]) * 0.5
    edge = []
    for step in range(1, 12):
        share = (step + dice.uniform(-0.3, 0.3)) / 12
        tongue = drop * dice.random() ** 1.6 if step % 2 else -drop * dice.uniform(0.1, 0.5)
        edge.append((x1 + (x2 - x1) * share, y1 + (y2 - y1) * share + tongue))
    return [*outer, *edge, *inner[::-1]]


def _sea(easel: _Easel) -> None:
    dice, palette = easel.dice, easel.palette
    horizon = easel.height * dice.uniform(0.52, 0.62)
    _sky(
        easel,
        horizon,
        sun=None if palette.is_night else (dice.uniform(0.25, 0.75), dice.uniform(0.72, 0.98)),
        cloudy=0.9,
        radius=0.075,
    )
    for near in (0.2, 0.42):
        if dice.random() < 0.8:
            _island(easel, horizon, near)
    _water(easel, horizon, calm=0.45)
    _birds(easel)


def _island(easel: _Easel, horizon: float, near: float) -> None:
    dice = easel.dice
    half, x = easel.width * dice.uniform(0.12, 0.3), easel.width * dice.choice((0.02, 0.2, 0.8, 0.98))
    crest = _ridge(dice, 2 * half, 0, 1, 0.5)
    rise = easel.span * dice.uniform(0.03, 0.07)
    outline = []
    for dx, height in crest:
        dome = max(0.0, 1 - ((dx - half) / half) ** 2)
        outline.append((x - half + dx, horizon + 1 - rise * dome * (1.1 - height * 0.6)))
    colour = easel.palette.at(0.2 + near)
    easel.fill(
        [[*outline, (x + half, horizon + 2), (x - half, horizon + 2)]], [colour, _mix(colour, easel.palette.haze, 0.4)]
    )


def _forest(easel: _Easel) -> None:
    dice, palette = easel.dice, easel.palette
    _sky(easel, easel.height * 0.85, sun=(dice.uniform(0.35, 0.65), dice.uniform(0.3, 0.5)), cloudy=0.3, radius=0.05)
    count = 6
    for layer in range(count):
        near = layer / (count - 1)
        level = easel.height * (0.56 + 0.42 * near**1.1)
        height = easel.span * (0.12 + 0.5 * near**1.6)
        crest = _swell(dice, easel.width, level, easel.unit * 16, 1.4)
        colour = palette.at(0.1 + 0.86 * near)
        mist = _mix(colour, palette.haze, 0.8 - 0.6 * near)
        trees = _stand(easel, crest, height, round(46 - 33 * near), clear=0.13 + 0.1 * near if layer > 1 else 0.0)
        easel.ground(crest, [colour, _mix(colour, mist, 0.4), mist], trees)
        if layer in {1, 3}:
            _shafts(easel)


def _stand(easel: _Easel, crest: Outline, height: float, count: int, *, clear: float) -> list[Outline]:
    # Trees side by side, with a clearing where the light comes from.
    dice = easel.dice
    trees: list[Outline] = []
    for place in range(count):
        x = easel.width * (place + dice.uniform(0, 1)) / count
        if abs(x - easel.sun[0]) > easel.width * clear:
            trees.append(_conifer(dice, x, _height_at(crest, x) + 2, height * dice.uniform(0.6, 1.2)))
    return trees


def _shafts(easel: _Easel) -> None:
    dice, (x, y) = easel.dice, easel.sun
    reach = easel.span * 1.0
    shafts = []
    for _ in range(6):
        turn, wide = dice.uniform(0.08, 0.92) * math.pi, dice.uniform(0.015, 0.05)
        ends = [(x + math.cos(turn + d) * reach, y + math.sin(turn + d) * reach) for d in (-wide, wide)]
        shafts.append([(x, y), *ends])
    easel.shine(easel.sun, reach, shafts, 0.2 if easel.palette.is_night else 0.4)


def _city(easel: _Easel) -> None:
    dice = easel.dice
    shore = easel.height * dice.uniform(0.74, 0.8)
    _sky(easel, shore, sun=(dice.uniform(0.3, 0.7), dice.uniform(0.45, 0.75)), radius=0.13, cloudy=0.4)
    for near, low, high in ((0.28, 0.2, 0.42), (0.55, 0.14, 0.4), (0.92, 0.06, 0.3)):
        _skyline(easel, shore, near, (low, high))
    _water(easel, shore, calm=0.75)
    _birds(easel)


def _skyline(easel: _Easel, shore: float, near: float, heights: tuple[float, float]) -> None:
    dice, unit = easel.dice, easel.unit
    colour = easel.palette.at(near)
    walls: list[Outline] = []
    windows: list[Outline] = []
    x = -20 * unit
    while x < easel.width:
        wide = unit * dice.uniform(26, 72) * (0.7 + 0.5 * near)
        top = shore - easel.span * (heights[0] + (heights[1] - heights[0]) * dice.random() ** 2)
        walls += [_box(x, top, x + wide, shore + 1), *_roof(dice, x, top, wide)]
        if near > 0.4:
            windows += _windows(easel, (x, top, x + wide, shore), unit * (4.2 + 3.5 * near))
        x += wide + unit * dice.choice((0, 0, 3, 14))
    easel.fill(walls, [colour, _mix(colour, easel.palette.haze, 0.5 - 0.3 * near)])
    easel.fill(windows, [_mix(easel.palette.light, (255, 190, 90), 0.55)], 0.35 + 0.5 * near)


def _roof(dice: random.Random, x: float, top: float, wide: float) -> list[Outline]:
    middle = x + wide / 2
    match dice.randrange(6):
        case 0:
            return [_box(middle - wide * 0.03, top - wide * 0.9, middle + wide * 0.03, top + 1)]
        case 1:
            return [_box(x + wide * 0.2, top - wide * 0.25, x + wide * 0.8, top + 1)]
        case 2:
            return [[(x, top + 1), (middle, top - wide * 0.7), (x + wide, top + 1)]]
        case 3:
            return [[(x, top + 1), (x, top - wide * 0.35), (x + wide, top + 1)]]
        case _:
            return []


def _windows(easel: _Easel, wall: tuple[float, float, float, float], pace: float) -> list[Outline]:
    left, top, right, bottom = wall
    lit = easel.dice.uniform(0.08, 0.4)
    columns, rows = int((right - left) / pace) - 1, int((bottom - top) / (pace * 1.4)) - 1
    start = left + (right - left - columns * pace) / 2 + pace * 0.25
    return [
        _box(start + i * pace, top + (j + 0.7) * pace * 1.4, start + (i + 0.5) * pace, top + (j + 1.2) * pace * 1.4)
        for i in range(columns)
        for j in range(rows)
        if easel.dice.random() < lit
    ]


def _desert(easel: _Easel) -> None:
    dice, palette = easel.dice, easel.palette
    horizon = easel.height * dice.uniform(0.52, 0.6)
    _sky(easel, horizon, sun=(dice.uniform(0.2, 0.8), dice.uniform(0.6, 0.8)), radius=0.12, cloudy=0.3)
    for near in (0.25, 0.42):
        easel.fill(_mesas(easel, horizon, near), [palette.at(near), _mix(palette.at(near), palette.haze, 0.55)])
    for layer in range(5):
        near = layer / 4
        level = horizon + easel.height * (0.03 + 0.34 * near**1.3)
        _dune(easel, level, easel.span * (0.02 + 0.055 * near), near)


def _mesas(easel: _Easel, horizon: float, near: float) -> list[Outline]:
    dice = easel.dice
    rocks: list[Outline] = []
    for _ in range(3):
        x, half = easel.width * dice.uniform(0, 1), easel.span * dice.uniform(0.03, 0.12)
        high = easel.span * dice.uniform(0.06, 0.2) * (0.7 + near)
        step = high * dice.uniform(0.3, 0.5)
        left = [(x - half * 2, horizon + 3), (x - half * 1.25, horizon - step), (x - half * 1.08, horizon - step * 1.1)]
        right = [(2 * x - px, py) for px, py in left[::-1]]
        rocks.append([*left, (x - half, horizon - high), (x + half * 0.94, horizon - high * 0.97), *right])
    return rocks


def _dune(easel: _Easel, level: float, rise: float, near: float) -> None:
    dice, palette = easel.dice, easel.palette
    sand = _mix(_mix(palette.sky[-1], palette.sky[-2], 0.7), palette.ground, 0.04 + 0.3 * near)
    shade = _mix(_mix(palette.sky[2], palette.ground, 0.3 + 0.35 * near), sand, 0.12)
    base = _swell(dice, easel.width, level, rise * 0.3, 0.8)
    tops = [
        (
            easel.width * (place + dice.uniform(-0.18, 0.18)),
            rise * dice.uniform(0.8, 1.9),
            easel.width * dice.uniform(0.08, 0.2),
        )
        for place in ((0.2, 0.8), (0.5,), (0.1, 0.6), (0.35, 0.95), (0.7,))[dice.randrange(5)]
    ]
    xs = sorted([x for x, _ in base] + [x for x, _, _ in tops])
    crest = [(x, _height_at(base, x) - max(_dune_height(x, *top) for top in tops)) for x in xs]
    easel.ground(crest, [_mix(sand, palette.light, 0.4), sand, _mix(sand, shade, 0.6)])
    for x, high, half in tops:
        _shade_lee(easel, crest, (x, high, half), shade)


def _dune_height(x: float, top: float, high: float, half: float) -> float:
    # Hollow flanks that meet in an edge, as the wind makes them.
    return high * math.exp(-abs(x - top) / half) * (1.0 if x < top else 0.96)


def _shade_lee(easel: _Easel, crest: Outline, top: tuple[float, float, float], shade: Colour) -> None:
    # The side away from the sun: sharp along the crest and along an edge that winds down towards us, fading elsewhere.
    x, high, half = top
    y = _height_at(crest, x)
    side = 1 if easel.sun[0] < x else -1
    across, down = half * 2.2, high * 2 + easel.span * 0.09
    flank = [point for point in crest if 0 <= (point[0] - x) * side <= across]
    winding = [
        (x + side * half * (0.8 * share + 0.16 * math.sin(share * 6.3)), y + down * share)
        for share in (step / 12 for step in range(13))
    ]
    outline = [*winding, (x + side * across, y + down), *(flank[::-1] if side > 0 else flank)]
    box = round(x - across), round(y - down), round(x + across), round(y + down)
    mask = _stencil([outline], box)
    easel.image.paste(shade, box[:2], ImageChops.multiply(mask, _radiance(245, 0.85).resize(mask.size)))


def _meadow(easel: _Easel) -> None:
    dice, palette = easel.dice, easel.palette
    horizon = easel.height * dice.uniform(0.48, 0.56)
    _sky(easel, horizon * 1.05, cloudy=0.8, radius=0.07)
    green = _mix((96, 140, 84), palette.ground, 0.35 if not palette.is_night else 0.8)
    for layer in range(5):
        near = layer / 4
        level = horizon + easel.height * 0.3 * near**1.2
        crest = _swell(dice, easel.width, level, easel.span * 0.035, 0.9 + near)
        colour = _mix(palette.haze, green, 0.2 + 0.75 * near)
        grown = _pines(easel, crest, easel.span * 0.035, 26) if layer in {1, 2} else []
        easel.ground(
            crest, [_mix(colour, palette.light, 0.22), colour, _mix(colour, palette.ground, 0.55 * near)], grown
        )
    petals = [
        palette.light,
        *dice.sample([(226, 74, 84), (246, 172, 70), (178, 116, 208), (244, 136, 166), (250, 214, 96)], 3),
    ]
    spots = sorted(dice.random() ** 1.1 for _ in range(150))
    for near in spots:
        _flower(easel, horizon, near**1.15, dice.choice(petals), green)


def _flower(easel: _Easel, horizon: float, near: float, petal: Colour, green: Colour) -> None:
    dice = easel.dice
    x, foot = easel.width * dice.uniform(-0.02, 1.02), horizon + (easel.height - horizon) * (0.42 + 0.75 * near)
    size = easel.span * (0.004 + 0.04 * near**2.4) * dice.uniform(0.75, 1.2)
    colour = _mix(
        _mix(petal, easel.palette.haze, 0.25 * (1 - near)), easel.palette.ground, 0.5 if easel.palette.is_night else 0.0
    )
    if near < 0.35:
        easel.fill([_oval(x, foot, size * 1.2, size * 0.8)], [colour])
        return
    lean = dice.uniform(-1.2, 1.2) * size
    y = foot - size * dice.uniform(3.5, 5.5)
    stem = size * 0.09
    stalk = [
        (x - stem, foot + size * 4),
        (x + lean * 0.3 - stem, (foot + y) / 2),
        (x + lean, y),
        (x + lean * 0.3 + stem, (foot + y) / 2),
        (x + stem, foot + size * 4),
    ]
    easel.fill([stalk], [_mix(green, easel.palette.ground, 0.45)])
    start = dice.uniform(0, 1)
    heads = []
    for turn in range(7):
        angle = start + turn / 7 * math.tau
        heads.append(
            _oval(
                x + lean + math.cos(angle) * size * 0.62,
                y + math.sin(angle) * size * 0.5,
                size * 0.5,
                size * 0.24,
                angle,
            )
        )
    easel.fill(heads, [_mix(colour, _WHITE, 0.25), colour])
    easel.fill([_oval(x + lean, y, size * 0.27, size * 0.23)], [_mix((240, 180, 60), easel.palette.ground, 0.25)])


def _aurora(easel: _Easel) -> None:
    dice, palette = easel.dice, easel.palette
    shore = easel.height * dice.uniform(0.68, 0.76)
    _sky(easel, shore * 1.05, sun=(dice.choice((0.15, 0.85)), 0.24), cloudy=0.0, radius=0.04)
    for green, violet in (((72, 236, 158), (96, 84, 220)), ((96, 224, 200), (206, 92, 196))):
        _curtain(easel, shore, green, violet)
    for near in (0.25, 0.5, 0.8):
        crest = _ridge(
            dice, easel.width, shore - easel.span * 0.07 * (1 - near), easel.span * (0.1 - 0.08 * near), 0.52
        )
        colour = _mix(palette.sky[1], palette.ground, 0.3 + near * 0.7)
        grown = _pines(easel, crest, easel.span * 0.07, 120) if near > 0.6 else []
        easel.ground(crest, [colour, _mix(colour, palette.haze, 0.12)], grown)
    _water(easel, shore + easel.span * 0.03, calm=0.85)
    _frame_with_pines(easel)


def _curtain(easel: _Easel, shore: float, lower: Colour, upper: Colour) -> None:
    # The same hem drawn higher and fainter many times, blurred, and streaked by noise.
    dice = easel.dice
    size = max(4, easel.width // _SOFT), max(4, round(shore) // _SOFT)
    hem = _swell(
        dice, size[0], size[1] * dice.uniform(0.5, 0.72), size[1] * dice.uniform(0.07, 0.12), dice.uniform(0.8, 1.6)
    )
    veil = Image.new("L", size)
    pen = ImageDraw.Draw(veil)
    tall = size[1] * dice.uniform(0.42, 0.6)
    for level in range(30, -1, -1):
        upper_edge = [(x, y - tall * (level / 30) ** 1.4) for x, y in hem]
        lower_edge = [(x, y + size[1] * 0.02 * (1 - level / 30)) for x, y in hem[::-1]]
        pen.polygon([*upper_edge, *lower_edge], fill=round(250 * (1 - level / 30) ** 1.9))
    veil = veil.filter(ImageFilter.GaussianBlur(size[1] / 80))
    streaks = _noise(dice, size, (max(4, size[0] // 14), 2)).point([60 + round(v * 0.76) for v in range(256)])
    fade = _noise(dice, size, (4, 1)).point([min(255, 90 + v) for v in range(256)])
    veil = ImageChops.multiply(ImageChops.multiply(veil, streaks), fade)
    box = (0, 0, easel.width, size[1] * _SOFT)
    paint = _gradient((box[2], box[3]), [upper, upper, _mix(upper, lower, 0.4), lower, lower])
    easel.image.paste(paint, box, veil.resize(paint.size, Image.Resampling.BICUBIC))


def _space(easel: _Easel) -> None:
    dice, palette = easel.dice, easel.palette
    _sky(easel, easel.height * 0.95, sun=(dice.choice((0.1, 0.9)), 0.3), cloudy=1.0, radius=0)
    _stars(easel, easel.height * 0.8)
    x = easel.width * dice.uniform(0.35, 0.65)
    _planet(
        easel,
        (x, easel.height * dice.uniform(0.3, 0.42)),
        easel.span * dice.uniform(0.17, 0.25),
        has_ring=dice.random() < 0.7,
    )
    moon = (easel.width * dice.choice((0.14, 0.86)), easel.height * dice.uniform(0.12, 0.24))
    _planet(easel, moon, easel.span * 0.04, has_ring=False)
    for layer in range(4):
        near = layer / 3
        crest = _ridge(dice, easel.width, easel.height * (0.68 + 0.26 * near), easel.span * (0.09 - 0.035 * near), 0.46)
        colour = palette.at(0.22 + 0.74 * near)
        easel.ground(crest, [_mix(colour, palette.light, 0.12), _mix(colour, palette.haze, 0.55 - 0.5 * near)])


def _planet(easel: _Easel, centre: Point, radius: float, *, has_ring: bool) -> None:
    dice, palette = easel.dice, easel.palette
    x, y = centre
    side = max(4, round(radius * 2))
    bands = _noise(dice, (side, side), (2, 9))
    warm, cool = _mix(palette.sky[-1], palette.light, 0.4), _mix(palette.sky[-2], palette.sky[1], 0.25)
    globe = Image.composite(Image.new("RGB", (side, side), warm), Image.new("RGB", (side, side), cool), bands)
    lit = _radiance(255, 0.7).resize((side * 2, side * 2), Image.Resampling.BICUBIC)
    shift = 0.75 if easel.sun[0] < x else 0.25
    corner = round(side * shift), round(side * 0.7)
    lit = lit.crop((*corner, corner[0] + side, corner[1] + side)).point([min(255, round(v * 1.25)) for v in range(256)])
    globe = Image.composite(globe, Image.new("RGB", (side, side), _mix(palette.sky[0], palette.ground, 0.4)), lit)
    easel.glow(centre, radius * 1.9, palette.sky[-1], 0.4)
    left, top = round(x - side / 2), round(y - side / 2)
    tilt = dice.uniform(-0.35, 0.35)
    if has_ring:
        _ring(easel, centre, radius, tilt, (math.pi, math.tau))
    easel.image.paste(globe, (left, top), _stencil([_oval(side / 2, side / 2, side / 2 - 1)], (0, 0, side, side)))
    if has_ring:
        _ring(easel, centre, radius, tilt, (0, math.pi))


def _ring(easel: _Easel, centre: Point, radius: float, tilt: float, turns: tuple[float, float]) -> None:
    cos, sin = math.cos(tilt), math.sin(tilt)
    for inner, outer, share in ((1.35, 1.62, 0.75), (1.66, 1.9, 0.5)):
        shape = []
        for reach, way in ((inner, range(49)), (outer, range(48, -1, -1))):
            for step in way:
                turn = turns[0] + (turns[1] - turns[0]) * step / 48
                dx, dy = math.cos(turn) * radius * reach, math.sin(turn) * radius * reach * 0.24
                shape.append((centre[0] + dx * cos - dy * sin, centre[1] + dx * sin + dy * cos))
        easel.fill([shape], [_mix(easel.palette.sky[-1], easel.palette.light, 0.5)], share)


def _paper(easel: _Easel) -> None:
    dice, palette = easel.dice, easel.palette
    _sky(easel, easel.height * 0.9, sun=(0.5 + dice.uniform(-0.06, 0.06), 0.5), cloudy=0.0, radius=0.16)
    for near in (0.12, 0.3, 0.5, 0.72):
        crest = _swell(dice, easel.width, easel.height * (0.5 + near * 0.4), easel.span * 0.055, 1.4)
        easel.ground(crest, [_mix(palette.at(near), palette.light, 0.2), palette.at(near + 0.12)])
    _birds(easel, count=5)
    for layer in range(4):
        share = layer / 3
        colour = _mix(_mix(palette.sky[2], palette.sky[0], share * 0.8), palette.ground, 0.05 + 0.4 * share)
        _lay_sheet(easel, _opening(easel, 0.34 + 0.085 * layer), colour)


def _opening(easel: _Easel, reach: float) -> list[Point]:
    dice = easel.dice
    starts = [(count, dice.uniform(0, math.tau), dice.uniform(0.03, 0.085)) for count in (2, 3, 5)]
    points = []
    for step in range(120):
        turn = step / 120 * math.tau
        wave = 1 + sum(share * math.sin(count * turn + start) for count, start, share in starts)
        points.append(
            (easel.width * (0.5 + math.cos(turn) * reach * wave), easel.height * (0.48 + math.sin(turn) * reach * wave))
        )
    return points


def _lay_sheet(easel: _Easel, opening: Outline, colour: Colour) -> None:
    # A sheet of paper with a hole, and its soft shadow on what lies below.
    box = (0, 0, easel.width, easel.height)
    sheet = ImageChops.invert(_stencil([opening], box))
    small = sheet.resize((max(2, easel.width // 8), max(2, easel.height // 8)), Image.Resampling.BOX)
    shadow = small.filter(ImageFilter.GaussianBlur(easel.unit * 2.6)).point([v * 5 // 9 for v in range(256)])
    easel.image.paste(
        _mix(easel.palette.ground, (0, 0, 0), 0.3), box, shadow.resize(sheet.size, Image.Resampling.BILINEAR)
    )
    easel.image.paste(_gradient(sheet.size, [_mix(colour, easel.palette.light, 0.14), colour]), box, sheet)


_SCENES: Final[dict[str, Callable[[_Easel], None]]] = {
    "aurora": _aurora,
    "city": _city,
    "desert": _desert,
    "forest": _forest,
    "meadow": _meadow,
    "mountains": _mountains,
    "paper": _paper,
    "peaks": _peaks,
    "sea": _sea,
    "space": _space,
}


# Motifs. They are one unit high (100 below) and stand on y = 0; each line has a tone, a form and points "x,y".


_DRAWINGS: Final = """
lighthouse
    ink   box   4,0 34,13
    ink   poly  0,13 19,25 38,13
    glow  box   22,4 27,9
    pale  twin  -10.5,0 -6.6,72
    warm  twin  -9.8,13 -9,28
    warm  twin  -8.3,42 -7.5,56
    ink   box   -10,72 10,74.5
    glow  box   -5,74.5 5,85
    ink   box   -0.8,74.5 0.8,85
    ink   twin  -8,85 -1.2,94 -0.8,100
boat
    pale  soft  2,20 2,98 3,100 24,62 40,20
    warm  poly  -3,22 -3,90 -34,24
    ink   box   -0.8,10 0.8,100
    ink   poly  -46,17 48,19 33,0 -33,0
balloon
    warm  bulb  -7,20 -36,55 -36,90 -12,102
    pale  bulb  -5,20 -22,55 -22,90 -5,102
    warm  bulb  -2,20 -9,55 -9,90 -1,103
    ink   poly  -7,24 -6.4,24 -5,10 -5.6,10
    ink   poly  7,24 6.4,24 5,10 5.6,10
    ink   twin  -6,11 -4.8,0
cat
    ink   soft  10,0 34,-2 52,4 56,20 46,34 42,30 48,20 44,10 30,7 10,10
    ink   bulb  -20,-2 -31,6 -27,32 -13,56 -10,68
    ink   oval  0,74 16.5,14
    ink   poly  -16.3,74 -15,99 -2,85
    ink   poly  16.3,74 15,99 2,85
robot
    ink   box   -15,3 -5,32
    ink   box   5,3 15,32
    ink   soft  -22,0 -3,0 -3,8 -22,8
    ink   soft  22,0 3,0 3,8 22,8
    ink   soft  -33,30 -22,30 -22,46 -20,62 -33,62
    ink   soft  33,30 22,30 22,46 20,62 33,62
    ink   soft  -20,27 20,27 20,45 23,63 -23,63 -20,45
    ink   box   -5,60 5,70
    ink   bulb  0,66 -20,66 -20,80 -20,91 0,91
    ink   box   -1,88 1,98
    glow  oval  0,98 2.5,2.5
    glow  oval  -8.5,79 4,4
    glow  oval  8.5,79 4,4
    glow  soft  -7,44 7,44 7,54 -7,54
cabin
    ink   box   20,50 32,98
    ink   box   -50,0 50,50
    pale  poly  -66,44 -42,92 42,92 66,44
    glow  box   -34,16 -12,36
    glow  box   22,16 40,36
    warm  box   -2,0 14,34
    ink   box   -24,16 -22,36
castle
    ink   box   -40,0 40,34
    ink   box   -33,33 -27,39
    ink   box   -14,33 -8,39
    ink   box   15,33 21,39
    ink   box   27,33 33,39
    ink   box   -50,0 -34,52
    ink   box   34,0 50,46
    ink   box   -12,0 12,68
    ink   box   -25,0 -15,58
    warm  poly  -53,51 -42,75 -31,51
    warm  poly  31,45 42,67 53,45
    warm  poly  -15,67 0,100 15,67
    warm  poly  -27,57 -20,77 -13,57
    glow  soft  -44,36 -40,36 -40,43 -44,43
    glow  soft  40,32 44,32 44,39 40,39
    glow  soft  -2,50 2,50 2,57 -2,57
    glow  soft  -7,30 -3,30 -3,37 -7,37
    glow  soft  3,30 7,30 7,37 3,37
    glow  soft  -7,-5 7,-5 7,18 -7,18
tree
    ink   soft  -13,-3 -5,6 -3.5,28 -24,50 -22,54 -3,40 -4,60 3,60 3,40 22,56 24,52 4.5,28 5,6 13,-3
    rim   crown -40,56,10 -27,60,13 -31,70,12 -16,68,14 -18,80,14 -5,62,12 0,76,17 -4,88,13
    rim   crown 10,86,13 14,66,14 21,77,13 30,64,12 40,60,9 34,72,9
    ink   crown -40,56,10 -27,60,13 -31,70,12 -16,68,14 -18,80,14 -5,62,12 0,76,17 -4,88,13
    ink   crown 10,86,13 14,66,14 21,77,13 30,64,12 40,60,9 34,72,9
rocket
    glow  soft  -6,26 6,26 5,10 0,-12 -5,10
    warm  poly  -10,50 -24,22 -8,30
    warm  poly  10,50 24,22 8,30
    pale  bulb  -9,26 -15,52 -10,85 0,104
    ink   oval  0,68 6,6
    glow  oval  0,68 4.2,4.2
person
    ink   oval  0,89 6.2,7.5
    ink   bulb  -3,85 -12,79 -16,50 -20,20 -10,20
    ink   box   -9,0 -2,25
    ink   box   2,0 9,25
    warm  soft  -7,84 7,84 9,78 26,72 24,68 2,75 -8,78
"""
_HEIGHTS: Final = {
    "lighthouse": 0.46,
    "cat": 0.4,
    "robot": 0.42,
    "castle": 0.36,
    "tree": 0.4,
    "person": 0.3,
    "cabin": 0.15,
}  # of what stands on a knoll, in shares of the span


def _outlines(tone: str, form: str, numbers: Sequence[tuple[float, ...]]) -> list[Outline]:
    if form == "crown":
        lift = 2.4 if tone == "rim" else 0.0  # the rim is what the ink does not cover
        return [_oval(x + lift / 2, y + lift, radius, radius * 0.82) for x, y, radius in numbers]
    points = [(x, y) for x, y in numbers]
    match form:
        case "box":
            (left, low), (right, high) = points
            return [_box(left, low, right, high)]
        case "oval":
            return [_oval(*points[0], *points[1])]
        case "twin":
            return [_mirrored(points)]
        case "bulb":
            return [_rounded(_mirrored(points))]
        case "soft":
            return [_rounded(points)]
        case _:
            return [points]


def _mirrored(half: Outline) -> list[Point]:
    return [*half, *[(-x, y) for x, y in half[::-1]]]


@functools.cache
def _motif(name: str) -> tuple[tuple[str, list[Outline]], ...]:
    # Each line's tone and outlines, one unit high.
    parts: list[tuple[str, list[Outline]]] = []
    lines = _DRAWINGS.partition(f"\n{name}\n")[2].splitlines()
    for line in itertools.takewhile(lambda line: line.startswith(" "), lines):
        tone, form, *pairs = line.split()
        outlines = _outlines(tone, form, [tuple(map(float, pair.split(","))) for pair in pairs])
        parts.append((tone, [[(x / 100, y / 100) for x, y in outline] for outline in outlines]))
    return tuple(parts)


def _place(easel: _Easel, motif: str) -> None:
    """
    Put *motif* where such a thing belongs: in the air, on the water, or on a knoll in front.
    """
    dice = easel.dice
    side = (0.68 if easel.sun[0] < easel.width / 2 else 0.32) + dice.uniform(-0.07, 0.07)  # not before the sun
    match motif:
        case "birds":
            _birds(easel, count=13)
        case "balloon":
            for share, high, size in ((side, 0.34, 0.34), (1 - side, 0.24, 0.15), (side * 0.5 + 0.36, 0.16, 0.09)):
                _put(easel, motif, (easel.width * share, easel.height * (high + size * 0.5)), easel.span * size)
        case "rocket":
            _put(easel, motif, (easel.width * side, easel.height * 0.58), easel.span * 0.34)
        case "boat":
            foot = (
                easel.width * (1 - easel.sun[0] / easel.width) * 0.5 + easel.width * side * 0.5,
                easel.height * 0.76,
            )
            _reflect(easel, foot, easel.span * 0.3)
            _put(easel, motif, foot, easel.span * 0.3)
        case _:
            _put(easel, motif, _knoll(easel, easel.width * side), easel.span * _HEIGHTS[motif])


def _knoll(easel: _Easel, x: float) -> Point:
    # A dark rise at the bottom, highest at x; what stands on it stands a little in it.
    dice = easel.dice
    foot, top = easel.height * 0.97, easel.height * dice.uniform(0.78, 0.84)
    wide = easel.width * dice.uniform(0.24, 0.34)
    rough = _ridge(dice, easel.width, 0, easel.unit * 3, 0.6)
    crest = [(px, foot - (foot - top) * math.exp(-(((px - x) / wide) ** 2)) + py) for px, py in rough]
    easel.ground(crest, [easel.palette.at(0.93), easel.palette.ground])
    return x, _height_at(crest, x) + easel.unit * 5


def _reflect(easel: _Easel, foot: Point, height: float) -> None:
    dice, unit = easel.dice, easel.unit
    glints = []
    for _ in range(26):
        down = dice.random()
        glints.append(
            _lens(
                foot[0] + dice.gauss(0, 0.1) * height,
                foot[1] + down * height * 0.55,
                height * 0.26 * (1 - down * 0.6),
                unit * 1.6,
            )
        )
    easel.fill(glints, [easel.palette.ground], 0.4)


def _put(easel: _Easel, motif: str, foot: Point, height: float) -> None:
    palette = easel.palette
    warm = _mix(_mix((214, 74, 62), palette.haze, 0.15), palette.ground, 0.3)
    tones = {
        "ink": palette.ground,
        "rim": palette.at(0.8),
        "pale": _mix(palette.light, palette.ground, 0.22 if not palette.is_night else 0.45),
        "warm": warm,
        "glow": (255, 224, 138),
    }
    for tone, outlines in _motif(motif):
        shapes = [[(foot[0] + x * height, foot[1] - y * height) for x, y in outline] for outline in outlines]
        easel.fill(shapes, [tones[tone]])
    if motif == "lighthouse":
        _beam(easel, (foot[0], foot[1] - 0.8 * height), height)


def _beam(easel: _Easel, lamp: Point, height: float) -> None:
    (x, y), reach = lamp, height * 2.2
    rays = [[(x, y), (x + side * reach, y - reach * 0.2), (x + side * reach, y + reach * 0.02)] for side in (-1, 1)]
    easel.shine(lamp, reach, rays, 0.6)
    easel.glow(lamp, height * 0.35, (255, 236, 176), 0.9)


# The whole picture


def _paint(prompt: str, index: int, seed: int, model_name: str, size: tuple[int, int]) -> Image.Image:
    hints, theme = _read_hints(prompt), _dice(prompt)
    scene = _choose_scene(hints, theme)
    choice = hints.palettes or tuple(_SCENE_PALETTES[scene].split())
    palette = _PALETTES[choice[(theme.randrange(len(choice)) + index + seed) % len(choice)]]
    dice = _dice(prompt, index, seed, model_name)
    easel = _Easel(size, _varied(palette, dice), dice)
    _SCENES[scene](easel)
    for motif in hints.motifs[:2]:
        _place(easel, motif)
    return easel.image


def _choose_scene(hints: _Hints, theme: random.Random) -> str:
    if not hints.motifs:
        return hints.scene or theme.choice(sorted(_SCENES))
    fitting = _MOTIF_SCENES[hints.motifs[0]].split()
    if "boat" in hints.motifs and hints.scene not in fitting:
        return "sea"  # the other scenes may be dry
    return hints.scene if hints.scene and hints.scene != "paper" else theme.choice(fitting)


def _varied(palette: _Palette, dice: random.Random) -> _Palette:
    # The same slight cast on all colours keeps them in harmony.
    cast = tuple(dice.randrange(256) for _ in range(3))
    share = dice.uniform(0.02, 0.09)

    def tinted(colour: Colour) -> Colour:
        return _mix(colour, (cast[0], cast[1], cast[2]), share)

    return palette._replace(
        sky=tuple(map(tinted, palette.sky)), ground=_mix(palette.ground, tinted(palette.ground), 0.5)
    )


# References


def _open_reference(content: bytes, size: tuple[int, int]) -> Image.Image:
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as file:
            file.draft("RGB", (size[0] * 2, size[1] * 2))
            return ImageOps.fit(_in_rgb(ImageOps.exif_transpose(file)), size, Image.Resampling.BICUBIC)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"the reference is no jpg or png that can be read: {error}") from error


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits, of which the upper 8 are wanted
        return image.convert("I").point(lambda level: level / 256).convert("L").convert("RGB")
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _shape(image: Image.Image, reference: Image.Image, fidelity: float) -> Image.Image:
    tinted = _tinted(image, reference)
    if fidelity in {0.0, 1.0}:
        return reference.copy() if fidelity else tinted
    # The reference is clearest in the middle, so that a half-true picture is a scene with its subject in it.
    middle = _radiance(255, 0.8).resize(image.size, Image.Resampling.BICUBIC)
    bend = (1 - fidelity) * fidelity
    mask = middle.point(
        [round(255 * min(1.0, max(0.0, fidelity + bend * (level / 128 - 0.9)))) for level in range(256)]
    )
    return Image.composite(reference, tinted, mask)


def _tinted(image: Image.Image, reference: Image.Image) -> Image.Image:
    # Reinhard's colour transfer, by one table for each channel of YCbCr: lightness partly, hue wholly.
    scene = image.convert("YCbCr")
    here = ImageStat.Stat(scene.reduce(8) if min(scene.size) >= 8 else scene)
    there = ImageStat.Stat(
        reference.reduce(8).convert("YCbCr") if min(reference.size) >= 8 else reference.convert("YCbCr")
    )
    tables: list[int] = []
    for channel, share in enumerate((0.5, 1.0, 1.0)):
        stretch = min(1.8, max(0.4, (there.stddev[channel] + 2) / (here.stddev[channel] + 2)))
        for level in range(256):
            moved = (level - here.mean[channel]) * stretch + there.mean[channel]
            tables.append(round(min(255.0, max(0.0, level + (moved - level) * share))))
    return scene.point(tables).convert("RGB")


# Captions and files


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


@functools.lru_cache(maxsize=4096)
def _can_write(character: str) -> bool:
    font = _font(20)
    return character.isprintable() and bytes(font.getmask(character)) != bytes(font.getmask("\uffff"))


def _caption(image: Image.Image, prompt: str, facts: str, *, is_frosted: bool) -> None:
    large = round(math.sqrt(image.width * image.height) / 46)
    if large < 7:
        return  # nobody could read it
    small, margin = max(6, round(large * 0.62)), round(large * 1.1)
    room = image.width - 2 * margin
    lines = _wrapped(prompt, _font(large), room)
    strip = round(margin * 2.2 + small * 1.5 + large * 1.25 * len(lines))
    box = 0, max(0, image.height - strip), image.width, image.height
    size = image.width, box[3] - box[1]
    slope = Image.linear_gradient("L")
    if is_frosted:  # a reference may have a caption of its own
        blurred = image.crop(box).filter(ImageFilter.BoxBlur(large))
        image.paste(blurred, box, slope.point([min(255, v * 4) for v in range(256)]).resize(size))
    image.paste((8, 8, 18), box, slope.point([round(170 * (v / 255) ** 1.4) for v in range(256)]).resize(size))
    pen = ImageDraw.Draw(image, "RGBA")
    y = image.height - margin - small
    pen.text((margin, y), _writable(facts)[:120], font=_font(small), fill=(255, 255, 255, 150))
    for line in reversed(lines):
        y -= round(large * 1.25)
        pen.text((margin, y - large * 0.1), line, font=_font(large), fill=(255, 255, 255, 232))


def _writable(text: str) -> str:
    # What the font lacks becomes an ellipsis, and many of them one.
    shown = "".join(
        character if _can_write(character) else "\N{HORIZONTAL ELLIPSIS}" for character in " ".join(text.split())
    )
    return re.sub(r"\u2026[\u2026 ]*\u2026", "\N{HORIZONTAL ELLIPSIS}", shown)


def _wrapped(prompt: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float) -> list[str]:
    shown = _writable(prompt[:300])
    words = shown.split() if any(map(str.isalnum, shown)) else []
    lines = [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= room:
            lines[-1] = longer
        elif len(lines) == 2 or not lines[-1]:
            lines[-1] = _shortened(longer, font, room)
            return lines
        else:
            lines.append(word)
    lines[-1] = _shortened(lines[-1], font, room)
    return [line for line in lines if line]


def _shortened(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float) -> str:
    if font.getlength(line) <= room:
        return line
    while line and font.getlength(f"{line}\N{HORIZONTAL ELLIPSIS}") > room:
        line = line[:-1]
    return f"{line.rstrip()}\N{HORIZONTAL ELLIPSIS}"


def _encode(image: Image.Image, prompt: str, facts: str) -> bytes:
    about = PngImagePlugin.PngInfo()
    about.add_itxt("Description", prompt.encode("utf-8", "replace").decode())
    about.add_itxt("Comment", facts.encode("utf-8", "replace").decode())
    about.add_text("Software", "kling_async emulator")
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=4, pnginfo=about)
    return file.getvalue()
