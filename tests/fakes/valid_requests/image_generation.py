"""
Requests for images that break no rule of the vendor's own API.
"""

from typing import Final

from hypothesis import strategies as st

from kling_async import OFFICIAL, ImageRequest
from tests.fakes.valid_requests.pictures import PICTURES, PROMPTS

EXAMPLE: Final = ImageRequest("a lighthouse at dusk")

_FROM_TEXT = st.builds(
    ImageRequest,
    PROMPTS,
    negative_prompt=st.none() | PROMPTS,
    n=st.integers(1, 9),
    aspect_ratio=st.none() | st.sampled_from(OFFICIAL.aspect_ratios),
    model_name=st.none() | st.sampled_from(OFFICIAL.models),
    resolution=st.none() | st.sampled_from(OFFICIAL.resolutions),
)
_FROM_IMAGE = st.builds(
    ImageRequest,
    PROMPTS,
    image=PICTURES,
    image_fidelity=st.none() | st.floats(0, 1),
    image_reference=st.sampled_from(["subject", "face"]),
    human_fidelity=st.none() | st.floats(0, 1),
    model_name=st.none() | st.sampled_from(OFFICIAL.models),
)

REQUESTS: Final = _FROM_TEXT | _FROM_IMAGE
