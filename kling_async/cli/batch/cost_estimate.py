"""
Counts what a batch would send, and estimates its cost.
"""

from collections import Counter
from decimal import Decimal
from typing import Any, Final

import attrs

from kling_async.cli.batch.input_parser import InputLine
from kling_async.cli.formatting import plural
from kling_async.wire.dialects import GATEWAY, Dialect
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION, ImageRequest
from kling_async.wire.redaction import one_line, shorten

__all__ = ["CostEstimate", "RequestKind"]

SHOWN: Final = 5
"""
The number of lines of the input that are shown.
"""


@attrs.frozen
class RequestKind:
    """
    A kind of requests, which all cost the same.
    """

    model_name: str
    n: int
    has_image: bool


@attrs.define(eq=False)
class CostEstimate:
    """
    Counts of the requests of an input, for one service.
    """

    dialect: Dialect
    kinds: Counter[RequestKind] = attrs.field(factory=Counter, init=False)
    first: list[InputLine] = attrs.field(factory=list, init=False)
    units: int = attrs.field(default=0, init=False)

    def add(self, line: InputLine) -> None:
        request = line.request
        if request is None:
            raise ValueError(f"line {line.number} is not a request")
        kind = RequestKind(request.model_name or self.dialect.default_model, request.n, request.image is not None)
        self.kinds[kind] += 1
        self.units += int(IMAGE_GENERATION.units(request, self.dialect) or 0)
        if len(self.first) < SHOWN:
            self.first.append(line)

    @property
    def requests(self) -> int:
        return self.kinds.total()

    @property
    def pictures(self) -> int:
        return sum(kind.n * count for kind, count in self.kinds.items())

    @property
    def dollars(self) -> Decimal:
        return self.units * (IMAGE_GENERATION.unit_price or Decimal(0))

    def lines(self) -> list[str]:
        """
        Return the estimate as lines of text.
        """
        prices = "the vendor's prices" + (
            "; a gateway may charge other prices" if self.dialect.name == GATEWAY.name else ""
        )
        what = f"{plural(self.requests, 'request')} to a {self.dialect.name} service"
        dollars = f"{self.dollars:,.2f}" if self.dollars >= 1 else f"{self.dollars.normalize():f}"
        cost = f"about {plural(self.units, 'unit')}, ${dollars} by {prices}"
        lines = [
            f"{what}: {plural(self.pictures, 'picture')}, {cost}",
            "",
            f"{'requests':>10}  {'model':<14} pictures each",
        ]
        for kind, count in self.kinds.most_common():
            image = ", from a reference image" if kind.has_image else ""
            lines.append(f"{count:>10,}  {kind.model_name:<14} {kind.n}{image}")
        lines += ["", "first lines:"]
        lines += [f"{line.number:>10,}  {_summed_up(line.request)}" for line in self.first if line.request is not None]
        return lines

    def as_json(self) -> dict[str, Any]:
        kinds = [{**attrs.asdict(kind), "requests": count} for kind, count in self.kinds.most_common()]
        return {
            "requests": self.requests,
            "pictures": self.pictures,
            "units": self.units,
            "dollars": float(self.dollars),
            "kinds": kinds,
        }


def _summed_up(request: ImageRequest) -> str:
    fields = attrs.asdict(request, recurse=False, filter=lambda _, value: value is not None)
    del fields["prompt"]
    others = " ".join(
        f"{name}={value}" for name, value in fields.items() if name != "image" and (name, value) != ("n", 1)
    )
    image = " image" if request.image is not None else ""
    return one_line(f"{shorten(request.prompt, 60)}  {others}{image}".rstrip())
