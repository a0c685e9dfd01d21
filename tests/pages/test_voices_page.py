"""
The page on speech, faces, voices and elements: its prices are those that are counted.
"""

import re
from decimal import Decimal
from pathlib import Path
from typing import Final

from kling_async import OFFICIAL, ElementRequest, VoiceRequest
from kling_async.wire import endpoint_of
from kling_async.wire.calls.faces import FACE_IDENTIFICATION
from kling_async.wire.calls.recognition import IMAGE_RECOGNITION
from kling_async.wire.calls.registry import CALLS
from kling_async.wire.calls.speech import SPEECH

PAGE: Final = Path(__file__).parents[2] / "docs" / "howto" / "voices-and-elements.md"


def test_prices_are_those_that_are_counted() -> None:
    """
    For calls and for tasks; all other calls are free.
    """
    rows = re.findall(r"^\| `(\w+\.\w+)` \| ([\d.]+) \|$", PAGE.read_text(), re.MULTILINE)
    shown = {name: Decimal(units) for name, units in rows}
    voice, element = VoiceRequest("a", voice_url="https://x/1.mp3"), ElementRequest("a", element_description="a")

    assert {
        "speech.generate": SPEECH.units,
        "faces.identify": FACE_IDENTIFICATION.units,
        "images.recognize": IMAGE_RECOGNITION.units,
        "voices.create": endpoint_of(VoiceRequest).units(voice, OFFICIAL),
        "elements.create": endpoint_of(ElementRequest).units(element, OFFICIAL),
    } == shown
    assert {SPEECH, FACE_IDENTIFICATION, IMAGE_RECOGNITION} == {call for call in CALLS if call.units is not None}
