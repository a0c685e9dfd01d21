"""
Reference images as the service sees them.
"""

import base64
import io
import warnings

import pytest
from PIL import Image

from kling_async.emulator import ApiError
from kling_async.emulator.drawing.reference_blend import open_reference
from kling_async.emulator.input_files import facts_of, picture_of
from kling_async.wire.endpoints.inputs import FileFacts
from tests.fakes.sounds import WAV


def picture(kind: str, width: int = 320, height: int = 300) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((width, height), 50).save(file, format=kind)
    return file.getvalue()


@pytest.mark.parametrize(("kind", "name"), [("PNG", "png"), ("JPEG", "jpg")])
def test_picture_is_measured(kind: str, name: str) -> None:
    """
    Of a png or jpg the kind, the sides and the size in bytes are found.
    """
    data = picture(kind)
    facts = facts_of(base64.b64encode(data).decode())

    assert facts is not None
    assert (len(data), name, 320, 300) == (facts.size_in_bytes, facts.kind, facts.width, facts.height)
    assert data == picture_of(base64.b64encode(data).decode())


@pytest.mark.parametrize("data", [b"", b"no picture", picture("GIF"), picture("PNG")[:2000], picture("JPEG")[:2000]])
def test_what_is_no_whole_picture_has_no_kind(data: bytes) -> None:
    """
    Other formats, and halves of pictures with good headers, are nothing the service can use.
    """
    assert FileFacts(len(data), None) == facts_of(base64.b64encode(data).decode())


def test_sound_is_known() -> None:
    """
    With its length, if it is a WAV; it is no picture.
    """
    text = base64.b64encode(WAV).decode()

    assert FileFacts(len(WAV), "wav", seconds=3.0) == facts_of(text)
    assert picture_of(text) is None


def test_giant_is_no_picture() -> None:
    """
    A header that promises more pixels than anyone would decode is refused, and nothing is decoded.
    """
    header = picture("PNG")[:16] + (30_000).to_bytes(4) + (30_000).to_bytes(4)
    facts = facts_of(base64.b64encode(header + picture("PNG")[24:]).decode())

    assert facts is not None
    assert facts.kind is None


def test_warning_of_a_giant_is_no_error_of_the_emulator() -> None:
    """
    Where warnings are errors, as in many a test suite, what Pillow warns of has no kind.
    """
    file = io.BytesIO()
    Image.new("1", (10_000, 9_500)).save(file, format="PNG")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        facts = facts_of(base64.b64encode(file.getvalue()).decode())
        with pytest.raises(ValueError, match="readable jpg or png: .*bomb"):
            open_reference(file.getvalue(), (64, 64))

    assert facts is not None
    assert facts.kind is None


@pytest.mark.parametrize("text", ["data:image/png;base64,iVBORw0KGgo=", "not base64!", "iVBOR", "é"])
def test_bare_base64_is_asked_for(text: str) -> None:
    """
    A data: prefix, or text that is no Base64, is refused in the vendor's words.
    """
    with pytest.raises(ApiError, match="File is not in a valid base64 format") as caught:
        facts_of(text)

    assert (400, 1201) == (caught.value.http_status, caught.value.code)


def test_url_is_taken_on_trust() -> None:
    """
    Nothing is fetched: each URL stands for a plain picture of a colour of its own.
    """
    first, second = "https://example.com/a.png", "HTTPS://example.com/b.png"

    assert facts_of(first) is None
    assert facts_of(second) is None
    assert picture_of(first) == picture_of(first) != picture_of(second)
    with Image.open(io.BytesIO(picture_of(first) or b"")) as drawn:
        assert "PNG" == drawn.format
