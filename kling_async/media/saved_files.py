"""
Files that were saved.
"""

from pathlib import Path
from typing import TypeAlias

import attrs

from kling_async.wire.tasks import File

__all__ = ["FileKey", "SavedFile", "key_of"]

FileKey: TypeAlias = tuple[str, int]
"""
What identifies a file among those of its task: its kind, and its index among the files of this kind.
"""


def key_of(file: File) -> FileKey:
    """
    Return what identifies a file of a task.
    """
    return file.kind, file.index


@attrs.frozen
class SavedFile:
    """
    A file of a task that was saved.

    Attributes:
        index: Which of the task's files of this kind.
        path: On the disk; None in a storage.
        sha256: Of its content, in hexadecimal digits.
        url: In a storage; None on the disk.
        pickled: What `process=` of `Batch.run` has returned for it; None without one.
        kind: "image", "video" or "audio".
    """

    index: int
    path: Path | None
    size_in_bytes: int
    sha256: str
    url: str | None = None
    pickled: bytes | None = attrs.field(default=None, repr=False)
    kind: str = "image"

    @property
    def key(self) -> FileKey:
        """
        Return what identifies it among the task's files.
        """
        return self.kind, self.index

    @property
    def place(self) -> str:
        """
        Return its path or its URL.
        """
        return str(self.path) if self.url is None else self.url
