"""
A plain `with` for what needs `async with`: it says so.
"""

from typing import TYPE_CHECKING

__all__ = ["UsedWithAsyncWith"]


class UsedWithAsyncWith:
    """
    Refuses `with`, in words. Type checkers refuse it by themselves: they see no such methods.
    """

    __slots__ = ()

    if not TYPE_CHECKING:

        def __enter__(self) -> None:
            kind = type(self).__name__
            raise TypeError(f"`with {kind}(…)` does not work; write `async with {kind}(…)`, inside an `async def`")

        __exit__ = __enter__  # `with` looks for both before it begins
