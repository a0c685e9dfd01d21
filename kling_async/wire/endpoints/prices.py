"""
What a picture costs, in the vendor's units. A gateway may count otherwise.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from kling_async.wire.tasks import ImageRequest, Model

__all__ = ["DOLLARS_PER_UNIT", "units_of"]

DOLLARS_PER_UNIT: Final = Decimal("0.0035")
"""
Of an image unit, by the vendor's price page of 2026-09.
"""

FROM_TEXT: Final[Mapping[str, int]] = {
    Model.V1: 1,
    Model.V1_5: 4,
    Model.V2: 4,
    Model.V2_NEW: 8,
    Model.V2_1: 4,
    Model.V3: 8,
}
FROM_IMAGE: Final[Mapping[str, int]] = {
    Model.V1: 1,
    Model.V1_5: 8,
    Model.V2: 8,
    Model.V2_NEW: 8,
    Model.V2_1: 8,
    Model.V3: 8,
}
"""
Units per picture: from the vendor's price page for image models (2026-09), the older models from its page of June 2025.
"""

NEWEST: Final = 8
"""
Units per picture of a model that is in neither table.
"""


def units_of(model_name: str, request: ImageRequest) -> int:
    """
    Return what *request* costs if it succeeds; a failed task costs nothing.
    """
    per_picture = FROM_TEXT if request.image is None else FROM_IMAGE
    return request.n * per_picture.get(model_name, NEWEST)
