"""
Makes the table and the list of classes of `docs/reference/endpoints.md` from the registry, and the tables of models and
prices of `docs/howto/choosing.md`. Run it after an endpoint or a model was added or changed.
"""

import enum
import sys
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import attrs  # noqa: E402

import kling_async  # noqa: E402
from kling_async import OFFICIAL, MotionControl, VideoModel  # noqa: E402
from kling_async.wire import Endpoint, broken_rules, endpoint_of, endpoints  # noqa: E402
from kling_async.wire.endpoints.video_models import MODES, ModelFacts, facts_of_model  # noqa: E402
from tests.fakes.valid_requests.every_endpoint import example_of  # noqa: E402

PAGE: Final = Path(__file__).parent / "reference" / "endpoints.md"
CHOOSING: Final = Path(__file__).parent / "howto" / "choosing.md"

TABLE: Final = "<!-- table: made by docs/make_endpoints.py -->\n"
CLASSES: Final = "<!-- classes: made by docs/make_endpoints.py -->\n"
MODELS: Final = "<!-- models: made by docs/make_endpoints.py -->\n"
SECONDS: Final = "<!-- prices by the second: made by docs/make_endpoints.py -->\n"
PRICES: Final = "<!-- prices: made by docs/make_endpoints.py -->\n"
END: Final = "<!-- end -->\n"

_HEAD: Final = ("Endpoint", "Request", "Results", "Path", "Slots", "Units", "Found by our id", "Waits", "Tested by")


def table() -> str:
    """
    Return the table, a row for each endpoint.
    """
    return _table(_HEAD, map(_row, endpoints()))


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ("---",) * len(head), *rows))


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
        return _number(units)
    most = endpoint.units_at_most(example, OFFICIAL)
    return "unknown" if most is None else f"at most {_number(most)}"


def _number(units: Decimal) -> str:
    return f"{units.normalize():f}"


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


def models() -> str:
    """
    Return a table of the models for videos: which requests take them, and what they can do.
    """
    head = ("Model", "Requests", "Seconds", "End frame", "Several shots", "Sound")
    return _table(head, (_model_row(model, facts) for model, facts in _models()))


def _models() -> Iterator[tuple[str, ModelFacts]]:
    for model in VideoModel:
        if (facts := facts_of_model(model)) is not None:
            yield model.value, facts


def _model_row(model: str, facts: ModelFacts) -> tuple[str, ...]:
    few = len(facts.durations) <= 2
    sound = "always" if facts.always_has_sound else _in_modes(tuple(facts.prices.sound), facts)
    return (
        f"`{model}`",
        ", ".join(_requests_of(model)),
        " or ".join(map(str, facts.durations)) if few else f"{facts.durations[0]} to {facts.durations[-1]}",
        _in_modes(facts.tail_modes, facts) + (", silent" if facts.is_tail_silent else ""),
        "yes" if facts.has_shots else "no",
        sound,
    )


def _in_modes(modes: tuple[str, ...], facts: ModelFacts) -> str:
    if not modes:
        return "no"
    return "yes" if set(modes) >= set(facts.modes) else f"in mode {' or '.join(modes)}"


def _requests_of(model: str) -> Iterator[str]:
    for endpoint in endpoints():
        if (
            "videos" in endpoint.results
            and endpoint.name != "video-effect"
            and hasattr(endpoint.request_class, "model_name")
        ):
            request = attrs.evolve(example_of(endpoint), model_name=model)
            if not any(rule.field == "model_name" for rule in broken_rules(OFFICIAL, request)):
                yield f"`{endpoint.request_class.__name__}`"


def prices_by_the_second() -> str:
    """
    Return a table of the units that a second of a video costs.
    """
    rows = (row for model, facts in _models() for row in _price_rows(model, facts))
    return _table(("Model", "Video", *(f"`{mode}`" for mode in MODES)), rows)


def _price_rows(model: str, facts: ModelFacts) -> Iterator[tuple[str, ...]]:
    kinds: Mapping[str, Mapping[str, Decimal]] = {
        "silent": facts.prices.silent,
        "with sound": facts.prices.sound,
        "with voices": facts.prices.voice,
        "from a video": facts.prices.with_video,
        "of a motion": _motion_prices(model),
    }
    for kind, prices in kinds.items():
        if prices:
            cells = (_number(prices[mode]) if mode in prices else "" for mode in MODES)
            yield (f"`{model}`", kind, *cells)


def _motion_prices(model: str) -> dict[str, Decimal]:
    endpoint = endpoint_of(MotionControl)
    prices = {}
    for mode in MODES:
        request = attrs.evolve(example_of(endpoint), model_name=model, mode=mode, character_orientation="image")
        if (most := endpoint.units_at_most(request, OFFICIAL)) is not None:
            prices[mode] = most / 10  # seconds, at most
    return prices


def prices() -> str:
    """
    Return a table of what a request of each endpoint costs.
    """
    return _table(("Request", "Units", "US dollars"), map(_price_row, endpoints()))


def _price_row(endpoint: Endpoint[Any]) -> tuple[str, ...]:
    example = endpoint.complete(example_of(endpoint), OFFICIAL)
    units, most = endpoint.units(example, OFFICIAL), endpoint.units_at_most(example, OFFICIAL)
    known = units if units is not None else most
    dollars = "unknown" if known is None else _number(known * (endpoint.unit_price or 0))
    limit = "at most " if units is None and most is not None else ""
    return f"`{endpoint.request_class.__name__}`", _units(endpoint, example), f"{limit}{dollars}"


def with_table(page: str) -> str:
    """
    Return the page of the endpoints with the table and the classes in their places.
    """
    return _with(page, {TABLE: table(), CLASSES: f"```{{eval-rst}}\n{classes()}```\n"})


def with_prices(page: str) -> str:
    """
    Return the page on choosing with its tables in their places.
    """
    return _with(page, {MODELS: models(), SECONDS: prices_by_the_second(), PRICES: prices()})


def _with(page: str, parts: Mapping[str, str]) -> str:
    for begin, made in parts.items():
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(END)
        page = f"{before}{begin}\n{made}\n{END}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    CHOOSING.write_text(with_prices(CHOOSING.read_text(encoding="utf-8")), encoding="utf-8")
