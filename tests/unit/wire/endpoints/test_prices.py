"""
What pictures cost.
"""

from decimal import Decimal

import pytest

from kling_async import OFFICIAL
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION, ImageRequest


@pytest.mark.parametrize(
    ("model_name", "from_text", "from_image"),
    [
        ("kling-v1", 1, 1),
        ("kling-v1-5", 4, 8),
        ("kling-v2", 4, 8),
        ("kling-v2-1", 4, 8),
        ("kling-v3", 8, 8),
        ("?", 8, 8),
    ],
)
def test_price_is_per_picture(model_name: str, from_text: int, from_image: int) -> None:
    """
    Each picture costs its model's price, which may depend on whether there is a reference image.
    """
    assert 3 * from_text == units_of(model_name)
    assert 3 * from_image == units_of(model_name, image="https://a.example/b.png")


def units_of(model_name: str, *, image: str | None = None) -> Decimal | None:
    """
    Return what three pictures cost.
    """
    return IMAGE_GENERATION.units(ImageRequest("x", n=3, model_name=model_name, image=image), OFFICIAL)
