"""
Requests for lip syncs that break no rule of the vendor's own API. The emulator takes sessions on trust that it does not
know.
"""

from typing import Any, Final

from hypothesis import strategies as st

from kling_async import LipSync
from tests.fakes.sounds import WAV

EXAMPLE: Final = LipSync("829836802793406552", face_id="0", sound_file=WAV, sound_end_time=3000)

_VOLUMES: Final = st.none() | st.floats(0, 2)


@st.composite
def _of_a_sound(draw: st.DrawFn) -> LipSync:
    start = draw(st.integers(0, 1000))
    fields: dict[str, Any] = {
        "sound_start_time": start,
        "sound_end_time": draw(st.integers(start + 2000, 3000)),
        "sound_insert_time": draw(st.integers(0, 50_000)),
        "sound_volume": draw(_VOLUMES),
        "original_audio_volume": draw(_VOLUMES),
        "watermark_info": draw(st.none() | st.booleans()),
    }
    source: dict[str, Any] = draw(st.sampled_from([{"sound_file": WAV}, {"audio_id": "829836802793406551"}]))
    return LipSync("829836802793406552", face_id=draw(st.sampled_from(["0", "1"])), **source, **fields)


REQUESTS: Final = _of_a_sound()
