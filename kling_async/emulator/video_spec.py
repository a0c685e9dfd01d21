"""
Describes the video that a request asks for: its size, length and sound, and the pictures that it begins and ends with.
"""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

import attrs

__all__ = ["FPS", "VideoSpec", "VideoStopped", "asks_for_sound", "pictures_of", "shots_of", "size_of_video"]

FPS: Final = 24
"""
Frames per second, as in the vendor's videos.
"""

_SHORT_SIDES: Final[Mapping[str, int]] = {"std": 720, "720p": 720, "pro": 1080, "1080p": 1080, "4k": 2160}

Role: TypeAlias = Literal["first", "last", "reference"]
"""
What a picture is for: the first or the last frame, or to be in the video somehow.
"""

_LAST_FRAMES: Final = frozenset({"image_tail", "last_frame"})
_ROLES: Final[Mapping[Any, Role]] = {"first_frame": "first", "end_frame": "last"}
_SOUND_SOURCES: Final = ("sound_file", "audio_id", "audio_url", "audio_file", "face_choose")
_NEVER_SILENT: Final = frozenset({"kling-3.0-turbo"})
_MASKS: Final = frozenset({"static_mask", "dynamic_masks"})
_SMALLEST: Final = 16  # pixels of a side


class VideoStopped(Exception):
    """
    A video is no longer wanted, and was not finished.
    """


@attrs.frozen(kw_only=True)
class VideoSpec:
    """
    A video to make. Equal specs make equal files.

    Attributes:
        width: Pixels; even, because H.264 stores colours at half the resolution.
        height: Pixels; even.
        seconds: Its length, rounded to whole frames.
        has_sound: Whether it has a sound track.
        prompt: What it shows; it is also the caption.
        shots: The prompt and the length of each shot, if there are several; they share `seconds` by their lengths.
        index: Its place in the list of results.
        seed: Chooses what the prompt leaves open.
        model_name: For the caption.
        first_frame: A jpg or png file that the video begins with; None lets it begin with a scene.
        last_frame: A jpg or png file that it ends with.
        tint: A jpg or png file whose colours the scene takes.
        has_watermark: Whether to add the watermark.
        fps: Frames per second.
    """

    width: int
    height: int
    seconds: float
    prompt: str
    shots: tuple[tuple[str, float], ...] = ()
    has_sound: bool = False
    index: int = 0
    seed: int = 0
    model_name: str = ""
    first_frame: bytes | None = attrs.field(default=None, repr=False)
    last_frame: bytes | None = attrs.field(default=None, repr=False)
    tint: bytes | None = attrs.field(default=None, repr=False)
    has_watermark: bool = False
    fps: int = FPS

    @property
    def frames(self) -> int:
        """
        How many frames it has: at least one.
        """
        return max(1, round(self.seconds * self.fps))

    def takes(self) -> tuple["VideoSpec", ...]:
        """
        Return a spec of each shot, without those that are too short for a frame.
        """
        lengths = [seconds for _, seconds in self.shots]
        if not self.shots or min(lengths) < 0 or not sum(lengths):
            return (self,)
        edges = [0, *(round(self.frames * part / sum(lengths)) for part in itertools.accumulate(lengths))]
        frames = [after - before for before, after in itertools.pairwise(edges)]
        takes = [
            attrs.evolve(self, prompt=prompt, seconds=count / self.fps, shots=(), first_frame=None, last_frame=None)
            for (prompt, _), count in zip(self.shots, frames, strict=True)
            if count
        ]
        takes[0] = attrs.evolve(takes[0], first_frame=self.first_frame)
        takes[-1] = attrs.evolve(takes[-1], last_frame=self.last_frame)
        return tuple(takes)


def size_of_video(request: object, picture: tuple[int, int] | None, scale: float) -> tuple[int, int]:
    """
    Return width and height of the video that *request* asks for, both even.

    Args:
        picture: The size of its first picture, whose ratio counts if the request names none; None if it has none.
        scale: Multiplies the sides.
    """
    short = _short_side(request)
    ratio = _ratio(getattr(request, "aspect_ratio", None))
    if ratio is None:
        ratio = picture[0] / picture[1] if picture else 16 / 9
    ratio = min(2.5, max(0.4, ratio))  # the vendor's limits for pictures
    sides = (short * ratio, short) if ratio >= 1 else (short, short / ratio)
    width, height = (max(_SMALLEST, 2 * round(side * scale / 2)) for side in sides)
    return width, height


def _short_side(request: object) -> int:
    words = (getattr(request, name, None) for name in ("resolution", "mode"))
    return next((_SHORT_SIDES[word] for word in words if isinstance(word, str) and word in _SHORT_SIDES), 720)


def _ratio(text: Any) -> float | None:
    across, _, down = text.partition(":") if isinstance(text, str) else ("", "", "")
    return int(across) / int(down) if across.isdecimal() and down.isdecimal() and int(down) else None


def asks_for_sound(request: object, model_name: str = "") -> bool:
    """
    Return whether *request* asks for a sound track, has a sound that its video would play, or runs a model that is
    never silent.
    """
    is_asked_for = getattr(request, "sound", None) in (True, "on")
    is_kept = getattr(request, "keep_original_sound", "no") not in (False, "no")  # None is yes
    is_kept_of_one = any(video.keep_original_sound for video in getattr(request, "video_list", ()))
    is_given = any(getattr(request, name, None) not in (None, ()) for name in _SOUND_SOURCES)
    return is_asked_for or is_kept or is_kept_of_one or is_given or model_name in _NEVER_SILENT


def shots_of(request: object) -> tuple[tuple[str, float], ...]:
    """
    Return the prompt and the length of each shot that *request* describes; nothing if it leaves them to the model.
    """
    return tuple((shot.prompt, float(shot.duration)) for shot in getattr(request, "multi_prompt", None) or ())


def pictures_of(request: object, places: Iterable[str]) -> dict[Role, str]:
    """
    Return the place of the picture that has a role in a video, for each role that one has.

    Args:
        places: Of all pictures of the request, such as "image" or "image_list[0].image".
    """
    found: dict[Role, str] = {}
    for place in places:
        if (role := _role_of(request, place)) is not None:
            found.setdefault(role, place)
    return found


def _role_of(request: object, place: str) -> Role | None:
    field, _, rest = place.partition("[")
    if field in _MASKS:
        return None
    if not rest:
        return "last" if field in _LAST_FRAMES else "first"
    item = getattr(request, field)[int(rest.partition("]")[0])]
    return _ROLES.get(getattr(item, "type", None), "reference")
