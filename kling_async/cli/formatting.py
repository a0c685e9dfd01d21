"""
Formats numbers for people: counts, units, bytes, durations.
"""

from decimal import Decimal

__all__ = ["format_duration", "format_size", "format_units", "plural"]


def plural(count: int, noun: str) -> str:
    """
    Return *count* and *noun*, in the plural if needed.
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


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
