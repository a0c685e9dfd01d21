"""
Requests for pictures from several pictures that break no rule.
"""

from typing import Final

from hypothesis import strategies as st

from kling_async import OFFICIAL, MultiImageToImage
from tests.fakes.valid_requests.pictures import PICTURES, PNG, PROMPTS

EXAMPLE: Final = MultiImageToImage([PNG], prompt="they meet at a lighthouse")

REQUESTS: Final = st.builds(
    MultiImageToImage,
    st.lists(PICTURES, min_size=1, max_size=4),
    prompt=st.none() | PROMPTS,
    scene_image=st.none() | PICTURES,
    style_image=st.none() | PICTURES,
    n=st.integers(1, 9),
    aspect_ratio=st.none() | st.sampled_from(OFFICIAL.aspect_ratios),
    watermark_info=st.none() | st.booleans(),
)
