"""
Requests for videos with the motion of another one that break no rule.
"""

from typing import Any, Final

from hypothesis import strategies as st

from kling_async import MotionControl
from tests.fakes.valid_requests.pictures import PICTURES, PNG, PROMPTS

DANCE: Final = "https://videos.example/dance.mp4"

EXAMPLE: Final = MotionControl(PNG, DANCE, prompt="the lighthouse dances")


@st.composite
def _of_an_orientation(draw: st.DrawFn) -> MotionControl:
    fields: dict[str, Any] = {
        "character_orientation": draw(st.sampled_from(["image", "video"])),
        "mode": draw(st.sampled_from(["std", "pro"])),
        "prompt": draw(st.none() | PROMPTS),
        "keep_original_sound": draw(st.none() | st.booleans()),
        "watermark_info": draw(st.none() | st.booleans()),
        "model_name": draw(st.sampled_from([None, "kling-v2-6", "kling-v3"])),
    }
    return MotionControl(draw(PICTURES), DANCE, **fields)


REQUESTS: Final = _of_an_orientation()
