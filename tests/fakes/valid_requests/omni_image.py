"""
Requests for omni images that break no rule of the vendor's own API.
"""

from typing import Any, Final

from hypothesis import strategies as st

from kling_async import OmniImage
from kling_async.emulator.library import PRESET_ELEMENT_IDS
from tests.fakes.valid_requests.pictures import PICTURES, PROMPTS

EXAMPLE: Final = OmniImage("a lighthouse at dusk", aspect_ratio="3:2")

_RATIOS: Final = ["16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9"]


@st.composite
def _of_a_model(draw: st.DrawFn) -> OmniImage:
    model = draw(st.sampled_from([None, "kling-v3-omni", "kling-image-o1"]))
    is_newest = model != "kling-image-o1"
    images = draw(st.lists(PICTURES, max_size=3))
    fields: dict[str, Any] = {
        "model_name": model,
        "image_list": images,
        "element_list": draw(st.lists(st.sampled_from(PRESET_ELEMENT_IDS), max_size=3)),
        "resolution": draw(st.sampled_from([None, "1k", "2k", *(["4k"] if is_newest else [])])),
        "aspect_ratio": draw(st.sampled_from([None, *_RATIOS, *(["auto"] if images else [])])),
        "watermark_info": draw(st.sampled_from([None, False, True])),
    }
    if is_newest and draw(st.booleans()):
        amount = draw(st.none() | st.integers(2, 9))
        return OmniImage(draw(PROMPTS), result_type="series", series_amount=amount, **fields)
    return OmniImage(draw(PROMPTS), n=draw(st.integers(1, 9)), **fields)


REQUESTS: Final = _of_a_model()
