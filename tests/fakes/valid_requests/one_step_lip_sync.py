"""
Requests for lip syncs in one step that break no rule.
"""

from typing import Final

from hypothesis import strategies as st

from kling_async import OneStepLipSync
from tests.fakes.sounds import WAV
from tests.fakes.valid_requests.pictures import PROMPTS

CLIP: Final = "https://videos.example/clip.mp4"

EXAMPLE: Final = OneStepLipSync(video_url=CLIP, audio_file=WAV)

REQUESTS: Final = st.builds(
    OneStepLipSync,
    video_url=st.just(CLIP),
    text=PROMPTS,
    voice_id=st.just("oversea_male1"),
    voice_language=st.sampled_from(["zh", "en"]),
    voice_speed=st.none() | st.floats(0.8, 2),
) | st.builds(
    OneStepLipSync,
    st.just("829836802793406551"),
    audio_file=st.sampled_from([WAV, "https://sounds.example/speech.mp3"]),
)
