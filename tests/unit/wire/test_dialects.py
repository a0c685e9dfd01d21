"""
What a service accepts and offers.
"""

import pytest

from kling_async.wire.dialects import GATEWAY, OFFICIAL, Dialect, dialect_of


def test_dialects_of_the_design() -> None:
    """
    What a dialect can do besides its limits.
    """
    assert (False, False, 1) == (GATEWAY.external_ids, GATEWAY.lists, GATEWAY.ids_per_read)
    assert (True, True, 20) == (OFFICIAL.external_ids, OFFICIAL.lists, OFFICIAL.ids_per_read)
    assert GATEWAY.default_model in GATEWAY.models
    assert OFFICIAL.default_model in OFFICIAL.models


@pytest.mark.parametrize(
    ("base_url", "dialect"),
    [
        ("https://api-singapore.klingai.com", OFFICIAL),
        ("https://api-beijing.klingai.com/", OFFICIAL),
        ("https://API.KLINGAI.COM:443/x", OFFICIAL),
        ("https://kling.ai", OFFICIAL),
        ("https://api.gpt.ge/kling", GATEWAY),
        ("https://evilklingai.com", GATEWAY),
        ("https://klingai.com.example", GATEWAY),
        ("http://127.0.0.1:8000", GATEWAY),
        ("no url", GATEWAY),
    ],
)
def test_dialect_of_a_host(base_url: str, dialect: Dialect) -> None:
    """
    The vendor's hosts speak OFFICIAL, any other GATEWAY.
    """
    assert dialect is dialect_of(base_url)
