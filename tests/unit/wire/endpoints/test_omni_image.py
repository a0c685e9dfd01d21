"""
The rules, prices and slots of omni images.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from kling_async import GATEWAY, OFFICIAL, OmniImage
from kling_async.wire import FileFacts, broken_rules, read_request, write_request
from kling_async.wire.endpoints.omni_image import OMNI_IMAGE

URL = "https://pictures.example/cat.png"


def asking(**fields: Any) -> OmniImage:
    """
    Make a request with *fields*, of whatever type.
    """
    return OmniImage(**{"prompt": "a lighthouse", **fields})


def fields_of(request: OmniImage, **files: FileFacts) -> list[str]:
    """
    Name the fields that break a rule at OFFICIAL.
    """
    return [rule.field for rule in broken_rules(OFFICIAL, request, files)]


def test_body_has_the_forms_of_the_wire() -> None:
    """
    Images and elements are objects in lists; the model is sent, since the service's own default is an older one.
    """
    request = OMNI_IMAGE.complete(asking(image_list=[URL, URL], element_list=[829836802793406551]), OFFICIAL)
    body = write_request(request)

    assert {
        "prompt": "a lighthouse",
        "image_list": [{"image": URL}, {"image": URL}],
        "element_list": [{"element_id": 829836802793406551}],
        "n": 1,
        "model_name": "kling-v3-omni",
    } == body
    assert request == read_request(body, OmniImage)


@pytest.mark.parametrize("amount", [2, 9, "auto"])
def test_series_on_the_wire(amount: int | str) -> None:
    """
    The number of a series is a number or a word.
    """
    body = write_request(asking(result_type="series", series_amount=amount))

    assert ("series", amount) == (body["result_type"], body["series_amount"])
    assert amount == read_request(body, OmniImage).series_amount


@pytest.mark.parametrize("amount", ["4", 4.0, True, "many", [4]])
def test_a_service_takes_no_other_amount(amount: Any) -> None:
    """
    Text that is a number is none.
    """
    with pytest.raises(ValueError, match="series_amount"):
        read_request({"prompt": "a", "result_type": "series", "series_amount": amount}, OmniImage)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"n": 9, "resolution": "4k", "aspect_ratio": "21:9", "watermark_info": True},
        {"image_list": [URL] * 10},
        {"image_list": [URL] * 7, "element_list": [1, 2, 3], "aspect_ratio": "auto"},
        {"element_list": [1], "aspect_ratio": "auto"},
        {"result_type": "single", "n": 3},
        {"result_type": "series"},
        {"result_type": "series", "series_amount": "auto"},
        {"model_name": "kling-image-o1", "resolution": "2k", "aspect_ratio": "auto"},
        {"model_name": "kling-v9-omni", "result_type": "series", "resolution": "4k"},
    ],
)
def test_what_is_accepted(fields: dict[str, Any]) -> None:
    """
    By the vendor's page and capability map; of a model that is not known nothing is asked.
    """
    assert [] == fields_of(asking(**fields))


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({"prompt": " "}, ["prompt"]),
        ({"prompt": "x" * 2501}, ["prompt"]),
        ({"prompt": "a\0b"}, ["prompt"]),
        ({"n": 0}, ["n"]),
        ({"n": 10}, ["n"]),
        ({"image_list": [URL] * 11}, ["image_list"]),
        ({"image_list": [URL] * 8, "element_list": [1, 2, 3]}, ["image_list"]),
        ({"image_list": URL}, ["image_list"]),
        ({"image_list": [None]}, ["image_list[0]"]),
        ({"element_list": ["1"]}, ["element_list"]),
        ({"resolution": "8k"}, ["resolution"]),
        ({"resolution": "4k", "model_name": "kling-image-o1"}, ["resolution"]),
        ({"aspect_ratio": "5:4"}, ["aspect_ratio"]),
        ({"aspect_ratio": "auto"}, ["aspect_ratio"]),
        ({"result_type": "both"}, ["result_type"]),
        ({"result_type": "series", "model_name": "kling-image-o1"}, ["result_type"]),
        ({"result_type": "series", "n": 2}, ["n"]),
        ({"result_type": "series", "series_amount": 1}, ["series_amount"]),
        ({"result_type": "series", "series_amount": 10}, ["series_amount"]),
        ({"result_type": "series", "series_amount": "few"}, ["series_amount"]),
        ({"series_amount": 4}, ["series_amount"]),
        ({"model_name": " "}, ["model_name"]),
        ({"model_name": "kling-v3"}, ["model_name"]),
        ({"model_name": "kling-video-o1"}, ["model_name"]),
        ({"watermark_info": "yes"}, ["watermark_info"]),
        ({"callback_url": "nowhere", "external_task_id": ".."}, ["callback_url", "external_task_id"]),
    ],
)
def test_what_is_refused(fields: dict[str, Any], broken: list[str]) -> None:
    """
    Each broken rule is named by its field, all of them at once.
    """
    assert broken == fields_of(asking(**fields))


def test_images_are_named_by_their_places() -> None:
    """
    Each image of the list is read and checked by itself; a repr shows none of them.
    """
    request = asking(image_list=[Path("a.png"), b"12345", URL + "?Signature=c2VjcmV0"])
    (each,) = OMNI_IMAGE.inputs

    assert ["image_list[0]", "image_list[1]", "image_list[2]"] == [place for place, _ in each.sources(request)]
    small, odd = FileFacts(5, "png", 10, 10), FileFacts(5, None)
    assert ["image_list[0]", "image_list[1]"] == fields_of(request, **{"image_list[0]": odd, "image_list[1]": small})
    assert "image_list=(Path('a.png'), <5 bytes>, 'https://pictures.example/cat.png?…')" in repr(request)


@pytest.mark.parametrize(
    ("fields", "slots", "units"),
    [
        ({}, 1, 8),
        ({"n": 3}, 3, 24),
        ({"n": 3, "resolution": "2k", "image_list": [URL]}, 3, 24),
        ({"n": 2, "resolution": "4k"}, 2, 32),
        ({"result_type": "series"}, 4, 32),
        ({"result_type": "series", "series_amount": 6}, 6, 48),
        ({"result_type": "series", "series_amount": "auto", "resolution": "4k"}, 9, 144),
    ],
)
def test_prices_and_slots(fields: dict[str, Any], slots: int, units: int) -> None:
    """
    Each picture costs one price and one slot; where the model chooses their number, only the most is known.
    """
    request = asking(**fields)

    assert (slots, slots) == (OMNI_IMAGE.slots(request), OMNI_IMAGE.files(request))
    assert Decimal(units) == OMNI_IMAGE.units_at_most(request, OFFICIAL)
    assert (None if slots == 9 else Decimal(units)) == OMNI_IMAGE.units(request, OFFICIAL)
    assert OMNI_IMAGE.fewest_files is not None
    assert (2 if slots == 9 else slots) == OMNI_IMAGE.fewest_files(request)


def test_bucket_and_duration() -> None:
    """
    Pictures of a model share its slots with those of other endpoints for images; more of them take longer.
    """
    assert ("kling-v3-omni", "kling-image-o1") == (
        OMNI_IMAGE.bucket(asking(), OFFICIAL),
        OMNI_IMAGE.bucket(asking(model_name="kling-image-o1"), GATEWAY),
    )
    series = {"result_type": "series", "series_amount": 3}
    assert OMNI_IMAGE.duration_key(asking(n=3)) == OMNI_IMAGE.duration_key(asking(**series))
    assert OMNI_IMAGE.duration_key(asking(n=3)) != OMNI_IMAGE.duration_key(asking(n=3, resolution="4k"))


ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=5)
    | st.lists(st.integers() | st.none() | st.text(max_size=3), max_size=3)
    | st.dictionaries(st.text(max_size=2), st.integers(), max_size=1)
    | st.sampled_from(["series", "auto", "kling-image-o1", URL])
)


@given(st.fixed_dictionaries({}, optional={field.name: ANYTHING for field in attrs.fields(OmniImage)}))
def test_any_request_is_judged(fields: dict[str, Any]) -> None:
    """
    Whatever a request holds, it gets rules and no exception, and it can be shown.
    """
    request = asking(**fields)

    assert all(str(rule).encode(errors="replace") for rule in broken_rules(OFFICIAL, request))
    assert repr(request)
