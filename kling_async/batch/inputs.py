"""
Reads the input of a batch: validates each request, reads its reference image, and makes a new row of it.
"""

import collections
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Final

import attrs

from kling_async.batch.records import KEY_MAX, NewRow
from kling_async.client.client import KlingClient
from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.media.references import Reference, read_reference
from kling_async.wire.dialects import HALF_A_PAIR, WHOLE_CHARACTERS, broken_rules
from kling_async.wire.tasks import ImageRequest, ImageSource

__all__ = ["Keyed", "read_input"]

CHUNK_ROWS: Final = 500
CHUNK_CHARACTERS: Final = 2**24
"""
A chunk ends when it has this many rows, or reference images of this many characters of Base64.
"""

CACHED_REFERENCES: Final = 8
"""
Reference images that are kept in memory: thousands of requests may share one, which is then read once.
"""


@attrs.frozen
class Keyed:
    """
    A request with a key of your own: one key is one request, however often it is added to a journal.

    Attributes:
        key: At most 200 characters; files can be named by it.
    """

    request: ImageRequest | str
    key: str


async def read_input(
    requests: Iterable[object] | AsyncIterable[object], client: KlingClient
) -> AsyncIterator[list[NewRow]]:
    """
    Yield the rows of *requests* in chunks. The input is read lazily.

    Raises:
        InvalidRequest: A request breaks rules, all of which are listed. The rows of unfinished chunks are dropped.
    """
    references = _ReferenceCache(client.dialect.image_max_bytes)
    chunk: list[NewRow] = []
    index = size = 0
    async for item in _iterate(requests):
        new_row = await _make_row(item, index, client, references)
        index += 1
        size += len(new_row.image_base64 or "")
        chunk.append(new_row)
        if len(chunk) >= CHUNK_ROWS or size >= CHUNK_CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


async def _iterate(requests: Iterable[object] | AsyncIterable[object]) -> AsyncIterator[object]:
    if isinstance(requests, AsyncIterable):
        async for item in requests:
            yield item
    else:
        for item in requests:
            yield item


class _ReferenceCache:
    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._references: collections.OrderedDict[object, Reference] = collections.OrderedDict()

    async def read(self, image: ImageSource) -> Reference:
        if not isinstance(image, str | Path | bytes):  # no image: this raises the error that says so
            return await read_reference(image, max_bytes=self._max_bytes)
        if image not in self._references:
            self._references[image] = await read_reference(image, max_bytes=self._max_bytes)
            if len(self._references) > CACHED_REFERENCES:
                self._references.popitem(last=False)
        return self._references[image]


async def _make_row(item: object, index: int, client: KlingClient, references: _ReferenceCache) -> NewRow:
    key = None
    if isinstance(item, Keyed):
        key, item = item.key, item.request
    request = ImageRequest(item) if isinstance(item, str) else item
    broken = list(_broken_key(key))
    reference = None
    if not isinstance(request, ImageRequest):
        what = "must be a prompt, an ImageRequest, or a Keyed one"
        broken.append(BrokenRule("request", f"<{type(request).__name__}>", what))
    else:
        if request.image is not None:
            try:
                reference = await references.read(request.image)
            except InvalidRequest as error:
                broken += error.broken
        broken += broken_rules(client.dialect, request, reference.facts if reference else None)
        if not any(rule.field == "n" for rule in broken):
            try:
                client.slots.check(request.n)
            except InvalidRequest as error:
                broken += error.broken
    if broken or not isinstance(request, ImageRequest):
        reasons = "; ".join(map(str, broken))
        raise InvalidRequest(f"request {index} (from 0) cannot be added: {reasons}", broken=tuple(broken))
    return _row_of(request, key, reference)


def _row_of(request: ImageRequest, key: str | None, reference: Reference | None) -> NewRow:
    if reference is None or reference.sha256 is None:
        return NewRow(request=request, key=key)
    if isinstance(request.image, Path):
        return NewRow(request=request, key=key, image_sha256=reference.sha256)
    request = attrs.evolve(request, image=None)
    return NewRow(request=request, key=key, image_sha256=reference.sha256, image_base64=reference.text)


def _broken_key(key: object) -> Iterator[BrokenRule]:
    if key is None:
        return
    if not isinstance(key, str) or not key.strip() or len(key) > KEY_MAX:
        yield BrokenRule("key", repr(key)[:50], f"must be text of 1 to {KEY_MAX} characters, not all blank")
    elif HALF_A_PAIR.search(key):
        yield BrokenRule("key", repr(key)[:50], WHOLE_CHARACTERS)
