import pytest
from PIL import Image, ImageFont, ImageStat

from kling_async.emulator.drawing.caption import wrapped, write_caption


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        ("a  hill\n\tat\x00 dusk", ["a hill at… dusk"]),
        ("海边的 灯塔", []),
        ("a 猫 cat", ["a … cat"]),
        ("", []),
        ("one two three four five six", ["one two three", "four five six"]),
        ("one two three four five six seven eight nine", ["one two three", "four five six se…"]),
        ("incomprehensibilities", ["incomprehen…"]),
    ],
)
def test_caption_fits_into_two_lines(prompt: str, shown: list[str]) -> None:
    """
    Blanks are single, what the font lacks is an ellipsis, as is what has no room; no letters, no caption.
    """
    assert shown == wrapped(prompt, ImageFont.load_default(10), 72)


def test_tiny_picture_has_no_caption() -> None:
    """
    A caption that nobody could read is left out.
    """
    image = Image.new("RGB", (160, 90), "white")
    write_caption(image, "a hill", "facts", is_frosted=False)

    assert [(160 * 90, (255, 255, 255))] == image.getcolors()


def test_caption_of_a_reference_does_not_shine_through() -> None:
    """
    Fine marks at the bottom of a picture that has a reference are blurred before it is captioned anew.
    """
    stripes = Image.new("RGB", (400, 300), "white")
    for x in range(0, 400, 4):
        stripes.paste("black", (x, 0, x + 2, 300))
    frosted = stripes.copy()
    for image in (stripes, frosted):
        write_caption(image, "", "", is_frosted=image is frosted)

    assert stripes.crop((0, 0, 400, 200)).tobytes() == frosted.crop((0, 0, 400, 200)).tobytes()
    assert ImageStat.Stat(stripes.crop((0, 290, 400, 291))).stddev[0] > 30
    assert ImageStat.Stat(frosted.crop((0, 290, 400, 291))).stddev[0] < 10


def test_caption_shows_prompt_above_facts() -> None:
    """
    Light letters stand on what has been darkened; the more lines, the higher.
    """
    heights = []
    for prompt in ("", "a hill", "a hill at dusk, seen from a boat on the lake below"):
        image = Image.new("RGB", (400, 300), (90, 90, 90))
        write_caption(image, prompt, "facts", is_frosted=False)
        bright = image.convert("L").point(lambda level: 255 if level > 130 else 0).getbbox()
        assert bright is not None
        heights.append(bright[1])

    assert sorted(heights, reverse=True) == heights
    assert 3 == len(set(heights))
