"""
Converts values of the command line without typer's own conversion where that would change nothing.

Typer converts by pydantic, also options that were not given; and importing pydantic takes longer than many a command.
"""

from typing import Any

__all__ = ["convert_lazily"]


class _LazyConversion:
    """
    Stands in place of typer's conversion of one parameter, and uses that only for values that need it.
    """

    def __init__(self, parameter: Any) -> None:
        self._load_typers = parameter.get_runtime_param
        self._annotation = parameter.type_descriptor.annotation
        self._parser = parameter.type_descriptor.parameter_info.parser

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """
        Return *value* as the command takes it, as typer's method of this name does.
        """
        takes_several = param.multiple or param.nargs == -1
        if value is None:
            return () if takes_several else None
        if self._parser is not None and not takes_several:
            return self._parser(value)
        if type(value) is self._annotation:  # text, or the default
            return value
        if self._annotation == list[str] and all(isinstance(each, str) for each in value):
            return list(value)
        return self._load_typers().coerce(value, param=param, ctx=ctx)


def convert_lazily(parameter: Any) -> None:
    """
    Have values of a *parameter* of typer converted only where they need it. Safe to call twice.
    """
    # These are no promised names: if a later typer has others, it converts every value itself.
    if hasattr(parameter, "get_runtime_param") and "get_runtime_param" not in vars(parameter):
        conversion = _LazyConversion(parameter)
        parameter.get_runtime_param = lambda: conversion
