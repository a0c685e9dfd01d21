"""
Virtual try-on: a person wears a garment.

Facts are from copies of the vendor's page and from gateways' pages; the model names run the newest pipeline since
September 2026, by the vendor's change log. Some gateways take no external id here: `Dialect.external_ids` counts.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.inputs import FileFacts, FileInput, FileSource, describe_source, take_in
from kling_async.wire.endpoints.rules import address_rules, broken, image_rules, unicode_rules
from kling_async.wire.redaction import shown_url

__all__ = ["VIRTUAL_TRY_ON", "VirtualTryOn"]

_MODEL: Final = "kolors-virtual-try-on-v1-5"


def _human(source: Any) -> Any:
    return take_in(source, "human_image")


def _cloth(source: Any) -> Any:
    return take_in(source, "cloth_image")


@explained
@attrs.frozen
class VirtualTryOn:
    """
    A picture of a person in a garment. Nothing is checked here: `submit` checks it before anything is sent.

    Pictures are given as in `ImageRequest.image`: jpg or png, at most 10 MiB, each side at least 300 pixels.

    Attributes:
        human_image: The person.
        cloth_image: The garment: a product's picture, or with "kolors-virtual-try-on-v1-5" an upper and a lower one on
            a white background. Two of the same kind, or a dress with another one, fail as a task.
        model_name: None is "kolors-virtual-try-on-v1-5"; the other is "kolors-virtual-try-on-v1".
        callback_url: Where the service reports changes, sent as it is.
        external_task_id: An id of your own, unique on the account for ever; `submit` makes one if it is None.
    """

    human_image: FileSource | None = attrs.field(converter=_human, repr=describe_source)
    cloth_image: FileSource | None = attrs.field(converter=_cloth, repr=describe_source)
    model_name: str | None = attrs.field(default=None, kw_only=True)
    callback_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


def _rules(request: VirtualTryOn, dialect: Dialect, files: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    for field in ("human_image", "cloth_image"):
        if getattr(request, field) is None:
            yield broken(field, None, "is required")
        yield from image_rules(field, getattr(request, field), files.get(field), dialect, has_ratio=False)
    yield from unicode_rules(request, ("model_name", "callback_url"))
    yield from address_rules(dialect, request)


def _defaults(request: VirtualTryOn, _: Dialect) -> Mapping[str, Any]:
    return {} if request.model_name is not None else {"model_name": _MODEL}


VIRTUAL_TRY_ON: Final = Endpoint(
    name="virtual-try-on",
    title="virtual try-on",
    path="/v1/images/kolors-virtual-try-on",
    request_class=VirtualTryOn,
    results=("images",),
    inputs=(
        FileInput("human_image", lambda dialect: dialect.image_max_bytes),
        FileInput("cloth_image", lambda dialect: dialect.image_max_bytes),
    ),
    rules=_rules,
    bucket=lambda _request, _dialect: "virtual-try-on",
    units=lambda _request, _dialect: Decimal(1),
    unit_price=Decimal("0.07"),
    defaults=_defaults,
    caption=lambda _: "",
)
"""
It has a pack, units and slots of its own.
"""
