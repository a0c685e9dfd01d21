"""
Requests for effects that break no rule of the vendor's own API.
"""

from typing import Final

from hypothesis import strategies as st

from kling_async import VideoEffect
from tests.fakes.valid_requests.pictures import PICTURES, PNG

EXAMPLE: Final = VideoEffect("hug", images=(PNG, PNG))

REQUESTS: Final = st.builds(VideoEffect, st.just("squish"), image=PICTURES) | st.builds(
    VideoEffect, st.just("hug"), images=st.tuples(PICTURES, PICTURES)
)

UNPRICED: Final = "each scene has a price, which is not known"
