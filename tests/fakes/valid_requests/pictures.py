"""
Small pictures that every endpoint accepts, and how requests may give them.
"""

import io
from typing import Final

from hypothesis import strategies as st
from PIL import Image


def png(width: int, height: int) -> bytes:
    """
    Return a picture of one colour.
    """
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "PNG")
    return file.getvalue()


PNG: Final = png(400, 300)
URL: Final = "https://pictures.example/cat.png"

PICTURES: Final = st.sampled_from([PNG, URL])

PROMPTS: Final = st.text("a fox über 灯塔\n", min_size=1, max_size=40).filter(str.strip)
