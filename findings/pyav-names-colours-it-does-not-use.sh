#!/usr/bin/env bash
# PyAV writes the name of a colour matrix into a video and converts the pictures by another one.
#
# Versions: PyAV 18.1.0 (FFmpeg 8.1.2), Pillow 13.0.0.
#
# RGB pictures are encoded as H.264. `codec_context.colorspace` is set to BT.709, the usual one for HD, as a caller
# does who wants players to show right colours. The file then says BT.709, but the pictures were converted by BT.601 on
# their way into the encoder. Read back by what the file says, (200, 40, 40) is another red. Without the setting the
# colour is right but for rounding; the converter takes an unnamed frame for BT.601 at every size, HD too.
#
# One would guess that an encoder that is told its colour matrix is fed by that matrix.
#
# What follows: convert first, by `frame.reformat(format="yuv420p", dst_colorspace="ITU709")`, and set the name
# besides.
#
# Seen output:
#
#     not named: (198, 39, 38)
#     named BT.709: (212, 54, 36)
#     converted and named: (199, 39, 40)
#
# Ends with another code than 0 where this is otherwise; differences of 3 are allowed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "av==18.1.0" "Pillow==13.0.0"
"$folder/venv/bin/python" - <<'PY'
import io

import av
from av.video.reformatter import Colorspace
from PIL import Image

RED = (200, 40, 40)
BT709 = Colorspace.ITU709


def colour_after(named, converted):
    frame = av.VideoFrame.from_image(Image.new("RGB", (1280, 720), RED))
    if converted:
        frame = frame.reformat(format="yuv420p", dst_colorspace=BT709)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        if named:
            stream.codec_context.colorspace = BT709
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(io.BytesIO(file.getvalue())) as container:
        decoded = next(container.decode(video=0))
        assert (decoded.colorspace == BT709) == named
        return decoded.to_image().getpixel((640, 360))


def distance(colour):
    return max(abs(one - other) for one, other in zip(colour, RED))


plain, named, converted = colour_after(False, False), colour_after(True, False), colour_after(True, True)
print("not named:", plain)
print("named BT.709:", named)
print("converted and named:", converted)
assert distance(plain) <= 3 and distance(converted) <= 3 and distance(named) >= 10
PY
