#!/usr/bin/env bash
# The header of an MP3 file counts itself in its number of bytes, and not in its number of frames.
#
# Versions: PyAV 18.1.0 (FFmpeg 8.1.2 with LAME).
#
# An MP3 file of FFmpeg begins with a silent frame that holds a header ("Info", or "Xing" for a variable bit rate) with
# the number of frames and the number of bytes. One second of sound gives a file of 41 frames and 8,541 bytes. The
# header says 40 frames and 8,541 bytes: the frame in which it stands is left out of the first and part of the second.
#
# One would guess that two numbers in one header count the same thing.
#
# What follows: a check that walks the frames, the first one included, and compares their number with the header takes
# a file for whole whose last frame is missing. The number of bytes shows it.
#
# Seen output:
#
#     whole: 41 frames, 8541 bytes
#     header: 40 frames, 8541 bytes
#     without its last frame: 40 frames, 8332 bytes
#
# Ends with another code than 0 where this is otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "av==18.1.0"
"$folder/venv/bin/python" - <<'PY'
import fractions
import io

import av

KBITS = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]


def make_mp3():
    file = io.BytesIO()
    with av.open(file, "w", format="mp3", options={"id3v2_version": "0"}) as container:
        stream = container.add_stream("libmp3lame", rate=44100, layout="mono")
        for start in range(0, 44100, 1152):
            frame = av.AudioFrame("s16p", "mono", min(1152, 44100 - start))
            frame.rate, frame.pts, frame.time_base = 44100, start, fractions.Fraction(1, 44100)
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def frame_starts(data):
    starts = [0]
    while starts[-1] < len(data):
        flags = data[starts[-1] + 2]
        starts.append(starts[-1] + 144_000 * KBITS[flags >> 4] // 44100 + (flags >> 1 & 1))
    assert starts.pop() == len(data)
    return starts


data = make_mp3()
starts = frame_starts(data)
at = data.index(b"Info")
stated = int.from_bytes(data[at + 8 : at + 12]), int.from_bytes(data[at + 12 : at + 16])
print(f"whole: {len(starts)} frames, {len(data)} bytes")
print(f"header: {stated[0]} frames, {stated[1]} bytes")
print(f"without its last frame: {len(starts) - 1} frames, {starts[-1]} bytes")
assert stated == (len(starts) - 1, len(data))
PY
