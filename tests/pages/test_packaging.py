"""
What pyproject.toml promises to those who install the package.
"""

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

import kling_async
from tests.pages.test_pages import DOCS, rows_of

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())
DEPENDENCIES: Final[list[str]] = [
    *PROJECT["project"]["dependencies"],
    *(each for extra in PROJECT["project"]["optional-dependencies"].values() for each in extra),
]


def lowest(requirements: list[str]) -> dict[str, set[str]]:
    """
    Return the lowest versions of each package, of which there should be one.
    """
    found: dict[str, set[str]] = {}
    for requirement in requirements:
        name, version = re.fullmatch(r"([\w-]+)(?:\[.*\])?(?:>=([\d.]+)(?:,<[\d.]+)?)?(?:;.*)?", requirement).groups()  # type: ignore[union-attr]
        found.setdefault(name, set()).add(version)
    return found


def test_every_dependency_has_one_lowest_version() -> None:
    """
    The same in all extras, and what `nox -s lowest` installs.
    """
    versions = lowest(DEPENDENCIES)
    assert {None} == versions.pop("kling-async")  # an extra of extras

    assert [] == [name for name, found in versions.items() if len(found) != 1 or None in found]


def test_tests_allow_no_older_versions() -> None:
    """
    What an extra brings has the same lowest version in the groups of the tests and of the benchmarks.
    """
    groups = [each for name in ("tests", "bench") for each in PROJECT["dependency-groups"][name]]
    known, tested = lowest(DEPENDENCIES), lowest([each for each in groups if isinstance(each, str)])

    assert [] == [name for name in known.keys() & tested.keys() if tuple_of(tested[name]) < tuple_of(known[name])]


def tuple_of(versions: set[str]) -> tuple[int, ...]:
    return tuple(map(int, min(versions).split(".")))


def test_lowest_versions_are_those_of_the_page() -> None:
    """
    The table gives a reason for a version, and it is the one that is required.
    """
    told = {row[0]: row[1] for row in rows_of(DOCS / "decisions.md") if re.fullmatch(r"[\d.]+", row[1])}
    known = lowest(DEPENDENCIES)

    assert told
    assert {name: {version} for name, version in told.items()} == {name: known[name] for name in told}


def test_every_extra_is_on_the_first_page() -> None:
    """
    With what it is for.
    """
    _, _, install = (DOCS / "index.md").read_text().partition("## Install")

    assert set(PROJECT["project"]["optional-dependencies"]) == set(re.findall(r"^\| `(\w+)` \|", install, re.MULTILINE))


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "index.md"], ids=["README.md", "index.md"])
def test_pages_tell_how_to_install(page: Path) -> None:
    """
    By the name that the package will have, and with the wheel of this version.
    """
    text = page.read_text()

    assert f"kling_async-{kling_async.__version__}-py3-none-any.whl" in text
    assert PROJECT["project"]["name"] == "kling-async"
    assert '"kling-async @ file:///' in text
