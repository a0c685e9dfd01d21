"""
Makes the table of `docs/reference/endpoints.md` from the registry: run it after an endpoint was added or changed.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from kling_async import OFFICIAL  # noqa: E402
from kling_async.wire import Endpoint, endpoints  # noqa: E402
from tests.fakes.valid_requests.every_endpoint import example_of  # noqa: E402

PAGE: Final = Path(__file__).parent / "reference" / "endpoints.md"

BEGIN: Final = "<!-- made by docs/make_endpoints.py -->\n"
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


def with_table(page: str) -> str:
    """
    Return *page* with the table in its place.
    """
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
