"""
The page of the endpoints has the table that the registry makes.
"""

import importlib.util
from pathlib import Path
from types import ModuleType

from kling_async.wire import endpoints

ROOT = Path(__file__).parents[2]


def load(name: str) -> ModuleType:
    """
    Load a script of the folder `docs`.
    """
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_table_is_that_of_the_registry() -> None:
    """
    After a change run `python docs/make_endpoints.py`.
    """
    script = load("make_endpoints")
    page = script.PAGE.read_text(encoding="utf-8")

    assert script.with_table(page) == page


def test_prices_are_those_of_the_models() -> None:
    """
    After a change run `python docs/make_endpoints.py`.
    """
    script = load("make_endpoints")
    page = script.CHOOSING.read_text(encoding="utf-8")

    assert script.with_prices(page) == page


def test_every_endpoint_can_be_chosen() -> None:
    """
    The table of what one has and wants leads to each of them.
    """
    page = load("make_endpoints").CHOOSING.read_text(encoding="utf-8").partition("## What the models")[0]

    assert [] == [each.name for each in endpoints() if f"`{each.request_class.__name__}" not in page]


def test_every_endpoint_has_its_tests_and_its_sample() -> None:
    """
    The tests of an endpoint are named like its module.
    """
    for endpoint in endpoints():
        module = endpoint.name.replace("-", "_")
        assert (ROOT / "tests" / "unit" / "wire" / "endpoints" / f"test_{module}.py").exists()
        assert (ROOT / "tests" / "fakes" / "valid_requests" / f"{module}.py").exists()
