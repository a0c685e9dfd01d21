"""
What is said of errors of HTTP.
"""

from unittest.mock import Mock

import aiohttp
import pytest

from kling_async.media.responses import describe_http_error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            aiohttp.ClientResponseError(
                Mock(), (), status=400, message="Got more than 9 bytes when reading: b'secret'"
            ),
            "the head of the answer cannot be read (Got more than 9 bytes)",
        ),
        (
            aiohttp.ClientHttpProxyError(
                Mock(real_url="http://user:secret@proxy"), (), status=400, message="Bad Request"
            ),
            "the proxy answered 400 Bad Request",
        ),
        (aiohttp.ServerDisconnectedError("gone"), "gone"),
    ],
)
def test_texts(error: Exception, text: str) -> None:
    """
    What was read, and the proxy's URL, are left out; only the parser's own 400 is about the head of the answer.
    """
    assert text == describe_http_error(error)
