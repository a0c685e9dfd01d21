"""
The files that tasks make: their names, and the signed URLs under which the service offers them.
"""

import hmac
import math
import re
from typing import Final

import attrs

from kling_async.emulator.task_record import TaskRecord
from kling_async.wire.endpoints.base import ResultList

__all__ = ["FileUrls", "ResultFile"]

_KINDS: Final[dict[str, ResultList]] = {"png": "images", "mp4": "videos", "mp3": "audios", "wav": "audios"}
_SUFFIXES: Final[dict[ResultList, str]] = {"images": "png", "videos": "mp4", "audios": "mp3"}
_CONTENT_TYPES: Final = {"png": "image/png", "mp4": "video/mp4", "mp3": "audio/mpeg", "wav": "audio/wav"}

_NAME: Final = re.compile(r"(?P<index>[0-9]{1,3})(?P<mark>-watermark)?\.(?P<suffix>png|mp4|mp3|wav)")


@attrs.frozen
class ResultFile:
    """
    One file of a task.

    Attributes:
        kind: The result list that it is in.
        index: Its place in the list; counts from 0.
        has_watermark: Whether it is the copy with the vendor's watermark.
        is_wav: Whether it is the uncompressed copy of a sound.
    """

    kind: ResultList
    index: int
    has_watermark: bool = False
    is_wav: bool = False

    @property
    def name(self) -> str:
        """
        Its name in URLs.
        """
        return f"{self.index}{'-watermark' if self.has_watermark else ''}.{self._suffix}"

    @property
    def content_type(self) -> str:
        """
        Its media type.
        """
        return _CONTENT_TYPES[self._suffix]

    @property
    def _suffix(self) -> str:
        return "wav" if self.is_wav else _SUFFIXES[self.kind]

    @classmethod
    def named(cls, name: str) -> "ResultFile | None":
        """
        Return the file with this name; None if no file has such a name.
        """
        parts = _NAME.fullmatch(name)
        if parts is None:
            return None
        suffix = parts["suffix"]
        return cls(_KINDS[suffix], int(parts["index"]), parts["mark"] is not None, suffix == "wav")


class FileUrls:
    """
    Signs the URLs of files, and checks the signatures.

    Attributes:
        origin: Scheme, host and port of the URLs.
    """

    def __init__(self, origin: str, *, seed: int, lifetime: float) -> None:
        self.origin = origin
        self._secret = f"{seed} picture urls".encode()
        self._lifetime = lifetime
        self._valid_from: dict[str, int] = {}

    def url_of(self, record: TaskRecord, file: ResultFile, now: float) -> str:
        """
        Return a URL that is valid at *now*.
        """
        expires = self._expiry(record, now)
        signature = self._sign(record.task_id, file.name, expires)
        return f"{self.origin}/files/{record.task_id}/{file.name}?Expires={expires}&Signature={signature}"

    def find(self, url: str) -> tuple[str, ResultFile] | None:
        """
        Return the task id and the file that *url* belongs to, valid or not; None if it leads elsewhere.
        """
        path = url.removeprefix(f"{self.origin}/files/")
        task_id, _, name = path.partition("?")[0].partition("/")
        file = ResultFile.named(name)
        return None if path == url or file is None else (task_id, file)

    def accepts(self, record: TaskRecord, file: ResultFile, expires: str, signature: str, now: float) -> bool:
        """
        Return whether a URL is signed by this service and still valid.
        """
        if not expires.isdecimal() or len(expires) > 18:
            return False
        right = self._sign(record.task_id, file.name, int(expires))
        if not hmac.compare_digest(signature.encode(), right.encode()):
            return False
        return now < int(expires) and int(expires) >= self._valid_from.get(record.task_id, 0)

    def expire(self, record: TaskRecord, now: float) -> None:
        """
        Invalidate all URLs of a task up to now; the next read of the task shows new ones.
        """
        self._valid_from[record.task_id] = self._expiry(record, now) + 1

    def _expiry(self, record: TaskRecord, now: float) -> int:
        # Counted from the end of the task, like the vendor's. A later read still gets a valid URL.
        ends = record.done_at + self._lifetime
        return max(math.ceil(ends if now < ends else now + self._lifetime), self._valid_from.get(record.task_id, 0))

    def _sign(self, task_id: str, name: str, expires: int) -> str:
        return hmac.new(self._secret, f"{task_id}/{name}/{expires}".encode(), "sha256").hexdigest()
