"""
Requests to the service: one session, a bound of our own on requests at a time, and `backoff` around what may be repeated.
"""

import ssl
from typing import Final

import attrs

from kling_async import __version__

USER_AGENT: Final = f"kling-async/{__version__}"


@attrs.frozen(kw_only=True)
class HttpOptions:
    """
    How connections are made.

    Attributes:
        trust_env: Whether to use `HTTPS_PROXY` and its kin, and `~/.netrc` for proxies.
        proxy: URL of an HTTP proxy, used for every request.
        ssl: True checks certificates against the system's; a context brings its own rules; False checks nothing.
        connect_timeout: Seconds to make a connection, TLS included.
        read_timeout: Seconds without a byte from the service.
        max_connections: Requests to the service at one time; more wait, with no clock running.
        user_agent: What the service is told of us.
    """

    trust_env: bool = False
    proxy: str | None = attrs.field(default=None, repr=False)
    ssl: ssl.SSLContext | bool = True
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    max_connections: int = 16
    user_agent: str = USER_AGENT
