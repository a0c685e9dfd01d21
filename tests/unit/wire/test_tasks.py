"""
The values that travel.
"""

import io
import pickle
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, get_type_hints

import attrs
import pytest
from PIL import Image as Pillow

from kling_async.client.outcomes import Done, Failed
from kling_async.errors import InvalidRequest, TaskFailed
from kling_async.wire import tasks
from kling_async.wire.endpoints.image_generation import ChangesByName, FieldsByName, ImageRequest, Model, RequestByName
from kling_async.wire.endpoints.inputs import describe_source
from kling_async.wire.tasks import Image, TaskInfo, TaskOutput, TaskResult, TaskSnapshot, TaskStatus

SIGNED = "https://cdn.klingai.com/0.png?Signature=c2VjcmV0"
REQUEST = ImageRequest("a lighthouse", image=SIGNED, callback_url="https://hooks.example/kling?token=abc", n=2)
SNAPSHOT = TaskSnapshot(
    task_id="t-1",
    task_status=TaskStatus.SUCCEEDED,
    status_word="succeed",
    task_result=TaskOutput((Image(0, SIGNED, SIGNED),)),
    task_info=TaskInfo("order-17"),
    final_unit_deduction=Decimal(8),
    raw={"task_id": "t-1", "url": SIGNED},
)
RESULT = TaskResult("t-1", SNAPSHOT.task_result.images, SNAPSHOT)
VALUES = [
    REQUEST,
    SNAPSHOT,
    RESULT,
    Done(0, "key", REQUEST, RESULT, (Path("t-1-0.png"),)),
    Failed(1, None, None, TaskFailed("too dark", "t-1", snapshot=SNAPSHOT)),
]


@pytest.mark.parametrize("value", VALUES[:-1])
def test_value_travels(value: object) -> None:
    """
    Values survive pickling, and are hashable.
    """
    again = pickle.loads(pickle.dumps(value))  # noqa: S301 (our own bytes)

    assert value == again
    assert {value} == {again}


def test_failure_travels() -> None:
    """
    A failure survives pickling with its error; errors are equal by identity alone.
    """
    failed = Failed(1, None, REQUEST, TaskFailed("too dark", "t-1", snapshot=SNAPSHOT))

    again = pickle.loads(pickle.dumps(failed))  # noqa: S301 (our own bytes)

    assert (1, REQUEST, "t-1") == (again.index, again.request, again.error.task_id)
    assert SNAPSHOT == again.error.snapshot


@pytest.mark.parametrize("value", VALUES)
def test_value_is_frozen_and_slotted(value: Any) -> None:
    """
    Nobody changes a value under the feet of another.
    """
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        value.index = 7

    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize("value", VALUES)
def test_no_repr_shows_a_signature(value: object) -> None:
    """
    Reprs hide the queries of URLs.
    """
    shown = repr(value)

    assert "c2VjcmV0" not in shown
    assert "token=abc" not in shown


def test_raw_is_out_of_equality() -> None:
    """
    Two snapshots are equal by what they mean, whatever unknown fields came along.
    """
    other = attrs.evolve(SNAPSHOT, raw={})

    assert SNAPSHOT == other
    assert hash(SNAPSHOT) == hash(other)


def test_enums_are_their_words() -> None:
    """
    Enums accept, and are, their wire string.
    """
    assert ImageRequest("a", model_name="kling-v1") == ImageRequest("a", model_name=Model.V1)
    assert "kling-v1" == f"{Model.V1}"


@pytest.mark.parametrize("image", [None, "https://x/y.png", "QUJD", Path("cat.png"), b"bytes", 5, ["list"]])
def test_image_is_kept(image: Any) -> None:
    """
    What needs no taking in is kept as it is; nonsense too, so that the refusal can name it.
    """
    assert image == ImageRequest("a", image=image).image


@pytest.mark.parametrize("image", [bytearray(b"bytes"), memoryview(b"bytes"), io.BytesIO(b"bytes")])
def test_image_is_taken_in(image: Any) -> None:
    """
    What can change or be read once becomes bytes at construction.
    """
    assert b"bytes" == ImageRequest("a", image=image).image


def test_file_object_that_cannot_be_read() -> None:
    """
    It is refused as any other image is, whatever it raises.
    """

    class Lost(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise TimeoutError(size)

    closed = io.BytesIO(b"bytes")
    closed.close()
    for image, told in ((closed, "closed file"), (Lost(), "-1")):
        with pytest.raises(InvalidRequest, match=f"^image=<.*>: must be a file object that can be read: .*{told}"):
            ImageRequest("a", image=image)


def test_pillow_image_is_taken_in() -> None:
    """
    A Pillow image becomes a PNG.
    """
    image: Any = Pillow.new("RGB", (300, 400), "red")

    taken = ImageRequest("a", image=image).image

    assert isinstance(taken, bytes)
    assert ("PNG", (300, 400)) == ((again := Pillow.open(io.BytesIO(taken))).format, again.size)


def test_pillow_image_that_png_cannot_hold() -> None:
    """
    A picture made for print, as many a JPEG is, is taken in by its colours.
    """
    image: Any = Pillow.new("CMYK", (300, 400))

    taken = ImageRequest("a", image=image).image

    assert isinstance(taken, bytes)
    assert "RGB" == Pillow.open(io.BytesIO(taken)).mode


@pytest.mark.parametrize(
    ("image", "shown"),
    [
        (None, "None"),
        (b"bytes", "<5 bytes>"),
        (Path("cat.png"), "Path('cat.png')"),
        (SIGNED, "'https://cdn.klingai.com/0.png?…'"),
        ("cat.png", "'cat.png'"),
        ("QUJD" * 100, "<text of 400 characters>"),
        (5, "<int>"),
    ],
)
def test_image_is_described(image: object, shown: str) -> None:
    """
    A description never shows the content.
    """
    assert shown == describe_source(image)


def test_long_prompt_is_shortened_in_the_repr() -> None:
    """
    A request fits into a line of a debugger; a prompt of the wrong type is shown all the same.
    """
    wrong: Any = 5

    assert len(repr(ImageRequest("x" * 2500, negative_prompt="y" * 2500))) < 500
    assert "prompt=5, negative_prompt=None" in repr(ImageRequest(wrong))


def test_keyword_arguments_are_the_fields() -> None:
    """
    What is taken by name beside a request is what a request holds; of pictures also what becomes bytes, and lists.
    """
    taken = {**get_type_hints(ImageRequest), "image": Any, "element_list": Sequence[Any] | None}

    assert taken == get_type_hints(RequestByName) == get_type_hints(ChangesByName)
    assert {"prompt"} == taken.keys() - get_type_hints(FieldsByName).keys()


def test_surface() -> None:
    """
    What the module names is there, in order.
    """
    assert sorted(tasks.__all__) == tasks.__all__
    assert all(hasattr(tasks, name) for name in tasks.__all__)
