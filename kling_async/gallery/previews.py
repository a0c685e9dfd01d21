"""
Makes the small picture that a page shows of each file: a thumbnail, a frame of a video, the waveform of a sound.
"""

import base64
from pathlib import Path
from typing import Final, Literal, TypeAlias

import attrs

from kling_async.gallery.media_decoding import decode_frame, decode_sound
from kling_async.gallery.media_facts import MediaFacts, read_media
from kling_async.gallery.thumbnails import SIDE, embed_picture, make_thumbnail
from kling_async.gallery.waveforms import draw_waveform, peaks_of, read_wav_peaks

__all__ = ["FileKind", "Preview", "embed_media", "make_preview"]

FileKind: TypeAlias = Literal["image", "video", "audio"]

_SUBTYPES: Final = {"matroska": "webm", "mp3": "mpeg"}  # of MIME types, where they are not the names of formats


@attrs.frozen
class Preview:
    """
    What a page shows of a file before it is opened.

    Attributes:
        picture: As a `data:` URL; the picture of a sound is a mask. None if it takes PyAV, which is not installed, or
            cannot be made.
        size: Width and height of the file in pixels, as it is displayed.
        seconds: Length of a video or a sound.
    """

    kind: FileKind
    picture: str | None = None
    size: tuple[int, int] | None = None
    seconds: float | None = None


def make_preview(path: Path) -> Preview:
    """
    Make the preview of the file at *path*, whose content decides what it is.

    Raises:
        ValueError: The file is missing, or is not a picture, a video or a sound.
    """
    media = read_media(path)
    if media is None:
        thumbnail = make_thumbnail(path)
        return Preview("image", thumbnail.data_url, (thumbnail.width, thumbnail.height))
    return _preview_video(path, media) if media.kind == "video" else _preview_sound(path, media)


def embed_media(path: Path) -> str:
    """
    Return the video or sound at *path* as a `data:` URL.

    Raises:
        OSError: It cannot be read.
        ValueError: It is neither.
    """
    media = read_media(path)
    if media is None:
        raise ValueError("The file is not a video or a sound")
    subtype = _SUBTYPES.get(media.container, media.container)
    return f"data:{media.kind}/{subtype};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _preview_video(path: Path, media: MediaFacts) -> Preview:
    frame = decode_frame(path, media.container, SIDE)
    if frame is None:
        return Preview("video", None, media.size, media.seconds)
    return Preview("video", embed_picture(frame.image), frame.size, media.seconds or frame.seconds)


def _preview_sound(path: Path, media: MediaFacts) -> Preview:
    if media.container == "wav" and (peaks := read_wav_peaks(path)):
        return Preview("audio", draw_waveform(peaks), None, media.seconds)
    sound = decode_sound(path, media.container)
    if sound is None:
        return Preview("audio", None, None, media.seconds)
    return Preview("audio", draw_waveform(peaks_of(sound.samples)), None, media.seconds or sound.seconds)
