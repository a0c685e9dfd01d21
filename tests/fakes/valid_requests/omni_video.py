"""
Requests for omni videos that break no rule of the vendor's own API.
"""

from typing import Any, Final

from hypothesis import strategies as st

from kling_async import Frame, InputVideo, OmniVideo, Shot
from kling_async.emulator.library import PRESET_ELEMENT_IDS
from tests.fakes.valid_requests.pictures import PICTURES, PNG, PROMPTS

WALK: Final = "https://videos.example/walk.mp4"

EXAMPLE: Final = OmniVideo("the boat of <<<image_1>>> leaves the harbour", image_list=[PNG], aspect_ratio="16:9")


@st.composite
def _of_a_model(draw: st.DrawFn) -> OmniVideo:
    model = draw(st.sampled_from([None, "kling-v3-omni", "kling-video-o1"]))
    is_newest = model != "kling-video-o1"
    kind = draw(st.sampled_from(["references", "frames", "base", "feature"]))
    fields: dict[str, Any] = {
        "model_name": model,
        "mode": draw(st.sampled_from([None, "std", "pro", *(["4k"] if is_newest else [])])),
        "duration": draw(st.integers(3, 15 if is_newest else 10)),
        "element_list": draw(st.lists(st.sampled_from(PRESET_ELEMENT_IDS), max_size=2)) if kind != "frames" else (),
        "aspect_ratio": draw(st.sampled_from(["16:9", "9:16", "1:1"])),
        "watermark_info": draw(st.sampled_from([None, False, True])),
    }
    match kind:
        case "frames":
            last = [Frame(draw(PICTURES), "end_frame")] if draw(st.booleans()) else []
            fields["image_list"] = [Frame(draw(PICTURES), type="first_frame"), *last]
        case "references":
            fields["image_list"] = draw(st.lists(PICTURES, max_size=3))
            fields["sound"] = draw(st.sampled_from([None, False, True] if is_newest else [None, False]))
        case "base" | "feature":
            fields["video_list"] = [InputVideo(WALK, kind, draw(st.none() | st.booleans()))]
    if is_newest and kind in ("references", "frames") and draw(st.booleans()):
        first = draw(st.integers(1, fields["duration"] - 1))
        shots = (Shot(draw(PROMPTS), first), Shot(draw(PROMPTS), fields["duration"] - first))
        return OmniVideo(multi_shot=True, shot_type="customize", multi_prompt=shots, **fields)
    return OmniVideo(draw(PROMPTS), **fields)


REQUESTS: Final = _of_a_model()
