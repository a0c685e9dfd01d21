"""
Writes WAV files: a short melody.
"""

import array
import io
import itertools
import math
import random
import sys
import wave
from typing import Final

__all__ = ["write_wav"]

_RATE: Final = 16_000  # samples per second
_NOTE: Final = 0.25  # seconds
_SCALE: Final = (262, 294, 330, 392, 440, 523)  # hertz: a pentatonic scale, in which all notes go together


def write_wav(seconds: float, seed: int) -> bytes:
    """
    Return a mono file with 16 bits per sample; the same arguments give the same bytes.
    """
    dice = random.Random(seed)  # noqa: S311 (repeatable on purpose)
    notes = itertools.chain.from_iterable(_note(dice.choice(_SCALE)) for _ in range(math.ceil(seconds / _NOTE)))
    samples = array.array("h", itertools.islice(notes, round(seconds * _RATE)))
    if sys.byteorder == "big":
        samples.byteswap()
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(_RATE)
        sound.writeframes(samples.tobytes())
    return file.getvalue()


def _note(hertz: int) -> list[int]:
    count = round(_NOTE * _RATE)
    turn = math.tau * hertz / _RATE
    return [round(12_000 * (1 - place / count) ** 2 * math.sin(turn * place)) for place in range(count)]
