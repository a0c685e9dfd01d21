"""
Requests for sounds of videos that break no rule of the vendor's own API.
"""

from typing import Final

from hypothesis import strategies as st

from kling_async import VideoToAudio
from tests.fakes.valid_requests.pictures import PROMPTS

EXAMPLE: Final = VideoToAudio(video_url="https://videos.example/clip.mp4", sound_effect_prompt="waves")

_MORE: Final = {
    "sound_effect_prompt": st.none() | PROMPTS,
    "bgm_prompt": st.none() | PROMPTS,
    "asmr_mode": st.sampled_from([None, False, True]),
}

REQUESTS: Final = st.builds(VideoToAudio, st.just("829836802793406551"), **_MORE) | st.builds(
    VideoToAudio, video_url=st.just("https://videos.example/clip.mp4"), **_MORE
)
