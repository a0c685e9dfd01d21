"""
Requests for sounds from text that break no rule of the vendor's own API.
"""

from typing import Final

from hypothesis import strategies as st

from kling_async import TextToAudio
from tests.fakes.valid_requests.pictures import PROMPTS

EXAMPLE: Final = TextToAudio("waves and gulls", duration=3)

REQUESTS: Final = st.builds(TextToAudio, PROMPTS, duration=st.integers(3, 10) | st.floats(3, 10))
