#!/usr/bin/env bash
# imagesize 2.0.1 turns the sides of a JPEG, leaves those of a PNG or WebP, and finds none in an AVIF.
#
# Versions: imagesize 2.0.1, Pillow 13.0.0.
#
# Pillow writes a picture of 60 x 40 with orientation 6 ("turn by a quarter") in four formats, and reads each back as
# 40 x 60 when asked to turn it. imagesize turns by default, but looks for the orientation in JPEG, TIFF and HEIF files
# only. In an AVIF file the turn is a box of its own (`irot`) with one byte in it; imagesize asks for five and gives
# (-1, -1), also for a picture that is turned by 180 degrees and with `exif_rotation=False`. AVIF without a turn is
# read.
#
# One would guess that a turn counts in all formats or in none, and that a file without a damage has a size.
#
# What follows: a check of sides or of their ratio has to allow for both orders, and (-1, -1) does not mean a bad file.
#
# Seen output:
#
#     JPEG: Pillow (40, 60), imagesize (40, 60)
#     PNG: Pillow (40, 60), imagesize (60, 40)
#     WEBP: Pillow (40, 60), imagesize (60, 40)
#     AVIF: Pillow (40, 60), imagesize (-1, -1)
#     AVIF, not turned: Pillow (60, 40), imagesize (60, 40)
#
# Ends with another code than 0 where imagesize behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "imagesize==2.0.1" "Pillow==13.0.0"
cat > "$folder/program.py" <<'PY'
import io

import imagesize
from PIL import Image, ImageOps


def sides(format_name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.new("RGB", (60, 40), "red").save(file, format_name, exif=exif)
    turned = ImageOps.exif_transpose(Image.open(io.BytesIO(file.getvalue())))
    return f"Pillow {turned.size}, imagesize {imagesize.get(io.BytesIO(file.getvalue()))}"


for format_name in ("JPEG", "PNG", "WEBP", "AVIF"):
    print(f"{format_name}: {sides(format_name, 6)}")
print("AVIF, not turned:", sides("AVIF", 1))
PY
"$folder/venv/bin/python" "$folder/program.py" | tee "$folder/output"
diff - "$folder/output" <<'EXPECTED'
JPEG: Pillow (40, 60), imagesize (40, 60)
PNG: Pillow (40, 60), imagesize (60, 40)
WEBP: Pillow (40, 60), imagesize (60, 40)
AVIF: Pillow (40, 60), imagesize (-1, -1)
AVIF, not turned: Pillow (60, 40), imagesize (60, 40)
EXPECTED
