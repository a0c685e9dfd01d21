"""
Requests for larger pictures that break no rule.
"""

from typing import Final

from hypothesis import strategies as st

from kling_async import ExpandImage
from tests.fakes.valid_requests.pictures import PICTURES, PNG, PROMPTS

EXAMPLE: Final = ExpandImage.to_size(PNG, (400, 300), (600, 400))

_RATIOS = st.floats(0.1, 0.36)  # (1 + 2 * 0.36) squared is less than 3

REQUESTS: Final = st.builds(
    ExpandImage,
    PICTURES,
    up_expansion_ratio=_RATIOS,
    down_expansion_ratio=_RATIOS,
    left_expansion_ratio=_RATIOS,
    right_expansion_ratio=_RATIOS,
    prompt=st.none() | PROMPTS,
    n=st.integers(1, 9),
    watermark_info=st.none() | st.booleans(),
)
