"""
Decides whether a download that broke may continue where it stopped (RFC 9110, sections 13 and 14). No I/O.

Parts of two versions of a file must never be joined, and servers differ in what they check: aiohttp and moto ignore an
`ETag` in `If-Range`, Starlette ignores `If-Match`, and Python's `http.server` sends the whole file whatever is asked
for. So both headers are sent, and the answer is compared with the first part as well.
"""

import datetime as dt
import enum
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import attrs

__all__ = ["FileVersion", "Resumption", "judge"]

_ETAG: Final = re.compile(r'"[!#-~]{1,256}"')
_DATE_MAX: Final = 40  # characters
_SETTLED_AFTER: Final = dt.timedelta(seconds=60)
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(?:(\d{1,18})|\*)", re.ASCII)
_UNSATISFIED: Final = re.compile(r"bytes \*/(\d{1,18})", re.ASCII)


class Resumption(enum.Enum):
    """
    What the answer to a request for the rest of a file means: it has the rest (`CONTINUES`), there is none
    (`AT_THE_END`), it has the file from the beginning (`WHOLE`), or the file has or may have changed (`IMPOSSIBLE`).
    """

    CONTINUES = enum.auto()
    AT_THE_END = enum.auto()
    WHOLE = enum.auto()
    IMPOSSIBLE = enum.auto()


@attrs.frozen
class FileVersion:
    """
    What a server says about a file that shows whether a later answer is the same version.

    Only a strong `ETag` identifies content. A weak one, or one that is no valid `ETag`, rules resuming out: RFC 9110
    (13.1.5) then forbids the date, too. Without any, a `Last-Modified` is good enough if the size is known and the
    server's clock was at least a minute later when it answered: within the same second, a file may change twice.

    Attributes:
        etag: None if there is none.
        last_modified: As the server wrote it; used only if there is no `etag`.
        size: Of the whole file; None if unknown.
    """

    etag: str | None
    last_modified: str | None = None
    size: int | None = None

    @classmethod
    def of(cls, headers: Mapping[str, str], size: int | None) -> "FileVersion | None":
        """
        Return the version that an answer with the whole file describes; None if the file cannot be resumed.
        """
        if headers.get("Accept-Ranges", "").strip().lower() == "none" or _is_encoded(headers):
            return None
        etag = headers.get("ETag")
        if etag is not None:
            return cls(etag, size=size) if _ETAG.fullmatch(etag) else None
        date = headers.get("Last-Modified", "")
        return cls(None, date, size) if size is not None and _is_settled(date, headers.get("Date", "")) else None

    def headers(self, start: int) -> dict[str, str]:
        """
        Return headers that ask for the bytes from *start* on, if the file is still this version.
        """
        asked = {"Range": f"bytes={start}-"}
        if self.etag is not None:
            return asked | {"If-Range": self.etag, "If-Match": self.etag}
        date = self.last_modified or ""
        return asked | {"If-Range": date, "If-Unmodified-Since": date}

    def matches(self, headers: Mapping[str, str]) -> bool:
        """
        Return whether an answer says that it is of this version.
        """
        if self.etag is not None:
            return headers.get("ETag") == self.etag
        return headers.get("Last-Modified") == self.last_modified and "ETag" not in headers


def judge(version: FileVersion, start: int, status: int, headers: Mapping[str, str]) -> Resumption | None:
    """
    Return what the answer to `FileVersion.headers` means; None if it is no answer to that, such as a 503.

    A 416 is not a failure by itself: it may mean that all bytes have arrived. It counts only with the same size, which
    moto, for one, does not state.
    """
    match status:
        case HTTPStatus.PARTIAL_CONTENT:
            return Resumption.CONTINUES if _is_rest(version, start, headers) else Resumption.IMPOSSIBLE
        case HTTPStatus.OK | HTTPStatus.NON_AUTHORITATIVE_INFORMATION:
            return Resumption.WHOLE
        case HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            found = _UNSATISFIED.fullmatch(headers.get("Content-Range", "").strip())
            is_end = found is not None and int(found[1]) == start and version.size in (None, start)
            is_other = "ETag" in headers and not version.matches(headers)
            return Resumption.AT_THE_END if is_end and not is_other else Resumption.IMPOSSIBLE
        case HTTPStatus.PRECONDITION_FAILED:
            return Resumption.IMPOSSIBLE
        case _:
            return None


def _is_rest(version: FileVersion, start: int, headers: Mapping[str, str]) -> bool:
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if found is None or _is_encoded(headers) or not version.matches(headers):
        return False
    first, last, size = int(found[1]), int(found[2]), found[3]
    is_of_this_size = version.size in (None, int(size)) if size is not None else version.size == last + 1
    length = str(last - first + 1)
    return first == start <= last and is_of_this_size and headers.get("Content-Length", length) == length


def _is_encoded(headers: Mapping[str, str]) -> bool:
    return headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity")


def _is_settled(modified: str, answered: str) -> bool:
    try:
        if max(len(modified), len(answered)) > _DATE_MAX:
            return False
        return parsedate_to_datetime(answered) - parsedate_to_datetime(modified) >= _SETTLED_AFTER
    except (TypeError, ValueError):  # no dates, or one of them without a zone
        return False
