"""
Requests for elements that break no rule of the vendor's own API.
"""

from typing import Final

from hypothesis import strategies as st

from kling_async import ElementRequest
from kling_async.emulator.library import PRESET_VOICE_IDS
from tests.fakes.valid_requests.pictures import PICTURES, PNG

EXAMPLE: Final = ElementRequest(
    "a fox", element_description="a red fox with a torn ear", frontal_image=PNG, refer_images=[PNG, PNG]
)

_NAMES: Final = st.text("abc 灯塔", min_size=1, max_size=20).filter(str.strip)
_TAGS: Final = st.lists(st.sampled_from(["o_101", "o_105", "o_108"]), max_size=3, unique=True)

REQUESTS: Final = st.builds(
    ElementRequest,
    _NAMES,
    element_description=_NAMES,
    frontal_image=PICTURES,
    refer_images=st.lists(PICTURES, min_size=1, max_size=3),
    tag_list=_TAGS,
) | st.builds(
    ElementRequest,
    _NAMES,
    element_description=_NAMES,
    refer_video=st.just("https://files.example/fox.mp4"),
    element_voice_id=st.none() | st.sampled_from(PRESET_VOICE_IDS),
    tag_list=_TAGS,
)

UNPRICED: Final = "it is free"
