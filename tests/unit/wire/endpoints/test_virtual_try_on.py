"""
The rules and the price of virtual try-on.
"""

from decimal import Decimal

from kling_async import OFFICIAL, VirtualTryOn
from kling_async.wire import FileFacts, broken_rules, read_request, write_request
from kling_async.wire.endpoints.virtual_try_on import VIRTUAL_TRY_ON

URL = "https://pictures.example/cat.png"


def test_body() -> None:
    """
    The model is named.
    """
    request = VIRTUAL_TRY_ON.complete(VirtualTryOn(URL, URL), OFFICIAL)
    body = write_request(request)

    assert {"human_image": URL, "cloth_image": URL, "model_name": "kolors-virtual-try-on-v1-5"} == body
    assert request == read_request(body, VirtualTryOn)


def test_both_pictures_are_required_and_checked() -> None:
    """
    All broken rules are reported.
    """
    nothing, bad = VirtualTryOn(None, None, callback_url="x"), VirtualTryOn(b"", b"")
    text = FileFacts(10, None)

    assert ["human_image", "cloth_image", "callback_url"] == [rule.field for rule in broken_rules(OFFICIAL, nothing)]
    assert ["human_image", "cloth_image"] == [
        rule.field for rule in broken_rules(OFFICIAL, bad, {"human_image": text, "cloth_image": text})
    ]


def test_it_has_a_pack_of_its_own() -> None:
    """
    One unit is seven cents.
    """
    request = VirtualTryOn(URL, URL)

    assert Decimal(1) == VIRTUAL_TRY_ON.units(request, OFFICIAL)
    assert Decimal("0.07") == VIRTUAL_TRY_ON.unit_price
    assert ("virtual-try-on", 1) == (VIRTUAL_TRY_ON.bucket(request, OFFICIAL), VIRTUAL_TRY_ON.slots(request))
