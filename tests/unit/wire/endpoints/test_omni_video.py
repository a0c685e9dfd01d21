"""
The rules and prices of omni videos.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from kling_async import GATEWAY, OFFICIAL, Frame, InputVideo, OmniVideo, Shot, Video
from kling_async.wire import FileFacts, TaskRequest, broken_rules, read_request, write_request
from kling_async.wire.endpoints.omni_video import OMNI_VIDEO
from tests.fakes.valid_requests.omni_video import REQUESTS

NEW = attrs.evolve(OFFICIAL, standard="new")

URL = "https://pictures.example/cat.png"
WALK = "https://videos.example/walk.mp4"
FIRST, LAST = Frame(URL, type="first_frame"), Frame(URL, type="end_frame")
BASE, FEATURE = InputVideo(WALK), InputVideo(WALK, "feature")
O1 = "kling-video-o1"
SHOTS = [Shot("a quay", 2), Shot("the sea", 3)]


def asking(**fields: Any) -> OmniVideo:
    """
    Make a request with *fields*, of whatever type.
    """
    return OmniVideo(**{"prompt": "a boat", "aspect_ratio": "16:9", **fields})


def fields_of(request: TaskRequest, **files: FileFacts) -> list[str]:
    """
    Name the fields that break a rule at OFFICIAL.
    """
    return [rule.field for rule in broken_rules(OFFICIAL, request, files)]


def rule_of(**fields: Any) -> str:
    """
    Return the one rule that a request breaks.
    """
    (broken,) = broken_rules(OFFICIAL, asking(**fields))
    return str(broken)


def test_body_has_the_forms_of_the_wire() -> None:
    """
    Images, elements and videos are objects in lists; the model and the mode are sent.
    """
    request = OMNI_VIDEO.complete(
        asking(
            image_list=[FIRST, URL],
            element_list=[829836802793406551],
            video_list=[InputVideo(WALK, "feature", keep_original_sound=True)],
            sound=False,
        ),
        OFFICIAL,
    )
    body = write_request(request)

    assert {
        "prompt": "a boat",
        "image_list": [{"image_url": URL, "type": "first_frame"}, {"image_url": URL}],
        "element_list": [{"element_id": 829836802793406551}],
        "video_list": [{"video_url": WALK, "refer_type": "feature", "keep_original_sound": "yes"}],
        "duration": "5",
        "aspect_ratio": "16:9",
        "mode": "pro",
        "sound": "off",
        "model_name": "kling-v3-omni",
    } == body
    assert request == read_request(body, OmniVideo)


def test_plain_sources() -> None:
    """
    Images without a type are references, videos without one are edited; the URL of a result is taken.
    """
    made = Video(0, WALK, id="7", duration=5.0)
    request = OmniVideo("a boat", image_list=[Path("a.png"), URL], video_list=[made])

    assert (Frame(Path("a.png")), Frame(URL)) == request.image_list
    assert (InputVideo(WALK, "base"),) == request.video_list == OmniVideo("", video_list=[WALK]).video_list
    assert ["image_list[0].image", "image_list[1].image"] == [
        place for each in OMNI_VIDEO.inputs for place, _ in each.sources(request)
    ]


def test_duration_of_an_edited_video_is_left_to_it() -> None:
    """
    Only a length that the caller knows is sent.
    """
    assert "duration" not in write_request(OMNI_VIDEO.complete(asking(video_list=[WALK]), OFFICIAL))
    assert "10" == write_request(OMNI_VIDEO.complete(asking(video_list=[WALK], duration=10), OFFICIAL))["duration"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"model_name": O1, "duration": 3},
        {"mode": "4k", "sound": True, "duration": 15},
        {"image_list": [FIRST], "aspect_ratio": None},
        {"image_list": [FIRST, LAST], "element_list": [1, 2, 3]},
        {"image_list": [FIRST, LAST], "model_name": O1},
        {"image_list": [FIRST], "model_name": O1, "element_list": [1, 2, 3, 4]},
        {"image_list": [URL] * 7},
        {"image_list": [URL] * 3, "element_list": [1, 2, 3, 4]},
        {"video_list": [BASE], "aspect_ratio": None},
        {"video_list": [FEATURE], "image_list": [FIRST, URL], "element_list": [1, 2]},
        {"video_list": [FEATURE], "mode": "4k"},
        {"video_list": [InputVideo(WALK, "feature", keep_original_sound=True)], "sound": False},
        {"video_list": [FEATURE], "multi_shot": True, "shot_type": "intelligence"},
        {"prompt": None, "multi_shot": True, "shot_type": "customize", "multi_prompt": SHOTS},
        {"image_list": [FIRST], "multi_shot": True, "shot_type": "intelligence"},
        {"model_name": "kling-v9-omni", "image_list": [URL] * 20, "duration": 60},
    ],
)
def test_what_is_accepted(fields: dict[str, Any]) -> None:
    """
    By the vendor's page, its capability map and its change log; of a model that is not known little is asked.
    """
    assert [] == fields_of(asking(**fields))


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({"prompt": None}, ["prompt"]),
        ({"prompt": None, "multi_shot": True, "shot_type": "intelligence"}, ["prompt"]),
        ({"prompt": None, "shot_type": "customize"}, ["prompt", "shot_type"]),
        ({"model_name": "kling-v3"}, ["model_name"]),
        ({"model_name": "kling-v1-6"}, ["model_name"]),
        ({"aspect_ratio": None}, ["aspect_ratio"]),
        ({"aspect_ratio": None, "image_list": [URL]}, ["aspect_ratio"]),
        ({"aspect_ratio": None, "video_list": [FEATURE]}, ["aspect_ratio"]),
        ({"aspect_ratio": "4:3"}, ["aspect_ratio"]),
        ({"duration": 16}, ["duration"]),
        ({"duration": 2}, ["duration"]),
        ({"duration": 4.5}, ["duration"]),
        ({"duration": 11, "model_name": O1}, ["duration"]),
        ({"mode": "4k", "model_name": O1}, ["mode"]),
        ({"sound": True, "model_name": O1}, ["sound"]),
        ({"sound": True, "video_list": [FEATURE]}, ["sound"]),
        ({"image_list": URL}, ["image_list"]),
        ({"image_list": [None]}, ["image_list[0].image"]),
        ({"image_list": [Frame(URL, "middle_frame")]}, ["image_list[0].type"]),
        ({"image_list": [FIRST, FIRST]}, ["image_list"]),
        ({"image_list": [LAST]}, ["image_list"]),
        ({"image_list": [URL] * 8}, ["image_list"]),
        ({"image_list": [URL] * 3, "element_list": [1, 2], "video_list": [FEATURE]}, ["image_list"]),
        ({"image_list": [FIRST, URL, URL], "model_name": O1}, ["image_list"]),
        ({"image_list": [FIRST, LAST], "element_list": [1], "model_name": O1}, ["element_list"]),
        ({"image_list": [FIRST], "element_list": [1, 2, 3, 4]}, ["element_list"]),
        ({"element_list": ["x"]}, ["element_list"]),
        ({"video_list": WALK}, ["video_list"]),
        ({"video_list": [FEATURE, FEATURE]}, ["video_list"]),
        ({"video_list": [InputVideo(WALK, "style")]}, ["video_list[0].refer_type"]),
        ({"video_list": [InputVideo(WALK, "feature", "yes")]}, ["video_list[0].keep_original_sound"]),  # type: ignore[arg-type]
        ({"video_list": [BASE], "image_list": [FIRST]}, ["image_list"]),
        ({"video_list": [BASE], "multi_shot": True, "shot_type": "intelligence"}, ["multi_shot"]),
        ({"multi_shot": True, "shot_type": "intelligence", "model_name": O1}, ["multi_shot"]),
        ({"multi_shot": True, "shot_type": "customize", "multi_prompt": SHOTS, "duration": 6}, ["multi_prompt"]),
        ({"watermark_info": 1}, ["watermark_info"]),
        ({"callback_url": "nowhere"}, ["callback_url"]),
    ],
)
def test_what_is_refused(fields: dict[str, Any], broken: list[str]) -> None:
    """
    Each broken rule is named by its field, all of them at once.
    """
    assert broken == fields_of(asking(**fields))


def test_words_of_refusals() -> None:
    """
    They say what to do.
    """
    unless = "is required unless there is a first frame or a video that is edited"
    assert f"aspect_ratio=None: {unless}: must be one of 16:9, 9:16, 1:1" == rule_of(aspect_ratio=None)
    assert "image_list=5 images and 0 elements: must be at most 4 together with a video" == rule_of(
        image_list=[URL] * 5, video_list=[FEATURE]
    )
    assert "keep_original_sound=True" in rule_of(sound=True, video_list=[FEATURE])
    assert "retired" in rule_of(model_name="kling-v1-6")


@pytest.mark.parametrize("video", [Path("walk.mp4"), b"....ftyp", "walk.mp4"])
def test_a_local_video_is_refused(video: Any) -> None:
    """
    Videos are not uploaded: the refusal says where to put one.
    """
    rule = rule_of(video_list=[video])

    assert rule.startswith("video_list[0].video_url=")
    assert "must be an http(s) URL that the service can fetch: put a local file on a web server" in rule


def test_images_are_checked_by_their_places() -> None:
    """
    Each image has the rules of all images.
    """
    request = asking(image_list=[Frame(b"1", "first_frame"), b"2"])
    files = {"image_list[0].image": FileFacts(1, "png", 400, 300), "image_list[1].image": FileFacts(1, "jpg", 20, 300)}

    assert ["image_list[1].image", "image_list[1].image"] == fields_of(request, **files)


@pytest.mark.parametrize(
    ("fields", "units"),
    [
        ({}, "4.0"),
        ({"mode": "std", "duration": 3}, "1.8"),
        ({"mode": "std", "sound": True}, "4.0"),
        ({"mode": "4k", "duration": 15}, "45.0"),
        ({"model_name": O1, "duration": 10}, "8.0"),
        ({"mode": "std", "video_list": [FEATURE]}, "4.5"),
        ({"mode": "std", "video_list": [InputVideo(WALK, "feature", keep_original_sound=True)]}, "4.5"),
        ({"video_list": [BASE], "duration": 10}, "12.0"),
        ({"model_name": O1, "video_list": [BASE], "duration": 4}, "4.8"),
    ],
)
def test_prices(fields: dict[str, Any], units: str) -> None:
    """
    A second costs by model, mode, sound and whether there is a video; without a mode it is that of pro.
    """
    assert Decimal(units) == OMNI_VIDEO.units(asking(**fields), OFFICIAL)


def test_price_of_an_edited_video() -> None:
    """
    It is known if the caller knows the length, and is at most that of the longest video.
    """
    edit = asking(video_list=[BASE])

    assert OMNI_VIDEO.units(edit, OFFICIAL) is None
    assert Decimal("18.0") == OMNI_VIDEO.units_at_most(edit, OFFICIAL)
    assert Decimal("12.0") == OMNI_VIDEO.units_at_most(asking(video_list=[BASE], model_name=O1), OFFICIAL)
    assert OMNI_VIDEO.units_at_most(asking(model_name="kling-v9-omni"), OFFICIAL) is None
    assert OMNI_VIDEO.units(asking(model_name="kling-v9-omni"), OFFICIAL) is None


def test_bucket_and_caption() -> None:
    """
    Videos of a model have slots of their own, apart from its images.
    """
    assert "video/kling-v3-omni" == OMNI_VIDEO.bucket(asking(), OFFICIAL) == OMNI_VIDEO.bucket(asking(), GATEWAY)
    assert "video/kling-video-o1" == OMNI_VIDEO.bucket(asking(model_name=O1), OFFICIAL)
    assert "a quay / the sea" == OMNI_VIDEO.caption(asking(prompt=None, multi_prompt=SHOTS))
    assert OMNI_VIDEO.duration_key(asking()) != OMNI_VIDEO.duration_key(asking(video_list=[FEATURE]))


@pytest.mark.parametrize(
    "body",
    [
        {"video_list": [{"video_url": WALK, "keep_original_sound": "maybe"}]},
        {"video_list": [{"video_url": 7}]},
        {"video_list": {"video_url": WALK}},
        {"image_list": ["x"]},
        {"image_list": [{"image_url": URL, "type": 1}]},
    ],
)
def test_a_service_refuses_other_shapes(body: dict[str, Any]) -> None:
    """
    The lists hold objects with text.
    """
    with pytest.raises(ValueError, match=next(iter(body))):
        read_request({"prompt": "a", **body}, OmniVideo)


def test_nulls_and_empty_text_are_no_values() -> None:
    """
    Clients send them; a video without a type is edited.
    """
    body = {
        "prompt": "a",
        "image_list": [{"image_url": URL, "type": ""}],
        "video_list": [{"video_url": WALK, "refer_type": None}],
    }

    assert OmniVideo("a", image_list=[URL], video_list=[WALK]) == read_request(body, OmniVideo)


def new_body(request: OmniVideo) -> dict[str, Any]:
    """
    Return the body in the new standard.
    """
    twin = OMNI_VIDEO.spoken(request := OMNI_VIDEO.complete(request, NEW), NEW)
    assert twin.to_body is not None
    return twin.to_body(write_request(request))


def test_new_standard() -> None:
    """
    All inputs are items of one list; one setting says what becomes of a video's sound.
    """
    request = asking(
        image_list=[FIRST, LAST, URL],
        video_list=[InputVideo(WALK, "feature", keep_original_sound=True)],
        element_list=[17],
        mode="std",
    )

    assert {
        "contents": [
            {"type": "prompt", "text": "a boat"},
            {"type": "first_frame", "url": URL},
            {"type": "last_frame", "url": URL},
            {"type": "refer_image", "url": URL},
            {"type": "feature_video", "url": WALK},
            {"type": "element", "element_id": 17, "id": "element_1"},
        ],
        "settings": {
            "resolution": "720p",
            "duration": 5,
            "aspect_ratio": "16:9",
            "multi_shot": False,
            "audio": "original",
        },
    } == new_body(request)
    assert "/omni-video/kling-3.0-omni" == OMNI_VIDEO.spoken(OMNI_VIDEO.complete(request, NEW), NEW).path


def test_several_shots_exclude_a_video_in_the_new_standard() -> None:
    """
    The legacy page has an example with both, the new one refuses it.
    """
    request = asking(video_list=[FEATURE], multi_shot=True, shot_type="intelligence")

    assert ["multi_shot"] == [rule.field for rule in broken_rules(NEW, request)]


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({}, ["duration"]),
        ({"image_list": [FIRST]}, ["duration"]),
        ({"image_list": [URL]}, []),
        ({"video_list": [FEATURE]}, []),
        ({"duration": 10}, []),
    ],
)
def test_short_videos_of_o1_in_the_new_standard(fields: dict[str, Any], broken: list[str]) -> None:
    """
    Without a reference it makes 5 or 10 seconds there; the legacy page allows 3 to 10.
    """
    request = asking(**{"model_name": O1, "duration": 3, **fields})

    assert broken == [rule.field for rule in broken_rules(NEW, request)]
    assert [] == fields_of(request)


@given(REQUESTS)
def test_the_new_standard_is_read_back(request_: OmniVideo) -> None:
    """
    As the service would read it; several shots become lines of the prompt.
    """
    standard = OMNI_VIDEO.new_standard
    assert standard is not None
    of_one_shot: dict[str, Any] = {"multi_shot": None, "shot_type": None, "multi_prompt": (), "image_list": ()}
    plain = attrs.evolve(request_, prompt=request_.prompt or "a boat", **of_one_shot)
    sent = OMNI_VIDEO.complete(plain, NEW)

    read = read_request(standard.from_body(new_body(sent), standard.segment(sent, NEW)), OmniVideo)

    assert sent == attrs.evolve(read, multi_shot=None)


ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=5)
    | st.lists(st.integers() | st.none() | st.text(max_size=3), max_size=3)
    | st.dictionaries(st.text(max_size=2), st.integers(), max_size=1)
    | st.sampled_from(["customize", "kling-video-o1", URL, [FIRST], [BASE], SHOTS])
)


@given(st.fixed_dictionaries({}, optional={field.name: ANYTHING for field in attrs.fields(OmniVideo)}))
def test_any_request_is_judged(fields: dict[str, Any]) -> None:
    """
    Whatever a request holds, it gets rules and no exception, and it can be shown.
    """
    request = asking(**fields)

    assert all(str(rule).encode(errors="replace") for rule in broken_rules(OFFICIAL, request))
    assert repr(request)
