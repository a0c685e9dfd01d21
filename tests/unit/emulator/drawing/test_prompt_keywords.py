import random

import pytest

from kling_async.emulator.drawing.palettes import PALETTES
from kling_async.emulator.drawing.prompt_keywords import MOTIFS, SCENE_PALETTES, SCENE_WORDS, choose_scene, read_hints
from kling_async.emulator.drawing.scenes import SCENES


@pytest.mark.parametrize(
    ("prompt", "scene", "motifs"),
    [
        ("A LIGHTHOUSE at dusk", None, ["lighthouse"]),
        ("two cats in the woods", "forest", ["cat"]),
        ("a cathedral, educational", None, []),
        ("雪山和猫", "peaks", ["cat"]),
        ("", None, []),
    ],
)
def test_words_choose_scene_and_motif(prompt: str, scene: str | None, motifs: list[str]) -> None:
    """
    Whole English words in any case and number count, and Chinese ones wherever they stand.
    """
    hints = read_hints(prompt)

    assert (scene, motifs) == (hints.scene, hints.motifs)


def test_boats_are_on_water() -> None:
    """
    A boat in a dry scene, and a motif in an abstract one, get a scene that suits them.
    """
    theme = random.Random(1)

    assert "sea" == choose_scene(read_hints("a boat in the desert"), theme)
    assert "sea" == choose_scene(read_hints("a lighthouse, abstract"), theme)
    assert "city" == choose_scene(read_hints("a boat in the city"), theme)


@pytest.mark.parametrize(
    ("prompt", "palettes"), [("a hill at dusk", ["ember", "lavender", "canyon"]), ("夏", ["azure"]), ("a hill", [])]
)
def test_words_choose_the_light(prompt: str, palettes: list[str]) -> None:
    """
    A word for the hour or the season names the palettes to choose from.
    """
    assert palettes == read_hints(prompt).palettes


def test_open_choice_falls_on_any_scene() -> None:
    """
    Where no word says anything, dice choose among all scenes.
    """
    hints = read_hints("")

    assert set(SCENE_WORDS) == {choose_scene(hints, random.Random(seed)) for seed in range(200)}


def test_tables_name_what_there_is() -> None:
    """
    Every scene has words, palettes and a painter; the palettes and the motifs' scenes exist.
    """
    lit = {name for names in SCENE_PALETTES.values() for name in names.split()}
    meant = {
        name
        for prompt in ("night", "dusk", "dawn", "neon", "autumn", "green", "blue", "pink")
        for name in read_hints(prompt).palettes
    }
    settings = {scene for _, scenes in MOTIFS.values() for scene in scenes.split()}

    assert set(SCENES) == set(SCENE_WORDS) == set(SCENE_PALETTES)
    assert lit | meant == set(PALETTES)
    assert settings <= set(SCENES)
