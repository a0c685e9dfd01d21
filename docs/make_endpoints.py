"""
Makes the table and the list of classes of `docs/reference/endpoints.md` from the registry. Run it after an endpoint was
added or changed.
"""

import enum
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import kling_async  # noqa: E402
from kling_async import OFFICIAL  # noqa: E402
from kling_async.wire import Endpoint, endpoints  # noqa: E402
from tests.fakes.valid_requests.every_endpoint import example_of  # noqa: E402

PAGE: Final = Path(__file__).parent / "reference" / "endpoints.md"

TABLE: Final = "<!-- table: made by docs/make_endpoints.py -->\n"
CLASSES: Final = "<!-- classes: made by docs/make_endpoints.py -->\n"
END: Final = "<!-- end -->\n"

_HEAD: Final = ("Endpoint", "Request", "Results", "Path", "Slots", "Units", "Found by our id", "Waits", "Tested by")


def table() -> str:
    """
    Return the table, a row for each endpoint.
    """
    rows = [_HEAD, ("---",) * len(_HEAD), *map(_row, endpoints())]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(endpoint: Endpoint[Any]) -> tuple[str, ...]:
    example = endpoint.complete(example_of(endpoint), OFFICIAL)
    module = endpoint.name.replace("-", "_")
    return (
        f"`{endpoint.name}`",
        f"`{endpoint.request_class.__name__}`",
        ", ".join(endpoint.results),
        "<br>".join(_paths(endpoint)),
        str(endpoint.slots(example)),
        _units(endpoint, example),
        ("yes" if endpoint.lookup_proves_absence else "perhaps") if endpoint.external_ids else "no",
        f"{endpoint.timeout:g} s",
        f"`tests/unit/wire/endpoints/test_{module}.py`",
    )


def _units(endpoint: Endpoint[Any], example: Any) -> str:
    if (units := endpoint.units(example, OFFICIAL)) is not None:
        return f"{units.normalize():f}"
    most = endpoint.units_at_most(example, OFFICIAL)
    return "unknown" if most is None else f"at most {most.normalize():f}"


def _paths(endpoint: Endpoint[Any]) -> Iterator[str]:
    yield f"`{endpoint.path}`"
    if endpoint.new_standard is not None:
        yield f"`{endpoint.new_standard.path}/MODEL`"


def classes() -> str:
    """
    Return the reference of the classes of requests, and of those that they are made of.
    """
    names = [name for name in kling_async.__all__ if _module_of(name).startswith("kling_async.wire.endpoints.")]
    return "".join(map(_entry, names))


def _module_of(name: str) -> str:
    return str(getattr(getattr(kling_async, name), "__module__", ""))


def _entry(name: str) -> str:
    is_enum = issubclass(getattr(kling_async, name), enum.Enum)
    return f".. autoclass:: {name}\n" + ("   :members:\n   :undoc-members:\n" if is_enum else "")


def with_table(page: str) -> str:
    """
    Return *page* with the table and the classes in their places.
    """
    for begin, made in ((TABLE, table()), (CLASSES, f"```{{eval-rst}}\n{classes()}```\n")):
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(END)
        page = f"{before}{begin}\n{made}\n{END}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
