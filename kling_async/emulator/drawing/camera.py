"""
Makes the frames of a video from one picture, by moving a camera over it.
"""

from PIL import Image

__all__ = ["camera_frames"]


def camera_frames(image: Image.Image, count: int) -> list[Image.Image]:
    """
    Return *count* frames that show most of *image*, from its upper left to its lower right. Their sides are even.
    """
    width, height = (max(2, side // 2 * 2) for side in image.size)
    shown = 0.9  # of each side
    frames = []
    for place in range(count):
        share = (1 - shown) * place / max(1, count - 1)
        left, top = image.width * share, image.height * share
        box = (left, top, left + image.width * shown, top + image.height * shown)
        frames.append(image.resize((width, height), Image.Resampling.BILINEAR, box))
    return frames
