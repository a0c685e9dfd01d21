"""
What an emulated service is like.
"""

import attrs
import pytest

from kling_async.emulator import Settings, faults
from kling_async.emulator.settings import SettingsByName
from kling_async.wire.dialects import GATEWAY, OFFICIAL


def test_keyword_arguments_are_the_fields() -> None:
    """
    What the emulator takes by name is what the settings hold.
    """
    assert set(SettingsByName.__annotations__) == {field.name for field in attrs.fields(Settings)}


def test_key_is_made_up_from_the_seed() -> None:
    """
    A key that was not given follows from the seed, and the repr keeps it to itself.
    """
    settings = Settings(seed=3)

    assert settings.api_key.startswith("sk-emulator-")
    assert Settings(seed=3).api_key == settings.api_key != Settings(seed=4).api_key
    assert "mine" == Settings(api_key="mine").api_key
    assert settings.api_key not in repr(settings)


def test_paths_follow_the_dialect() -> None:
    """
    A gateway lives under /kling, also one with other limits; the vendor at the root.
    """
    assert "/kling" == Settings(dialect=attrs.evolve(GATEWAY, prompt_max=2500)).prefix
    assert "" == Settings(dialect=OFFICIAL).prefix


def test_lists_are_taken_in() -> None:
    """
    Rules and words may come as any sequence.
    """
    settings = Settings(faults=[faults.stall()], refused_words=["a"])

    assert (faults.stall(),) == settings.faults
    assert ("a",) == settings.refused_words


@pytest.mark.parametrize("latency", [(2.0, 1.0), (-1.0, 1.0)])
def test_latency_must_make_sense(latency: tuple[float, float]) -> None:
    """
    The shortest time is not negative and not above the longest.
    """
    with pytest.raises(ValueError, match="latency must be"):
        Settings(latency=latency)


def test_there_is_a_slot_at_least() -> None:
    """
    An account without slots could do nothing.
    """
    with pytest.raises(ValueError, match="slots must be at least 1"):
        Settings(slots=0)


def test_callback_secret_must_be_one() -> None:
    """
    A secret that cannot sign is refused at once, and a good one is not shown.
    """
    with pytest.raises(ValueError, match="signing secret is Base64"):
        Settings(callback_secret="hunter2!")

    assert "aHVudGVyMg" not in repr(Settings(callback_secret="whsec_aHVudGVyMg=="))


def test_pictures_are_of_a_known_kind() -> None:
    """
    They are drawn by default; a kind that does not exist is refused at once.
    """
    assert "drawn" == Settings().pictures
    with pytest.raises(ValueError, match="'pictures' must be in"):
        Settings(pictures="fancy")  # type: ignore[arg-type]
