"""
Attrs classes as groups of options: a command takes one object where the command line has many options.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_origin

import attrs

__all__ = ["with_option_groups"]


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """
    Expand each parameter of *command* whose type is an attrs class: typer sees the fields as parameters, and *command*
    gets the object. Only fields whose type is `Annotated` become options.
    """
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[type[Any], list[str]]] = {}
    for parameter in inspect.signature(command).parameters.values():
        if not (isinstance(parameter.annotation, type) and attrs.has(parameter.annotation)):
            parameters.append(parameter)
            continue
        fields = [field for field in attrs.fields(parameter.annotation) if get_origin(field.type) is Annotated]
        groups[parameter.name] = parameter.annotation, [field.name for field in fields]
        parameters += (
            inspect.Parameter(field.name, parameter.kind, default=field.default, annotation=field.type)
            for field in fields
        )

    @functools.wraps(command)
    def expanded(**values: Any) -> None:
        for group, (kind, names) in groups.items():
            values[group] = kind(**{name: values.pop(name) for name in names})
        command(**values)

    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return expanded
