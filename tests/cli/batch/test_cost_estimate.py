"""
What a batch would cost.
"""

from kling_async import GATEWAY, OFFICIAL, ImageRequest, OmniImage, TextToAudio, TextToVideo
from kling_async.cli.batch.cost_estimate import SHOWN, CostEstimate, RequestKind
from kling_async.cli.batch.input_parser import InputLine
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import TaskRequest


def counted(dialect: Dialect, *requests: TaskRequest) -> CostEstimate:
    forecast = CostEstimate(dialect)
    for number, request in enumerate(requests, 1):
        forecast.add(InputLine(number, request))
    return forecast


def test_costs_by_kind() -> None:
    """
    Requests are counted by what makes their price: model, pictures, and whether there is a reference image.
    """
    url = "https://a.example/cat.png"
    forecast = counted(
        OFFICIAL,
        ImageRequest("a", n=2),
        ImageRequest("b", n=2, model_name="kling-v3"),
        ImageRequest("c", model_name="kling-v2-1"),
        ImageRequest("d", model_name="kling-v2-1", image=url),
    )

    assert {
        RequestKind("image-generation", "kling-v3", 2, has_image=False): 2,
        RequestKind("image-generation", "kling-v2-1", 1, has_image=False): 1,
        RequestKind("image-generation", "kling-v2-1", 1, has_image=True): 1,
    } == forecast.kinds
    assert (4, 6, 2 * 16 + 4 + 8) == (forecast.requests, forecast.pictures, int(forecast.units))
    assert "0.1540" == str(forecast.dollars)


def test_series_counts_its_pictures() -> None:
    """
    A series makes as many as it says; one whose number the model decides may make nine, for a price that is unknown.
    """
    series = [OmniImage("a", result_type="series", series_amount=amount) for amount in (3, "auto")]
    forecast = counted(OFFICIAL, *series)

    assert (12, 24, 1) == (forecast.pictures, int(forecast.units), forecast.unpriced)


def test_told() -> None:
    """
    The first lines are shown with their fields, and a gateway's prices are not promised.
    """
    requests = [ImageRequest("a [red] fox", n=3, aspect_ratio="1:1", image=b"x"), *[ImageRequest("b")] * SHOWN]
    lines = counted(GATEWAY, *requests).lines()

    assert (
        "6 requests to a gateway service: 8 pictures, about 8 units, $0.028 by the vendor's prices; a gateway"
        in lines[0]
    )
    assert "         1  kling-v1       3, from a reference image" in lines
    assert "         1  a [red] fox  n=3 aspect_ratio=1:1 image" in lines
    assert SHOWN == len(lines) - lines.index("first lines:") - 1


def test_other_endpoints_are_named() -> None:
    """
    With their model, if there is a choice.
    """
    lines = counted(
        OFFICIAL, TextToAudio("waves"), TextToVideo("a boat"), TextToVideo("a fox"), ImageRequest("a")
    ).lines()

    assert [
        "  requests  model                   files each",
        "         2  text-to-video, kling-v3 1",
        "         1  text-to-audio           1",
        "         1  kling-v3                1",
    ] == lines[2:6]
