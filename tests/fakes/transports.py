"""
Transports to a service, with the key and the answers that their tests use.
"""

from typing import Any

import aiohttp

from kling_async.client.transport import Transport
from kling_async.policy.http import HttpOptions
from kling_async.policy.policies import RetryPolicy
from kling_async.wire.auth import ApiKey, Credentials

BASE = "https://kling.example/kling"
PATH = "/v1/images/generations"
KEY = ApiKey("not-a-real-key-0123456789")
TASK = {"code": 0, "data": {"task_id": "t-1", "task_status": "submitted"}, "request_id": "r-1"}


def transport_to(
    base_url: str = BASE,
    *,
    credentials: Credentials = KEY,
    session: aiohttp.ClientSession | None = None,
    retry: RetryPolicy | None = None,
    **http: Any,
) -> Transport:
    return Transport(
        base_url, HttpOptions(**http), RetryPolicy() if retry is None else retry, 25.0, credentials, session
    )
