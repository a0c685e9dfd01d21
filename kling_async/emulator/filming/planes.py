"""
Pictures in the colours of video: a plane of brightness, and two of colour at half the resolution.

Pillow does to single planes what it cannot do to whole frames of video; both copy only what they change.
"""

from typing import Final, NamedTuple

from av import VideoFrame
from av.video.plane import VideoPlane
from PIL import Image

__all__ = ["BLACK", "NEUTRAL", "PIXELS", "WHITE", "Planes", "brightness", "replace_rows", "rows_of"]

PIXELS: Final = "yuv420p"
BLACK: Final = 16
WHITE: Final = 235  # of the brightness, by BT.709
NEUTRAL: Final = 128  # of both colours


def brightness(colour: tuple[int, int, int]) -> int:
    """
    Return the brightness of a colour, by BT.709.
    """
    red, green, blue = colour
    return round(BLACK + (0.2126 * red + 0.7152 * green + 0.0722 * blue) * (WHITE - BLACK) / 255)


class Planes(NamedTuple):
    """
    The three planes of a picture with even sides.
    """

    luma: Image.Image
    blue: Image.Image
    red: Image.Image

    @classmethod
    def of(cls, image: Image.Image) -> "Planes":
        """
        Convert an RGB image.
        """
        whole = VideoFrame(image.width, image.height, "rgb24")
        _fill(whole.planes[0], image)
        return cls.of_frame(whole.reformat(format=PIXELS, dst_colorspace="ITU709", dst_color_range="MPEG"))

    @classmethod
    def of_frame(cls, frame: VideoFrame) -> "Planes":
        """
        Copy a frame.
        """
        return cls(*(rows_of(plane, 0, plane.height) for plane in frame.planes))

    def frame(self) -> VideoFrame:
        """
        Return a frame with a copy of the planes.
        """
        made = VideoFrame(*self.luma.size, PIXELS)
        for plane, image in zip(made.planes, self, strict=True):
            _fill(plane, image)
        return made

    def crop(self, box: tuple[int, int, int, int]) -> "Planes":
        """
        Return a copy of a part. Its sides may be odd; the colours then begin half a pixel away, which is not visible.
        """
        left, top, right, bottom = box
        width, height = (right - left + 1) // 2, (bottom - top + 1) // 2
        half = (left // 2, top // 2, left // 2 + width, top // 2 + height)
        return Planes(self.luma.crop(box), self.blue.crop(half), self.red.crop(half))


def rows_of(plane: VideoPlane, top: int, bottom: int) -> Image.Image:
    """
    Copy some rows of a plane.
    """
    part = memoryview(plane)[top * plane.line_size : bottom * plane.line_size]
    return Image.frombytes("L", (plane.width, bottom - top), part.tobytes(), "raw", "L", plane.line_size)


def replace_rows(plane: VideoPlane, top: int, rows: Image.Image) -> None:
    """
    Replace the rows from *top* on.
    """
    size = plane.line_size
    memoryview(plane)[top * size : (top + rows.height) * size] = _padded(rows, size).tobytes()


def _fill(plane: VideoPlane, image: Image.Image) -> None:
    plane.update(_padded(image, plane.line_size // len(image.getbands())).tobytes())


def _padded(image: Image.Image, width: int) -> Image.Image:
    return image if image.width == width else image.crop((0, 0, width, image.height))
