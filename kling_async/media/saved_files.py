"""
What is known of a file that was saved.
"""

from pathlib import Path

import attrs

__all__ = ["SavedFile"]


@attrs.frozen
class SavedFile:
    """
    A file of a task that was saved.

    Attributes:
        index: Of the task's files of this kind.
        path: Where it is on the disk; None in a storage.
        sha256: Of its bytes, in hexadecimal digits.
        url: Where it is in a storage; None on the disk.
        pickled: What a function of yours has made of it, see `Batch.run`; None where none has.
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
    def place(self) -> str:
        """
        Return its path or its URL.
        """
        return str(self.path) if self.url is None else self.url
