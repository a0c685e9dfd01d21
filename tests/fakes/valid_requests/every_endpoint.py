"""
For each endpoint an example of a request and a strategy of valid ones: the module that is named like the endpoint.
"""

import importlib
from types import ModuleType
from typing import Any, Final

from hypothesis import strategies as st

from kling_async.wire import Endpoint, endpoints

ENDPOINTS: Final = endpoints()
NAMES: Final = [endpoint.name for endpoint in ENDPOINTS]


def _module_of(endpoint: Endpoint[Any]) -> ModuleType:
    return importlib.import_module(f"tests.fakes.valid_requests.{endpoint.name.replace('-', '_')}")


def example_of(endpoint: Endpoint[Any]) -> Any:
    """
    Return a request of *endpoint*.
    """
    return _module_of(endpoint).EXAMPLE


def requests_of(endpoint: Endpoint[Any]) -> st.SearchStrategy[Any]:
    """
    Return a strategy of requests that break no rule of the vendor's own API.
    """
    strategy: st.SearchStrategy[Any] = _module_of(endpoint).REQUESTS
    return strategy


def why_unpriced(endpoint: Endpoint[Any]) -> str:
    """
    Return why the price of a request is not known; empty if it is.
    """
    return getattr(_module_of(endpoint), "UNPRICED", "")
