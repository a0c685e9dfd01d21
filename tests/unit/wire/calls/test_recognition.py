"""
What is in a picture: what is sent and read.
"""

import json
from decimal import Decimal
from typing import Any

import pytest

from kling_async.errors import UnexpectedAnswer
from kling_async.wire.calls.recognition import IMAGE_RECOGNITION, RecognitionRequest, Segment
from kling_async.wire.codec import write_request
from kling_async.wire.dialects import OFFICIAL
from kling_async.wire.http_answer import Answer


def answer(data: Any) -> Answer:
    return Answer(200, {}, json.dumps({"code": 0, "data": data}).encode())


@pytest.mark.parametrize("image", ["", " ", None, b"x"])
def test_picture_is_required(image: Any) -> None:
    """
    As text, by the time it is sent.
    """
    assert ["image"] == [broken.field for broken in IMAGE_RECOGNITION.rules(RecognitionRequest(image), OFFICIAL)]
    assert {"image": "https://x/1.png"} == write_request(RecognitionRequest("https://x/1.png"))


def test_segments_are_read() -> None:
    """
    Odd ones too: they are paid for.
    """
    items = [{"type": "face_seg", "is_contain": True, "url": "https://x/1.png?Signature=x"}, {}, "x"]

    found = IMAGE_RECOGNITION.read(answer({"task_result": {"images": items}, "final_unit_deduction": "0.1"}))

    assert (Segment("face_seg", True, "https://x/1.png?Signature=x"), Segment("", False)) == found.segments
    assert Decimal("0.1") == found.units
    assert "Signature" not in repr(found)


@pytest.mark.parametrize("data", [None, {}, {"task_result": None}, {"task_result": {"images": {}}}])
def test_answer_without_segments_is_unexpected(data: Any) -> None:
    """
    It may have been charged.
    """
    with pytest.raises(UnexpectedAnswer, match="holds no segments"):
        IMAGE_RECOGNITION.read(answer(data))
