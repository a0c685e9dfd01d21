"""
Counts what a batch would send, and estimates its cost.
"""

import functools
from collections import Counter
from collections.abc import Hashable
from decimal import Decimal
from typing import Any, Final, NamedTuple

import attrs

from kling_async.cli.batch.input_parser import InputLine
from kling_async.cli.formatting import FILE_NOUNS, count_files, describe_files, file_noun, format_units, plural
from kling_async.policy.spending import Amount
from kling_async.wire.dialects import GATEWAY, Dialect
from kling_async.wire.endpoints.base import Endpoint, TaskRequest, may_have_files, sources_of
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT, caption_of, endpoint_of, model_of
from kling_async.wire.redaction import one_line, shorten

__all__ = ["CostEstimate", "RequestKind"]

SHOWN: Final = 5
"""
The number of lines of the input that are shown.
"""


class RequestKind(NamedTuple):
    """
    Requests that cost the same.

    Attributes:
        endpoint: The endpoint's name.
        model_name: None if the endpoint has no choice of models.
        n: Files that each request makes, at most.
        has_image: Whether it has a reference image or another file.
    """

    endpoint: str
    model_name: str | None
    n: int
    has_image: bool

    @property
    def title(self) -> str:
        """
        The model of images; the endpoint of other files, with the model if there is a choice.
        """
        names = (None if self.endpoint == DEFAULT_ENDPOINT.name else self.endpoint, self.model_name)
        return ", ".join(name for name in names if name is not None)


@attrs.define(eq=False)
class _Tally:
    """
    How many requests of a kind cost the same.

    Attributes:
        file_kinds: The kinds of files that they make, such as "image".
        files: Files of each of these kinds that one request makes, at most.
        units: Of one request; None if they are unknown.
        most_units: The most that one can take; None if not even that is known.
        unit_price: In US dollars.
    """

    kind: RequestKind
    file_kinds: tuple[str, ...]
    files: int
    units: Decimal | None
    most_units: Decimal | None
    unit_price: Decimal
    count: int = 0


@attrs.define(eq=False)
class CostEstimate:
    """
    Counts of the requests of an input, for one service.
    """

    dialect: Dialect
    first: list[InputLine] = attrs.field(factory=list, init=False)
    _tallies: dict[Hashable, _Tally] = attrs.field(factory=dict, init=False)  # by what they count
    _by_key: dict[Hashable, _Tally] = attrs.field(factory=dict, init=False)

    def add(self, line: InputLine) -> None:
        request = line.request
        if request is None:
            raise ValueError(f"line {line.number} is not a request")
        endpoint = endpoint_of(type(request))
        if endpoint.price_key is None or may_have_files(endpoint, request):
            tally = self._tally_of(endpoint, request)
        else:  # an input has many requests, and few prices
            key = endpoint.name, endpoint.price_key(request)
            tally = self._by_key.get(key) or self._by_key.setdefault(key, self._tally_of(endpoint, request))
        tally.count += 1
        if len(self.first) < SHOWN:
            self.first.append(line)

    def _tally_of(self, endpoint: Endpoint[Any], request: TaskRequest) -> _Tally:
        file_kinds, files = _file_kinds(endpoint.results), endpoint.files(request)
        has_image = bool(sources_of(endpoint, request))
        kind = RequestKind(endpoint.name, model_of(request, self.dialect), files * len(file_kinds), has_image)
        units = endpoint.units(request, self.dialect)
        most_units = endpoint.units_at_most(request, self.dialect) if units is None else units
        new = _Tally(kind, file_kinds, files, units, most_units, endpoint.unit_price or Decimal(0))
        return self._tallies.setdefault((kind, units, most_units), new)

    @property
    def requests(self) -> int:
        return sum(tally.count for tally in self._tallies.values())

    @property
    def kinds(self) -> Counter[RequestKind]:
        """
        The requests of each kind.
        """
        counts: Counter[RequestKind] = Counter()
        for tally in self._tallies.values():
            counts[tally.kind] += tally.count
        return counts

    @property
    def files(self) -> Counter[str]:
        """
        The files of each kind, such as "image", at most.
        """
        counts: Counter[str] = Counter()
        for tally in self._tallies.values():
            for kind in tally.file_kinds:
                counts[kind] += tally.count * tally.files
        return counts

    @property
    def units(self) -> Decimal:
        """
        The sum of the units that are known.
        """
        return sum(((tally.units or Decimal(0)) * tally.count for tally in self._tallies.values()), Decimal(0))

    @property
    def dollars(self) -> Decimal:
        """
        What they cost.
        """
        prices = ((tally.units or 0) * tally.count * tally.unit_price for tally in self._tallies.values())
        return sum(prices, Decimal(0))

    @property
    def unpriced(self) -> int:
        """
        The requests whose units are unknown.
        """
        return sum(tally.count for tally in self._tallies.values() if tally.units is None)

    @property
    def unbounded(self) -> int:
        """
        Those of them of which not even the most is known.
        """
        return sum(tally.count for tally in self._tallies.values() if tally.most_units is None)

    @property
    def most(self) -> Amount:
        """
        What all requests may cost at most, of those of which that is known.
        """
        bounds = [
            ((tally.most_units or Decimal(0)) * tally.count, tally.unit_price) for tally in self._tallies.values()
        ]
        units = sum((units for units, _ in bounds), Decimal(0))
        return Amount(units, sum((units * price for units, price in bounds), Decimal(0)))

    def beyond(self, limit: Amount) -> str | None:
        """
        Return in words how the requests do not fit into *limit*; None if they do, as far as their prices are known.
        """
        units, cost, parts = self.most.units or Decimal(0), self.most.cost or Decimal(0), []
        if limit.units is not None and units > limit.units:
            parts.append(f"it may take {plural(units, 'unit')} of {format_units(limit.units)}")
        if limit.cost is not None and cost > limit.cost:
            parts.append(f"it may cost {Amount(cost=cost)} of {Amount(cost=limit.cost)}")
        return " and ".join(parts) or None

    def lines(self) -> list[str]:
        """
        Return the estimate as lines of text.
        """
        article = "an" if self.dialect.name[:1] in "aeiou" else "a"
        what = f"{plural(self.requests, 'request')} to {article} {self.dialect.name} service"
        width = max([14, *(len(kind.title) for kind in self.kinds)])
        lines = [
            f"{what}: {describe_files(count_files(self.files))}, {self._cost()}",
            "",
            f"{'requests':>10}  {'model':<{width}} {file_noun(self.files)}s each",
        ]
        for kind, count in self.kinds.most_common():
            lines.append(f"{count:>10,}  {kind.title:<{width}} {kind.n}{_origin(kind)}")
        lines += ["", "first lines:"]
        lines += [f"{line.number:>10,}  {_summary(line.request)}" for line in self.first if line.request is not None]
        return lines

    def _cost(self) -> str:
        prices = "the vendor's prices"
        if self.dialect.name == GATEWAY.name:
            prices += "; a gateway may charge other prices"
        if self.unpriced == self.requests:
            return "units unknown"
        unit = "unit" if self.units == 1 else "units"
        dollars = f"{self.dollars:,.2f}" if self.dollars >= 1 else f"{self.dollars.normalize():f}"
        known = f"about {format_units(self.units)} {unit}, ${dollars} by {prices}"
        return known + (f"; units unknown for {plural(self.unpriced, 'request')}" if self.unpriced else "")

    def as_json(self) -> dict[str, Any]:
        from kling_async.cli.json_output import number_of  # noqa: PLC0415 (lines of text do without it)

        kinds = [{**kind._asdict(), "requests": count} for kind, count in self.kinds.most_common()]
        return {
            "requests": self.requests,
            "pictures": self.files.total(),  # of every kind: the name is older than the other kinds, and stays
            "files": self.files.total(),
            "units": None if self.unpriced == self.requests else number_of(self.units),
            "dollars": None if self.unpriced == self.requests else float(self.dollars),
            "requests_without_price": self.unpriced,
            "kinds": kinds,
        }


@functools.cache
def _file_kinds(results: tuple[str, ...]) -> tuple[str, ...]:
    # Voices and elements are no files.
    return tuple(kind for kind in FILE_NOUNS if f"{kind}s" in results)


def _origin(kind: RequestKind) -> str:
    if not kind.has_image:
        return ""
    return ", from a reference image" if kind.endpoint == DEFAULT_ENDPOINT.name else ", from other files"


def _summary(request: TaskRequest) -> str:
    inputs = [field.field for field in endpoint_of(type(request)).inputs]
    fields = {
        field.name: getattr(request, field.name)
        for field in attrs.fields(type(request))
        if field.name != "prompt" and getattr(request, field.name) not in (None, field.default)
    }
    shown = [f"{name}={value}" for name, value in fields.items() if name not in inputs]
    shown += [name for name in inputs if name in fields]
    return one_line(f"{shorten(caption_of(request), 60)}  {' '.join(shown)}".rstrip())
