"""
Counts what a batch would send, and estimates its cost.
"""

import functools
from collections import Counter
from decimal import Decimal
from typing import Any, Final, NamedTuple

import attrs

from kling_async.cli.batch.input_parser import InputLine
from kling_async.cli.formatting import FILE_NOUNS, count_files, describe_files, file_noun, format_units, plural
from kling_async.policy.spending import Amount
from kling_async.wire.dialects import GATEWAY, Dialect
from kling_async.wire.endpoints.base import TaskRequest, sources_of
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
class CostEstimate:
    """
    Counts of the requests of an input, for one service.

    Attributes:
        files: The files of each kind, such as "image", at most.
        units: The sum of the units that are known.
        unpriced: Requests whose units are unknown.
        unbounded: Those of them of which not even the most is known.
    """

    dialect: Dialect
    kinds: Counter[RequestKind] = attrs.field(factory=Counter, init=False)
    files: Counter[str] = attrs.field(factory=Counter, init=False)
    first: list[InputLine] = attrs.field(factory=list, init=False)
    units: Decimal = attrs.field(default=Decimal(0), init=False)
    dollars: Decimal = attrs.field(default=Decimal(0), init=False)
    unpriced: int = attrs.field(default=0, init=False)
    unbounded: int = attrs.field(default=0, init=False)
    _more_units: Decimal = attrs.field(default=Decimal(0), init=False)  # of those of which only the most is known
    _more_dollars: Decimal = attrs.field(default=Decimal(0), init=False)

    def add(self, line: InputLine) -> None:
        request = line.request
        if request is None:
            raise ValueError(f"line {line.number} is not a request")
        endpoint, model_name = endpoint_of(type(request)), model_of(request, self.dialect)
        has_image = bool(sources_of(endpoint, request))
        most, file_kinds = endpoint.files(request), _file_kinds(endpoint.results)
        for kind in file_kinds:
            self.files[kind] += most
        self.kinds[RequestKind(endpoint.name, model_name, most * len(file_kinds), has_image)] += 1
        units = endpoint.units(request, self.dialect)
        if units is None:
            self.unpriced += 1
            if (most_units := endpoint.units_at_most(request, self.dialect)) is not None:
                self._more_units += most_units
                self._more_dollars += most_units * (endpoint.unit_price or 0)
            else:
                self.unbounded += 1
        else:
            self.units += units
            self.dollars += units * (endpoint.unit_price or 0)
        if len(self.first) < SHOWN:
            self.first.append(line)

    @property
    def requests(self) -> int:
        return self.kinds.total()

    @property
    def most(self) -> Amount:
        """
        What all requests may cost at most, of those of which that is known.
        """
        return Amount(self.units + self._more_units, self.dollars + self._more_dollars)

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
