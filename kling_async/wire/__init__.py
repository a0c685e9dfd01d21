"""
The protocol as values: no waiting, no sockets, no files, no clock.

For programs that use their own HTTP client, or check a request before they queue it: `broken_rules` and
`write_request` on the way out, `read_created` and `read_snapshot` on the way in. The values themselves are in
`kling_async`.
"""

from kling_async.wire.codec import read_request, read_task, write_request, write_task
from kling_async.wire.dialects import dialect_of
from kling_async.wire.endpoints.base import Endpoint, NewStandard, TaskRequest
from kling_async.wire.endpoints.inputs import FileFacts, FileInput, FileSource
from kling_async.wire.endpoints.registry import (
    broken_rules,
    endpoint_named,
    endpoint_of,
    endpoints,
    register,
    registered,
)
from kling_async.wire.http_answer import Answer
from kling_async.wire.responses import read_created, read_page, read_snapshot
from kling_async.wire.status import is_final, merge

__all__ = [
    "Answer",
    "Endpoint",
    "FileFacts",
    "FileInput",
    "FileSource",
    "NewStandard",
    "TaskRequest",
    "broken_rules",
    "dialect_of",
    "endpoint_named",
    "endpoint_of",
    "endpoints",
    "is_final",
    "merge",
    "read_created",
    "read_page",
    "read_request",
    "read_snapshot",
    "read_task",
    "register",
    "registered",
    "write_request",
    "write_task",
]
