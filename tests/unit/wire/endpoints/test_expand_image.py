"""
The rules and prices of expand image, and its four ratios for a wanted size.
"""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, strategies as st

from kling_async import OFFICIAL, ExpandImage
from kling_async.errors import InvalidRequest
from kling_async.wire import broken_rules, write_request
from kling_async.wire.endpoints.expand_image import EXPAND_IMAGE

URL = "https://pictures.example/cat.png"


def test_all_four_ratios_are_sent() -> None:
    """
    The service requires them.
    """
    assert {
        "image": URL,
        "up_expansion_ratio": 0.0,
        "down_expansion_ratio": 0.0,
        "left_expansion_ratio": 0.25,
        "right_expansion_ratio": 0.25,
        "n": 1,
    } == write_request(ExpandImage.to_size(URL, (400, 300), (600, 300)))


@given(
    width=st.integers(300, 5000),
    height=st.integers(300, 5000),
    more_width=st.integers(0, 5000),
    more_height=st.integers(0, 5000),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
)
def test_the_wanted_size_is_reached(
    width: int, height: int, more_width: int, more_height: int, x: float, y: float
) -> None:
    """
    Within a pixel or two of four decimals, and never above what the service allows.
    """
    wanted = (width + more_width, height + more_height)
    assume(wanted[0] * wanted[1] <= 2.9 * width * height)
    assume(max(more_width / width, more_height / height) <= 2)
    assume(max(more_width / width, more_height / height) > 0.001)
    request = ExpandImage.to_size(URL, (width, height), wanted, anchor=(x, y))

    assert () == broken_rules(OFFICIAL, request)
    new_width = width * (1 + request.left_expansion_ratio + request.right_expansion_ratio)
    new_height = height * (1 + request.up_expansion_ratio + request.down_expansion_ratio)
    assert wanted[0] - 2 <= new_width <= wanted[0] + 0.01
    assert wanted[1] - 2 <= new_height <= wanted[1] + 0.01


@pytest.mark.parametrize(
    ("size", "wanted", "options"),
    [
        ((400, 300), (399, 300), {}),
        ((400, 300), (1300, 300), {}),
        ((400, 300), (1300, 301), {"anchor": (0, 0)}),
        ((400, 300), (800, 800), {}),
        ((400, 300), (400, 300), {}),
        ((0, 300), (400, 300), {}),
        ((400, 300), (600, 300), {"anchor": (2, 0)}),
    ],
)
def test_sizes_that_cannot_be_reached(size: tuple[int, int], wanted: tuple[int, int], options: dict[str, Any]) -> None:
    """
    The error says why.
    """
    with pytest.raises(InvalidRequest):
        ExpandImage.to_size(URL, size, wanted, **options)


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({"up_expansion_ratio": 2.1}, ["up_expansion_ratio"]),
        ({"left_expansion_ratio": None}, ["left_expansion_ratio"]),
        ({"up_expansion_ratio": 1, "left_expansion_ratio": 1}, ["up_expansion_ratio"]),
        ({}, ["up_expansion_ratio"]),
        ({"up_expansion_ratio": 1, "n": 0, "prompt": "x" * 2501}, ["prompt", "n"]),
    ],
)
def test_what_is_refused(fields: dict[str, Any], broken: list[str]) -> None:
    """
    Each broken rule is named by its field, all of them at once.
    """
    assert broken == [rule.field for rule in broken_rules(OFFICIAL, ExpandImage(URL, **fields))]
    assert ["image", *broken] == [rule.field for rule in broken_rules(OFFICIAL, ExpandImage(None, **fields))]


def test_price_and_slots() -> None:
    """
    8 units and one slot for each picture.
    """
    request = ExpandImage(URL, n=2)

    assert Decimal(16) == EXPAND_IMAGE.units(request, OFFICIAL)
    assert 2 == EXPAND_IMAGE.slots(request)
    assert "expand-image" == EXPAND_IMAGE.bucket(request, OFFICIAL)
