"""
Files on the local disk.
"""

import errno
from typing import Final

__all__ = ["NO_ROOM"]

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""
Error numbers of a disk that is full, or of a user who may take no more of it.
"""
