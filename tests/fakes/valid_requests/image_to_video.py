"""
Requests for videos from pictures that break no rule of the vendor's own API.
"""

from typing import Any, Final

from hypothesis import strategies as st

from kling_async import ImageToVideo
from kling_async.emulator.library import PRESET_VOICE_IDS
from tests.fakes.valid_requests.pictures import PICTURES, PNG, PROMPTS

EXAMPLE: Final = ImageToVideo(PNG, prompt="the boat leaves the harbour", duration=5)


@st.composite
def _of_a_model(draw: st.DrawFn) -> ImageToVideo:
    model = draw(st.sampled_from([None, "kling-v3", "kling-v2-6", "kling-v2-5-turbo"]))
    is_newest = model in (None, "kling-v3")
    mode = draw(st.sampled_from([None, "std", "pro", "4k"] if is_newest else ["pro"]))
    fields: dict[str, Any] = {
        "model_name": model,
        "mode": mode,
        "duration": draw(st.integers(3, 15) if is_newest else st.sampled_from([5, 10])),
        "prompt": draw(st.none() | PROMPTS),
        "image_tail": draw(st.none() | PICTURES),
        "watermark_info": draw(st.sampled_from([None, False, True])),
    }
    if is_newest:
        fields |= {"sound": draw(st.sampled_from([None, False, True]))}
    elif model == "kling-v2-6" and fields["image_tail"] is None:
        voices = st.sampled_from([(), PRESET_VOICE_IDS[:1], PRESET_VOICE_IDS[:2]])
        fields |= {"sound": True, "voice_list": draw(voices)}
    return ImageToVideo(draw(PICTURES), **fields)


REQUESTS: Final = _of_a_model()
