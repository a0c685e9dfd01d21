"""
Draws sounds as waveforms: SVG pictures as `data:` URLs, to be used as masks.
"""

import array
import itertools
import sys
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

__all__ = ["draw_waveform", "peaks_of", "read_wav_peaks"]

_BARS: Final = 72
_HEIGHT: Final = 100
_SAMPLES_READ: Final = 4096  # of each bar's part, so that a sound of hours takes no longer than one of minutes
_QUIET: Final = 200  # of 32,768: where nothing is louder, the drawing shows silence
_SIGNED: Final = bytes(value ^ 0x80 for value in range(256))


def read_wav_peaks(path: Path) -> list[int]:
    """
    Return the peaks of the WAV file at *path*; none if Python cannot read its samples.
    """
    try:
        with path.open("rb") as file, wave.open(file) as sound:
            frames, width = sound.getnframes(), sound.getsampwidth()
            edges = [frames * bar // _BARS for bar in range(_BARS + 1)]
            peaks = []
            for start, end in itertools.pairwise(edges):
                sound.setpos(start)
                peaks.append(_peak(_in_16_bits(sound.readframes(min(end - start, _SAMPLES_READ)), width)))
            return peaks
    except (OSError, EOFError, wave.Error):
        return []


def peaks_of(samples: Sequence[int]) -> list[int]:
    """
    Return the largest of *samples* in each part of the sound.
    """
    edges = [len(samples) * bar // _BARS for bar in range(_BARS + 1)]
    return [_peak(samples[start:end]) for start, end in itertools.pairwise(edges)] if samples else []


def draw_waveform(peaks: Sequence[int]) -> str | None:
    """
    Draw *peaks* as bars, the loudest in full height; None if there are none.
    """
    if not peaks:
        return None
    loudest = max([*peaks, _QUIET])
    heights = [max(3, round(_HEIGHT * peak / loudest)) for peak in peaks]
    bars = "".join(f"M{3 * x} {(_HEIGHT - height) // 2}h2v{height}h-2z" for x, height in enumerate(heights))
    view = f"viewBox='0 0 {3 * len(peaks) - 1} {_HEIGHT}' preserveAspectRatio='none'"
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' {view}><path d='{bars}'/></svg>"
    return f"data:image/svg+xml,{quote(svg, safe=' =/:')}"


def _peak(samples: Sequence[int]) -> int:
    largest, smallest = (max(samples), min(samples)) if samples else (0, 0)
    return max(largest, -smallest)


def _in_16_bits(data: bytes, width: int) -> "array.array[int]":
    # The two most significant bytes of each sample; samples of one byte are unsigned.
    low = data[width - 2 :: width] if width > 1 else bytes(len(data))
    high = data[width - 1 :: width] if width > 1 else data.translate(_SIGNED)
    both = bytearray(2 * len(high))
    both[0::2], both[1::2] = low[: len(high)], high
    samples = array.array("h", bytes(both))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples
