"""
Reads the input of a batch: validates each request, reads its reference image, and makes a new row of it.
"""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Final

import attrs

from kling_async.batch.records import KEY_MAX, NewRow
from kling_async.client.client import KlingClient
from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.media.references import Reference, ReferenceCache, read_inputs
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.endpoints.rules import HALF_A_PAIR, WHOLE_CHARACTERS

__all__ = ["Keyed", "read_input"]

CHUNK_ROWS: Final = 500
CHUNK_CHARACTERS: Final = 2**24
"""
A chunk ends when it has this many rows, or reference images of this many characters of Base64.
"""

CACHED_FILES: Final = 8
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
    cache = ReferenceCache(CACHED_FILES)
    chunk: list[NewRow] = []
    index = size = 0
    async for item in _iterate(requests):
        new_row = await _make_row(item, index, client, cache)
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


async def _make_row(item: object, index: int, client: KlingClient, cache: ReferenceCache) -> NewRow:
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
        references, more = await read_inputs(request, client.dialect, cache)
        reference = references.get("image")
        broken += more
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
