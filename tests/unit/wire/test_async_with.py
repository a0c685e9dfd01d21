"""
What needs `async with` says so.
"""

import pytest

from kling_async import Batch, KlingClient


def test_plain_with_is_refused() -> None:
    """
    In words that say what to write; nothing is opened by it.
    """
    client = KlingClient("sk-0123456789")
    batch = Batch("run.kling", client)

    for owner in (client, batch):
        with pytest.raises(TypeError, match=f"write `async with {type(owner).__name__}"):
            owner.__enter__()  # type: ignore[union-attr]

    assert "new" in repr(client)
    assert "new" in repr(batch)


def test_with_statement_reaches_the_words() -> None:
    """
    Python looks for more than `__enter__` before it begins.
    """
    with pytest.raises(TypeError, match="inside an `async def`"):
        with KlingClient("sk-0123456789"):  # type: ignore[attr-defined]
            pass
