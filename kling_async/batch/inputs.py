"""
Reads the input of a batch: validates each request, reads its files, and creates a new row for it.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kling_async.batch.keyed import KEY_MAX, Keyed
from kling_async.batch.records import InputFile, NewRow
from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.media.input_files import Reference, ReferenceCache, read_inputs
from kling_async.wire.endpoints.base import TaskRequest, sources_of, with_sources
from kling_async.wire.endpoints.registry import endpoint_of, request_of
from kling_async.wire.endpoints.rules import HALF_A_PAIR, WHOLE_CHARACTERS

if TYPE_CHECKING:
    from kling_async.client.client import KlingClient

__all__ = ["read_input"]

CHUNK_ROWS: Final = 10_000
CHUNK_CHARACTERS: Final = 2**24
CHUNK_SECONDS: Final = 1.0
"""
A chunk ends when it has this number of rows, or files of this number of characters of Base64, or when reading it has
taken this long: few rows of a slow input wait for the journal. It is large because new keys belong anywhere in their
index: of a million rows each chunk changes most of the index's pages.
"""

CHUNK_ROWS_OF_A_RUN: Final = 1000
"""
The same while the batch runs: what its rows have to write waits for the chunk.
"""

ROWS_AT_A_TIME: Final = 500
"""
Rows that are read in one iteration of the event loop, which takes some milliseconds.
"""

CACHED_FILES: Final = 8
"""
Files that are kept in memory: thousands of requests may share one, which is then read once.
"""


async def read_input(
    requests: Iterable[object] | AsyncIterable[object], client: "KlingClient", is_running: Callable[[], bool]
) -> AsyncIterator[list[NewRow]]:
    """
    Yield the rows of *requests* in chunks, which are smaller while the batch is running. The input is read lazily.

    Raises:
        InvalidRequest: A request breaks rules, all of which are listed. The rows of unfinished chunks are dropped.
    """
    cache = ReferenceCache(CACHED_FILES)
    clock = asyncio.get_running_loop().time
    chunk: list[NewRow] = []
    index = size = 0
    began = clock()
    async for item in _iterate(requests):
        new_row = await _make_row(item, index, client, cache)
        index += 1
        if new_row.inputs:
            size += sum(len(file.base64 or "") for file in new_row.inputs.values())
        chunk.append(new_row)
        rows = CHUNK_ROWS_OF_A_RUN if is_running() else CHUNK_ROWS
        if len(chunk) >= rows or size >= CHUNK_CHARACTERS or clock() - began >= CHUNK_SECONDS:
            yield chunk
            chunk, size, began = [], 0, clock()
        elif not index % ROWS_AT_A_TIME:
            await asyncio.sleep(0)
    if chunk:
        yield chunk


async def _iterate(requests: Iterable[object] | AsyncIterable[object]) -> AsyncIterator[object]:
    if isinstance(requests, AsyncIterable):
        async for item in requests:
            yield item
    else:
        for item in requests:
            yield item


async def _make_row(item: object, index: int, client: "KlingClient", cache: ReferenceCache) -> NewRow:
    key = None
    if isinstance(item, Keyed):
        key, item = item.key, item.request
    broken = list(_broken_key(key))
    try:
        request: TaskRequest = request_of(item)
    except InvalidRequest:
        what = "must be a prompt, a request such as an ImageRequest, or a Keyed one"
        raise _refusal(index, [*broken, BrokenRule("request", f"<{type(item).__name__}>", what)]) from None
    references, broken_rules = await read_inputs(request, client.dialect, cache)
    broken += broken_rules
    try:
        client.slots.check(endpoint_of(type(request)).slots(request))
    except InvalidRequest as error:
        broken += error.broken
    except Exception:
        if not broken:  # the slots of a request with broken rules may be undefined
            raise
    if broken:
        raise _refusal(index, broken)
    return _row_of(request, key, references)


def _refusal(index: int, broken: Sequence[BrokenRule]) -> InvalidRequest:
    reasons = "; ".join(map(str, broken))
    return InvalidRequest(f"request {index} (from 0) cannot be added: {reasons}", broken=tuple(broken))


def _row_of(request: TaskRequest, key: str | None, references: Mapping[str, Reference]) -> NewRow:
    if not references:
        return NewRow(request=request, key=key)
    inputs: dict[str, InputFile] = {}
    endpoint = endpoint_of(type(request))
    sources = sources_of(endpoint, request)
    for place, reference in references.items():
        if reference.sha256 is not None:  # otherwise it is a URL
            is_kept = not isinstance(sources[place], Path)
            inputs[place] = InputFile(reference.sha256, is_kept, reference.text if is_kept else None)
    kept = [place for place, file in inputs.items() if file.is_kept]
    return NewRow(request=with_sources(endpoint, request, dict.fromkeys(kept, b"")), key=key, inputs=inputs)


def _broken_key(key: object) -> Iterator[BrokenRule]:
    if key is None:
        return
    if not isinstance(key, str) or not key.strip() or len(key) > KEY_MAX:
        yield BrokenRule("key", repr(key)[:50], f"must be text of 1 to {KEY_MAX} characters, not all blank")
    elif HALF_A_PAIR.search(key):
        yield BrokenRule("key", repr(key)[:50], WHOLE_CHARACTERS)
