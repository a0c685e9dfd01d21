"""
The service's own voices and elements. Their lists look like those of the account's tasks.
"""

from typing import Final

import attrs

from kling_async.wire.endpoints.custom_element import CUSTOM_ELEMENT
from kling_async.wire.endpoints.custom_voice import CUSTOM_VOICE

__all__ = ["PRESETS", "PRESET_ELEMENTS", "PRESET_VOICES"]

PRESET_VOICES: Final = attrs.evolve(
    CUSTOM_VOICE, name="preset-voice", title="preset voice", path="/v1/general/presets-voices"
)
"""
Only pages of it can be read.
"""

PRESET_ELEMENTS: Final = attrs.evolve(
    CUSTOM_ELEMENT, name="preset-element", title="preset element", path="/v1/general/advanced-presets-elements"
)
"""
As `PRESET_VOICES`.
"""

PRESETS: Final = (PRESET_VOICES, PRESET_ELEMENTS)
