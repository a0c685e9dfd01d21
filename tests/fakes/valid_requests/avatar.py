"""
Requests for avatars that break no rule of the vendor's own API.
"""

from typing import Final

from hypothesis import strategies as st

from kling_async import Avatar
from tests.fakes.sounds import WAV
from tests.fakes.valid_requests.pictures import PICTURES, PNG, PROMPTS

SPEECH: Final = "https://sounds.example/speech.mp3"

EXAMPLE: Final = Avatar(PNG, sound_file=WAV, prompt="the keeper reads the log")

_MORE: Final = {
    "prompt": st.none() | PROMPTS,
    "mode": st.sampled_from(["std", "pro"]),
    "watermark_info": st.sampled_from([None, False, True]),
}

REQUESTS: Final = st.builds(Avatar, PICTURES, sound_file=st.sampled_from([WAV, SPEECH]), **_MORE) | st.builds(
    Avatar, PICTURES, audio_id=st.just("829836802793406551"), **_MORE
)
