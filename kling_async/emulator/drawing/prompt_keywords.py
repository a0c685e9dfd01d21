"""
The words of a prompt that choose the scene, its motifs and its palettes.
"""

import random
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

SCENE_WORDS: Final = {
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
MOTIFS: Final = {
    "lighthouse": ("lighthouse 灯塔", "sea"),
    "boat": ("boat ship sail sailboat yacht sailor fisherman 船", "sea aurora peaks city"),
    "balloon": ("balloon airship 热气球", "mountains meadow desert"),
    "cat": ("cat kitten kitty 猫", "city mountains"),
    "robot": ("robot android mech droid 机器人", "city space desert"),
    "cabin": ("cabin house hut cottage home village 屋 房", "peaks aurora forest"),
    "castle": ("castle palace fortress kingdom 城堡", "mountains forest"),
    "tree": ("tree oak baobab 树", "meadow mountains"),
    "rocket": ("rocket spaceship spacecraft 火箭", "space"),
    "person": (
        "man woman girl boy person wanderer traveler traveller hiker astronaut portrait 人物 女孩",
        "mountains sea aurora meadow",
    ),
    "birds": ("bird birds gull crane swallow 鸟", "sea mountains"),
}  # the words, and the scenes that can show it
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
SCENE_PALETTES: Final = {
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


class Hints(NamedTuple):
    """
    What the words of a prompt choose; None or empty if they choose nothing.
    """

    scene: str | None
    motifs: Sequence[str]
    palettes: Sequence[str]


def read_hints(prompt: str) -> Hints:
    """
    Find whole English words, in any case, singular or plural, and Chinese words anywhere.
    """
    text = prompt[:400].casefold()
    words = {form for word in re.findall(r"[a-z]+", text) for form in (word, word.removesuffix("s"))}

    def is_meant(hint: str) -> bool:
        return hint in (words if hint.isascii() else text)

    def named(table: Mapping[str, str]) -> list[str]:
        return [name for name in table if any(map(is_meant, table[name].split()))]

    scenes, palettes = named(SCENE_WORDS), named(_PALETTE_WORDS)
    motifs = named({motif: words for motif, (words, _) in MOTIFS.items()})
    return Hints(scenes[0] if scenes else None, motifs, palettes[0].split() if palettes else [])


def choose_scene(hints: Hints, theme: random.Random) -> str:
    """
    Return the chosen scene if it can show the first motif, or one that can.
    """
    if not hints.motifs:
        return hints.scene or theme.choice(sorted(SCENE_WORDS))
    fitting = MOTIFS[hints.motifs[0]][1].split()
    if "boat" in hints.motifs and hints.scene not in fitting:
        return "sea"  # the other scenes may have no water
    return hints.scene if hints.scene and hints.scene != "paper" else theme.choice(fitting)
