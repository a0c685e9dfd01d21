"""
The module that pytest loads: two fixtures and a marker, implemented in `kling_async.integrations.pytest_plugin`.

It lies beside the package, because a module inside it imports all of it, and pytest loads this module in every run of
every project that has the package installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kling_async import KlingClient
    from kling_async.emulator import Emulator

MARKER = "kling(**settings): the settings of the service behind `kling_emulator` and `kling_client`; the arguments are the fields of `kling_async.emulator.Settings`"  # noqa: E501 (pytest shows it as one line)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def kling_emulator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """
    A Kling service for this test only, in its own thread. `KLING_API_KEY` and `KLING_BASE_URL` are set to it, so any
    `KlingClient()` uses it, and polls its tasks more often than usual. `@pytest.mark.kling` changes the service's
    settings; its `ledger` records what happened.
    """
    from kling_async.integrations import pytest_plugin  # noqa: PLC0415 (nothing of ours before it is asked for)

    with pytest_plugin.serve(pytest_plugin.read_settings(request.node)) as server:
        pytest_plugin.lead_to(server, monkeypatch)
        yield server


@pytest.fixture
def kling_client(kling_emulator: Emulator) -> Iterator[KlingClient]:
    """
    A `KlingClient` of `kling_emulator`, for the event loop that uses it first; it is closed after the test.
    """
    from kling_async.integrations import pytest_plugin  # noqa: PLC0415

    with pytest_plugin.make_client(kling_emulator) as client:
        yield client
