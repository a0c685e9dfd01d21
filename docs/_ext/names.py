"""
Links names in docstrings: `submit` in single backticks is a link if the package has it, and plain code otherwise.

Docstrings and signatures name classes by the module that defines them; readers know them by where they are exported.
"""

import ast
import enum
import importlib
import inspect
import itertools
import re
import sys
import typing
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
from docutils import nodes
from sphinx.domains.python._object import PyObject
from sphinx.roles import XRefRole
from sphinx.util.inspect import stringify_signature

import kling_async

if TYPE_CHECKING:
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

PUBLIC: Final = (
    "kling_async",
    "kling_async.errors",
    "kling_async.emulator.faults",
    "kling_async.emulator",
    "kling_async.batch.executors",
    "kling_async.media.storage",
    "kling_async.integrations.dask",
    "kling_async.wire",
    "kling_async.gallery",
    "kling_async.integrations.otel",
)

SHORT: Final = {
    "client": "kling_async.KlingClient",
    "batch": "kling_async.Batch",
    "receiver": "kling_async.CallbackReceiver",
}
"""
Names that docstrings use for an object of a class.
"""

PLAIN: Final = {
    "kling_async.policy.host_networks.Network",
    "kling_async.client.callbacks.asgi.AsgiApp",
    "kling_async.client.events.TaskEvents",
    "kling_async.client.handle.Timeout",
    "kling_async.client.limits.bucket.SlotLease",
    "kling_async.client.spending.Charge",
    "kling_async.wire.endpoints.image_generation.ChangesByName",
    "kling_async.wire.endpoints.image_generation.FieldsByName",
    "kling_async.wire.endpoints.image_generation.RequestByName",
    "kling_async.emulator.fault_rule.WhichRequests",
    "kling_async.emulator.settings.SettingsByName",
    "kling_async.media.naming.NameTemplate",
    "kling_async.wire.codec.R",
    "kling_async.wire.endpoints.base.NewStandard",
    "kling_async.wire.endpoints.base.R",
}
"""
Names for type checkers and of private modules, which need no page.
"""

OTHERS: Final = re.compile(
    r"(~|\.)?(aiohttp|asyncio|attrs?|collections|concurrent|contextlib|datetime|decimal|distributed|dt|enum|os|pathlib|opentelemetry|ssl|typing"
    r"|types|web)\..*"
)
"""
Libraries whose documentation is not linked: a build needs no network.
"""


def exported() -> dict[str, str]:
    """
    Return where each public name is exported, by its own full name and by its last word.
    """
    places = dict(SHORT)
    for module in map(importlib.import_module, PUBLIC):
        for name in module.__all__:
            thing = getattr(module, name)
            place = f"{module.__name__}.{name}"
            home = getattr(thing, "__module__", None)
            for known in (name, f"{home}.{getattr(thing, '__qualname__', name)}"):
                places.setdefault(known, place)
    return places


PLACES: Final = exported()


class NameRole(XRefRole):
    """
    A reference to a Python object, or to nothing.
    """

    def process_link(self, env: "BuildEnvironment", refnode: Any, *rest: Any) -> tuple[str, str]:
        refnode["py:module"] = env.ref_context.get("py:module")
        refnode["py:class"] = env.ref_context.get("py:class")
        return rest[-2:]  # title and target


def find(
    app: "Sphinx", env: "BuildEnvironment", node: "pending_xref", contnode: nodes.TextElement
) -> nodes.Node | None:
    """
    Resolve a reference that Sphinx cannot resolve, by where its target is exported.
    """
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    head, dot, tail = target.partition(".")
    place = PLACES.get(target) or (f"{PLACES[head]}.{tail}" if dot and head in PLACES else None)
    if place is not None:
        domain = env.domains.python_domain
        found = domain.resolve_xref(env, node["refdoc"], app.builder, "obj", place, node, contnode)
        if found is not None:
            return found
    is_plain = node["reftype"] == "name" or "." not in target or target in PLAIN or OTHERS.fullmatch(target)
    return contnode if is_plain else None


def mark_examples(app: object, kind: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """
    Mark indented text below a paragraph as an example: docstrings have no markup for that. Constants get the text below
    their assignment; Sphinx would show the docstring of their class.
    """
    marked: list[str] = []
    for line in below(name.rpartition(".")[2]) if kind == "data" else lines:
        begins = line.startswith("    ") and len(marked) > 1 and not marked[-1] and marked[-2][:1].strip()
        marked += ["::", "", line] if begins else [line]
    # Napoleon takes text before a colon in the first line of one of these for its type: make that line a comment.
    lines[:] = ["..", "", *marked] if kind in ("attribute", "data", "property") else marked


def below(constant: str) -> list[str]:
    """
    Return the text below the assignment of a constant, in any module of the package.
    """
    for place, module in sorted(sys.modules.items()):
        body = ast.parse(inspect.getsource(module)).body if place.partition(".")[0] == "kling_async" else []
        for node, text in itertools.pairwise(body):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if isinstance(text, ast.Expr) and constant in {getattr(target, "id", None) for target in targets}:
                return inspect.cleandoc(ast.literal_eval(text.value)).splitlines()
    return []


class _Words:
    # A default value as a reader would write it.
    def __init__(self, words: str) -> None:
        self.words = words

    def __repr__(self) -> str:
        return self.words


def default_of(parameter: inspect.Parameter, field: "attrs.Attribute[Any] | None") -> object:
    """
    Return the default of a parameter to show in a signature.
    """
    default: Any = parameter.default if field is None else field.default
    if parameter.default is parameter.empty:
        return default if field is None else parameter.empty
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        if default.takes_self:
            return _Words("...")
        default = default.factory()
    if name := next((name for name in kling_async.__all__ if getattr(kling_async, name) is default), None):
        return _Words(name)
    is_ours = attrs.has(type(default)) and type(default).__module__.startswith("kling_async")
    return _Words(f"{type(default).__name__}()") if is_ours else default


def type_of(parameter: inspect.Parameter, field: "attrs.Attribute[Any] | None") -> object:
    """
    Return the type of a parameter to show: as declared, or the name of a long choice.
    """
    declared = parameter.annotation if field is None else field.type
    choices = typing.get_args(declared) if typing.get_origin(declared) is typing.Literal else ()
    if parameter.kind is parameter.VAR_KEYWORD and typing.get_origin(declared) is typing.Unpack:
        return parameter.empty
    return parameter.name.capitalize() if len(choices) > 4 else declared


def sign(
    app: object, kind: str, name: str, thing: Any, options: object, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """
    Write the signature of an attrs class or a function as a reader would.
    """
    if signature is not None and (kind == "exception" or (kind == "class" and issubclass(thing, enum.Enum))):
        return "", None  # not created by users
    if signature in (None, "()") or not (inspect.isfunction(thing) or (kind == "class" and attrs.has(thing))):
        return None
    of_class = attrs.fields(cast("type[attrs.AttrsInstance]", thing)) if kind == "class" else ()
    fields = {field.alias: field for field in of_class}
    told = inspect.signature(thing)
    parameters = [
        parameter.replace(
            annotation=type_of(parameter, fields.get(parameter.name)),
            default=default_of(parameter, fields.get(parameter.name)),
        )
        for place, parameter in enumerate(told.parameters.values())
        if kind != "method" or place
    ]
    if kind == "class":
        told = inspect.Signature(parameters)
    told = told.replace(parameters=parameters)
    return stringify_signature(told, show_return_annotation=False, unqualified_typehints=True), returns


def setup(app: "Sphinx") -> dict[str, bool]:
    app.add_role_to_domain("py", "name", NameRole())
    app.connect("autodoc-process-docstring", mark_examples, priority=400)  # before napoleon's sections
    app.connect("autodoc-process-signature", sign)
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.connect("missing-reference", find)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
