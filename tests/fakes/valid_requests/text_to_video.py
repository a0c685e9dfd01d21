"""
Requests for videos from text that break no rule of the vendor's own API.
"""

from typing import Any, Final

from hypothesis import strategies as st

from kling_async import Shot, TextToVideo
from tests.fakes.valid_requests.pictures import PROMPTS

EXAMPLE: Final = TextToVideo("a boat leaves the harbour", duration=5)

RATIOS: Final = st.none() | st.sampled_from(["16:9", "9:16", "1:1"])


@st.composite
def _of_a_model(draw: st.DrawFn) -> TextToVideo:
    model = draw(st.sampled_from([None, "kling-v3", "kling-v2-6", "kling-v2-5-turbo"]))
    is_newest = model in (None, "kling-v3")
    mode = draw(st.sampled_from([None, "std", "pro", "4k"] if is_newest else [None, "std", "pro"]))
    has_sound = is_newest or (model == "kling-v2-6" and mode == "pro")
    fields: dict[str, Any] = {
        "model_name": model,
        "mode": mode,
        "duration": draw(st.integers(3, 15) if is_newest else st.sampled_from([5, 10])),
        "sound": draw(st.sampled_from([None, False, True] if has_sound else [None, False])),
        "aspect_ratio": draw(RATIOS),
        "negative_prompt": draw(st.none() | PROMPTS),
        "watermark_info": draw(st.sampled_from([None, False, True])),
    }
    if is_newest and draw(st.booleans()):
        first = draw(st.integers(1, int(fields["duration"]) - 1))
        shots = (Shot(draw(PROMPTS), first), Shot(draw(PROMPTS), fields["duration"] - first))
        return TextToVideo(multi_shot=True, shot_type="customize", multi_prompt=shots, **fields)
    return TextToVideo(draw(PROMPTS), **fields)


REQUESTS: Final = _of_a_model()
