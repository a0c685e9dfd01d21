"""
The waveform of a sound, from its samples.
"""

import array
import math
import wave
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from kling_async.gallery.waveforms import draw_waveform, peaks_of, read_wav_peaks

RATE = 8_000


def write_wav(path: Path, samples: list[float], width: int, channels: int = 1) -> Path:
    """
    Write *samples*, from -1 to 1, as a WAV file.
    """
    largest = 2 ** (8 * width - 1) - 1
    numbers = [round(sample * largest) for sample in samples]
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(width)
        sound.setframerate(RATE)
        if width == 1:
            sound.writeframes(bytes(number + 128 for number in numbers))
        else:
            sound.writeframes(b"".join(number.to_bytes(width, "little", signed=True) for number in numbers))
    return path


def tone(seconds: float, volume: float) -> list[float]:
    return [volume * math.sin(math.tau * 440 * place / RATE) for place in range(round(seconds * RATE))]


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_peaks_follow_the_volume(tmp_path: Path, width: int, channels: int) -> None:
    """
    Whatever the width of a sample, the loud half is twice as loud as the quiet one.
    """
    path = write_wav(tmp_path / "x.wav", tone(1, 0.4) + tone(1, 0.8), width, channels)

    peaks = read_wav_peaks(path)

    middle = len(peaks) // 2
    assert 0.4 * 32_767 == pytest.approx(max(peaks[:middle]), rel=0.03)
    assert 0.8 * 32_767 == pytest.approx(min(peaks[middle:]), rel=0.03)


def test_long_sound_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A sound of hours takes no longer than one of minutes.
    """
    path = write_wav(tmp_path / "x.wav", [0.5] * RATE, 2)
    monkeypatch.setattr("kling_async.gallery.waveforms._SAMPLES_READ", 20)
    taken: list[int] = []
    read = wave.Wave_read.readframes

    def count(sound: wave.Wave_read, frames: int) -> bytes:
        taken.append(frames)
        return read(sound, frames)

    monkeypatch.setattr(wave.Wave_read, "readframes", count)

    assert {16_384} == set(read_wav_peaks(path))
    assert {20} == set(taken)
    assert sum(taken) < RATE / 4


@pytest.mark.parametrize("content", [b"", b"RIFF\0\0\0\0WAVE", b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\3\0" + bytes(40)])
def test_other_files_have_no_peaks(tmp_path: Path, content: bytes) -> None:
    """
    Damaged ones, and those whose samples are floating-point numbers.
    """
    (tmp_path / "x.wav").write_bytes(content)

    assert [] == read_wav_peaks(tmp_path / "x.wav") == read_wav_peaks(tmp_path / "nowhere.wav")


def test_empty_sound_is_a_line(tmp_path: Path) -> None:
    """
    So is one of silence: nothing is amplified.
    """
    empty = read_wav_peaks(write_wav(tmp_path / "x.wav", [], 2))
    silent = read_wav_peaks(write_wav(tmp_path / "y.wav", [0.0001] * RATE, 2))

    assert {0} == set(empty)
    assert draw_waveform(empty) == draw_waveform(silent)


@given(st.lists(st.integers(-32_768, 32_767), max_size=300))
def test_any_samples_can_be_drawn(samples: list[int]) -> None:
    """
    The drawing is small, has only characters that need no quotes in a style, and there is none of nothing.
    """
    picture = draw_waveform(peaks_of(array.array("h", samples)))

    assert (picture is None) == (not samples)
    assert 2_000 > len(picture or "")
    assert not set("\"'()<>&\\") & set(picture or "")
