"""
The emulator's sounds.
"""

import io
import wave

import pytest

from kling_async.emulator.filming.sounds import write_wav


@pytest.mark.parametrize("seconds", [0.0, 0.1, 2.0])
def test_file_lasts_as_long_as_it_should(seconds: float) -> None:
    """
    The standard library reads the file, of any length.
    """
    with wave.open(io.BytesIO(write_wav(seconds, 7))) as sound:
        assert (1, 2, seconds) == (
            sound.getnchannels(),
            sound.getsampwidth(),
            sound.getnframes() / sound.getframerate(),
        )


def test_seed_decides() -> None:
    """
    Equal seeds give equal files, others do not, and there is something to hear.
    """
    assert write_wav(1.0, 1) == write_wav(1.0, 1) != write_wav(1.0, 2)
    assert len(set(write_wav(1.0, 1))) > 200
