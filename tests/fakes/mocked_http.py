"""
aioresponses, made to work with aiohttp 3.14 and to take request bodies as servers do.
"""

import contextlib
import types
from collections.abc import Iterator
from typing import Any, Final
from unittest import mock

import aiohttp
import aioresponses.core


class BridgedResponse(aiohttp.ClientResponse):
    """
    Made as aioresponses makes responses: without the `stream_writer` that aiohttp has asked for since 3.14.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"stream_writer": types.SimpleNamespace(output_size=0), **kwargs})


NO_CONNECTION: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)
"""
What aiohttp raises where it has no connection to which a body could be handed.
"""


_request_mock = aioresponses.core.aioresponses._request_mock


async def _request_and_take_body(mocked: Any, *args: Any, data: Any = None, **kwargs: Any) -> aiohttp.ClientResponse:
    # aioresponses never takes the body that it is given, which would mean that nothing was sent.
    try:
        answer = await _request_mock(mocked, *args, data=data, **kwargs)
    except NO_CONNECTION:
        raise
    except BaseException:
        await take_body(data)
        raise
    await take_body(data)
    return answer


class _OpenConnection:
    # What a body sees of the connection that takes it. (A mock of it would cost more than the rest of a request.)
    transport = types.SimpleNamespace(is_closing=lambda: False)
    protocol = types.SimpleNamespace(should_close=False)

    def __init__(self) -> None:
        self.taken = bytearray()

    async def write(self, piece: bytes) -> None:
        self.taken += piece


async def take_body(body: Any) -> bytes:
    """
    Take the body of a request as a connection does; empty where there is none.
    """
    if not isinstance(body, aiohttp.Payload):
        return b""
    connection = _OpenConnection()
    await body.write(connection)  # type: ignore[arg-type]
    return bytes(connection.taken)


@contextlib.contextmanager
def mocked_http() -> Iterator[aioresponses.aioresponses]:
    """
    Answer all requests of aiohttp sessions from a list of registered answers.
    """
    with (
        mock.patch.object(aioresponses.core, "ClientResponse", BridgedResponse),  # pnuckowski/aioresponses issue 289
        mock.patch.object(aioresponses.core.aioresponses, "_request_mock", _request_and_take_body),
        aioresponses.aioresponses() as mocked,
    ):
        yield mocked
