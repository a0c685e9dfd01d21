"""
Formats numbers for people: counts, units, bytes, durations.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

__all__ = [
    "FILE_NOUNS",
    "count_files",
    "describe_files",
    "file_noun",
    "format_duration",
    "format_size",
    "format_units",
    "plural",
]

FILE_NOUNS: Final = {"image": "picture", "video": "video", "audio": "sound"}
"""
What the kinds of files are called, in their order.
"""


def plural(count: Decimal | float, noun: str) -> str:
    """
    Return *count* and *noun*, in the plural if needed.
    """
    number = f"{count:,}" if isinstance(count, int) else format_units(count)
    return f"{number} {noun}" + ("" if count == 1 else "s")


def file_noun(kinds: Iterable[str]) -> str:
    """
    Return the noun for a file of one of *kinds*: "file" unless there is exactly one.
    """
    different = set(kinds)
    return FILE_NOUNS[different.pop()] if len(different) == 1 else "file"


def count_files(counts: Mapping[str, int]) -> dict[str, int]:
    """
    Return *counts* of files by kind with nouns for the kinds, such as "pictures", without kinds that have none; if all
    have none, {"files": 0}.
    """
    return {f"{noun}s": counts[kind] for kind, noun in FILE_NOUNS.items() if counts.get(kind)} or {"files": 0}


def describe_files(counts: Mapping[str, int]) -> str:
    """
    Return *counts*, as `count_files` returns them, in words: "2 pictures, 1 video".
    """
    return ", ".join(plural(count, nouns.removesuffix("s")) for nouns, count in counts.items())


def format_units(units: Decimal | float | None, *, unknown: str = "unknown") -> str:
    """
    Return *units* without trailing zeros, or *unknown* for None: a service that reports no units may still bill some.
    """
    return unknown if units is None else f"{Decimal(str(units)).normalize():,f}"


def format_size(count: int) -> str:
    """
    Return *count* bytes in a readable unit.
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


def format_duration(seconds: float) -> str:
    """
    Return *seconds* in the two largest units that matter.
    """
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"
