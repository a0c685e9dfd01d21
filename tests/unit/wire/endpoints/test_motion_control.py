"""
The rules, bodies and prices of motion control.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given

from kling_async import OFFICIAL, MotionControl, Video
from kling_async.wire import broken_rules, read_request, write_request
from kling_async.wire.endpoints.motion_control import MOTION_CONTROL
from tests.fakes.valid_requests import motion_control

URL = "https://pictures.example/cat.png"
DANCE = "https://videos.example/dance.mp4"
NEW = attrs.evolve(OFFICIAL, standard="new")


def asking(**fields: Any) -> MotionControl:
    """
    Make a request with *fields*, of whatever type.
    """
    return MotionControl(**{"image_url": URL, "video_url": DANCE, **fields})


def test_body_has_the_forms_of_the_wire() -> None:
    """
    What the service requires is always sent, and the model is named.
    """
    request = MOTION_CONTROL.complete(asking(keep_original_sound=False), OFFICIAL)
    body = write_request(request)

    assert {
        "image_url": URL,
        "video_url": DANCE,
        "character_orientation": "image",
        "mode": "std",
        "keep_original_sound": "no",
        "model_name": "kling-v2-6",
    } == body
    assert request == read_request(body, MotionControl)


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({"image_url": None, "video_url": None}, ["image_url", "video_url"]),
        ({"video_url": Path("dance.mp4")}, ["video_url"]),
        ({"video_url": b"..."}, ["video_url"]),
        ({"character_orientation": "left", "mode": "4k"}, ["character_orientation", "mode"]),
        ({"element_list": [1]}, ["element_list"]),
        ({"element_list": ["x"], "character_orientation": "video"}, ["element_list"]),
        ({"element_list": [1, 2], "character_orientation": "video"}, ["element_list"]),
        ({"model_name": "kling-v2-5-turbo"}, ["model_name"]),
        ({"model_name": "kling-v1-6"}, ["model_name"]),
        ({"keep_original_sound": "yes"}, ["keep_original_sound"]),
    ],
)
def test_what_is_refused(fields: dict[str, Any], broken: list[str]) -> None:
    """
    Each broken rule is named by its field, all of them at once.
    """
    assert broken == [rule.field for rule in broken_rules(OFFICIAL, asking(**fields))]


def test_a_local_video_is_refused_with_advice() -> None:
    """
    The service takes videos by URL only.
    """
    (rule,) = broken_rules(OFFICIAL, asking(video_url=Path("dance.mp4")))

    assert "Path('dance.mp4')" in str(rule)
    assert "put a local file on a web server or storage" in rule.rule


def test_a_video_of_a_result_is_named_by_its_url() -> None:
    """
    The endpoint takes no ids of videos.
    """
    assert asking(video_url=Video(0, DANCE, id="828338674655576157")) == asking()


def test_the_most_that_it_can_cost() -> None:
    """
    Only the service sees how long the video is.
    """
    assert MOTION_CONTROL.units(asking(), OFFICIAL) is None
    assert Decimal("5.0") == MOTION_CONTROL.units_at_most(asking(), OFFICIAL)
    longest = asking(character_orientation="video", mode="pro", model_name="kling-v3")
    assert Decimal("36.0") == MOTION_CONTROL.units_at_most(longest, OFFICIAL)
    assert MOTION_CONTROL.units_at_most(asking(model_name="kling-v9"), OFFICIAL) is None


@given(request=motion_control.REQUESTS)
def test_the_new_standard_reads_back(request: MotionControl) -> None:
    """
    Nothing is lost on the way.
    """
    complete = attrs.evolve(MOTION_CONTROL.complete(request, NEW), image_url=URL)
    spoken = MOTION_CONTROL.spoken(complete, NEW)
    assert spoken.to_body is not None
    assert MOTION_CONTROL.new_standard is not None
    body = spoken.to_body(write_request(complete))
    fields = MOTION_CONTROL.new_standard.from_body(body, spoken.path.rpartition("/")[2])

    assert spoken.path in ("/motion-control/kling-2.6", "/motion-control/kling-3.0")
    assert complete == read_request(fields, MotionControl)
