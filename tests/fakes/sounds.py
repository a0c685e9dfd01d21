"""
Small sounds that every endpoint accepts.
"""

import io
import wave
from typing import Final

__all__ = ["WAV", "silence"]


def silence(seconds: float, *, channels: int = 1, rate: int = 1000) -> bytes:
    """
    Return a WAV in which nothing is heard.
    """
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(bytes(round(seconds * rate) * channels * 2))
    return file.getvalue()


WAV: Final = silence(3)
