"""
Requests for longer videos that break no rule of the vendor's own API.
"""

from typing import Final

from hypothesis import strategies as st

from kling_async import VideoExtend
from tests.fakes.valid_requests.pictures import PROMPTS

EXAMPLE: Final = VideoExtend("829836802793406551", prompt="the boat reaches the open sea")

REQUESTS: Final = st.builds(
    VideoExtend,
    st.sampled_from(["829836802793406551", "0f4cc7e2-8a5f-4d6b-9c7e-0d5f3c1b2a10"]),
    prompt=st.none() | PROMPTS,
    watermark_info=st.none() | st.booleans(),
)

UNPRICED: Final = "it depends on the model of the given video"
