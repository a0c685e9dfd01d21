#!/usr/bin/env bash
# Pillow 13.0.0 clips 16-bit grey pictures where it converts them to 8 bits; it does not scale them.
#
# A 16-bit grey PNG of a middle grey (32768 of 65535) opens in mode "I;16". Viewers show it as a middle grey. `convert("L")`
# and `convert("RGB")` give 255, which is white, because every value above 255 is clipped. Seen output:
#
#     mode I;16, value 32768, convert("L") 255, convert("RGB") (255, 255, 255)
#
# A program that makes thumbnails of such files has to scale the values itself, for example by
# image.convert("I").point(lambda value: value * (255 / 65535) + 0.5).convert("L"), which gives 128.
#
# Ends with another code than 0 where Pillow behaves otherwise.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "pillow==13.0.0"
cd "$work"
"$work/venv/bin/python" - <<'PY'
from PIL import Image

Image.new("I;16", (4, 4), 32768).save("grey.png")
with Image.open("grey.png") as picture:
    picture.load()
grey, colour = picture.convert("L").getpixel((0, 0)), picture.convert("RGB").getpixel((0, 0))
scaled = picture.convert("I").point(lambda value: value * (255 / 65535) + 0.5).convert("L").getpixel((0, 0))
print(f'mode {picture.mode}, value {picture.getpixel((0, 0))}, convert("L") {grey}, convert("RGB") {colour}')
assert (picture.mode, grey, colour, scaled) == ("I;16", 255, (255, 255, 255), 128)
PY
