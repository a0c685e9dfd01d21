"""
Requests for voices that break no rule of the vendor's own API.
"""

from typing import Final

from hypothesis import strategies as st

from kling_async import VoiceRequest

EXAMPLE: Final = VoiceRequest("narrator", voice_url="https://files.example/voice.mp3")

_NAMES: Final = st.text("abc 灯塔", min_size=1, max_size=20).filter(str.strip)

REQUESTS: Final = st.builds(
    VoiceRequest, _NAMES, voice_url=st.sampled_from(["https://files.example/voice.mp3", "https://files.example/1.mov"])
) | st.builds(VoiceRequest, _NAMES, video_id=st.from_regex(r"[1-9][0-9]{17}", fullmatch=True))
