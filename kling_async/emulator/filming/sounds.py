"""
Composes a short melody, and writes it as a WAV file.
"""

import array
import functools
import io
import itertools
import math
import random
import sys
import wave
from typing import Final, TypeAlias

__all__ = ["RATE", "Samples", "melody", "write_wav"]

RATE: Final = 16_000
"""
Samples per second.
"""

Samples: TypeAlias = "array.array[int]"
"""
Of 16 bits, mono.
"""

_NOTE: Final = 0.25  # seconds
_SCALE: Final = (262, 294, 330, 392, 440, 523)  # hertz: a pentatonic scale, in which all notes go together


def melody(seconds: float, seed: int) -> Samples:
    """
    Return a melody; the same arguments give the same one.
    """
    dice = random.Random(seed)  # noqa: S311 (repeatable on purpose)
    notes = itertools.chain.from_iterable(_note(dice.choice(_SCALE)) for _ in range(math.ceil(seconds / _NOTE)))
    return array.array("h", itertools.islice(notes, round(seconds * RATE)))


def write_wav(seconds: float, seed: int) -> bytes:
    """
    Return a melody as a mono file.
    """
    samples = melody(seconds, seed)
    if sys.byteorder == "big":
        samples.byteswap()
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(samples.tobytes())
    return file.getvalue()


@functools.cache
def _note(hertz: int) -> list[int]:
    # A plucked string: it sounds at once, with an overtone, and fades.
    count = round(_NOTE * RATE)
    turn = math.tau * hertz / RATE
    return [
        round(
            min(1.0, place / 60)
            * (1 - place / count) ** 2
            * (10_000 * math.sin(turn * place) + 2_500 * math.sin(2 * turn * place))
        )
        for place in range(count)
    ]
