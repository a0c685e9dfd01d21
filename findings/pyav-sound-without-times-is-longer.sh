#!/usr/bin/env bash
# With PyAV, the length that an MP4 file states for its sound depends on whether the frames carried times.
#
# Versions: PyAV 18.1.0 (FFmpeg 8.1.2).
#
# The same 32,000 samples at 16 kHz (two seconds) are encoded as AAC twice: once with `pts` and `time_base` set on each
# frame, once without, which PyAV takes without a word. With times the file states 2.000 s, and its decoded sound
# leaves out the packet of 1,024 samples by which the encoder starts up. Without times that packet counts as sound: the
# file states 2.064 s and decodes to 1,024 samples more.
#
# One would guess that frames that follow each other without a gap need no times, and that equal samples give files of
# equal length.
#
# What follows: set both on every audio frame, or the sound of a video begins late and outlasts the picture.
#
# Seen output:
#
#     with times: 2.000 s, 32768 samples decoded
#     without times: 2.064 s, 33792 samples decoded
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


def encode(with_times):
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for start in range(0, 32000, 1000):
            frame = av.AudioFrame("fltp", "mono", 1000)
            frame.rate = 16000
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            if with_times:
                frame.pts, frame.time_base = start, fractions.Fraction(1, 16000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(io.BytesIO(file.getvalue())) as container:
        return container.duration / av.time_base, sum(frame.samples for frame in container.decode(audio=0))


timed, untimed = encode(True), encode(False)
print(f"with times: {timed[0]:.3f} s, {timed[1]} samples decoded")
print(f"without times: {untimed[0]:.3f} s, {untimed[1]} samples decoded")
assert (timed, untimed) == ((2.0, 32768), (2.064, 33792))
PY
