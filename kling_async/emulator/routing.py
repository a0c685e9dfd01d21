"""
Maps a method and a path to an operation of the service. All registered endpoints are served.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import attrs

from kling_async.emulator.ledger import Route
from kling_async.wire.calls.call import Call
from kling_async.wire.calls.presets import PRESETS
from kling_async.wire.calls.registry import CALLS
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.registry import endpoints

__all__ = ["Target", "is_path_of_an_endpoint", "target_of"]


@attrs.frozen
class Target:
    """
    The target of a request.

    Attributes:
        route: The operation; None if there is none.
        endpoint: For operations of an endpoint.
        any_id: The part of the path that names a task.
        file_name: The part of the path that names a file of the task.
        model: The part of the path that names a model, in the new standard; None in the legacy one.
        call: For what is answered at once.
    """

    route: Route | None
    endpoint: Endpoint[Any] | None = None
    any_id: str = ""
    file_name: str = ""
    model: str | None = None
    call: Call[Any, Any] | None = None


_FIXED: Final[Mapping[tuple[str, str], Target]] = {
    ("GET", "/tasks"): Target("tasks"),
    **{(call.method, call.path): Target("call", call=call) for call in CALLS},
    **{("GET", preset.path): Target("list", preset) for preset in PRESETS},
}
"""
Targets with a path of their own, by method and path.
"""


def target_of(method: str, raw_path: str, prefix: str = "") -> Target:
    """
    Return the target of a request; *raw_path* is the path as it was sent, *prefix* comes before the paths of endpoints.
    """
    match method, raw_path.split("/"):
        case "GET", ["", "files", any_id, file_name]:
            return Target("download", None, unquote(any_id), unquote(file_name))
    path = raw_path.removeprefix(prefix)
    if not raw_path.startswith(prefix) or method not in ("GET", "POST"):
        return Target(None)
    if (method, path) in _FIXED:
        return _FIXED[method, path]
    start, _, any_id = path.rpartition("/")
    for endpoint in endpoints():
        new = endpoint.new_standard
        if new is not None and start == new.path and any_id and method == "POST":
            return Target("create", endpoint, model=unquote(any_id))
        if path == endpoint.path:
            return Target("create" if method == "POST" else "list", endpoint)
        if start == endpoint.path and any_id and method == "GET":
            return Target("query", endpoint, unquote(any_id))
    return Target(None)


def is_path_of_an_endpoint(path: str) -> bool:
    """
    Return whether *path* is the path of an endpoint, or below it; or that of a call.
    """
    if any(path == fixed for _, fixed in _FIXED if fixed != "/tasks"):
        return True
    return any(path == endpoint.path or path.startswith(f"{endpoint.path}/") for endpoint in endpoints())
