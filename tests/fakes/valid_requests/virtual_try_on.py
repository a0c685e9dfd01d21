"""
Requests for pictures of garments on persons that break no rule.
"""

from typing import Final

from hypothesis import strategies as st

from kling_async import VirtualTryOn
from tests.fakes.valid_requests.pictures import PICTURES, PNG

EXAMPLE: Final = VirtualTryOn(PNG, PNG)

REQUESTS: Final = st.builds(
    VirtualTryOn,
    PICTURES,
    PICTURES,
    model_name=st.sampled_from([None, "kolors-virtual-try-on-v1", "kolors-virtual-try-on-v1-5"]),
)
