import functools
import io
import itertools
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image, ImageChops, ImageStat

from kling_async.emulator import pictures
from kling_async.emulator.pictures import draw, size_in_pixels

RATIOS = ["16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9"]

sketch = functools.partial(draw, index=0, seed=7, model_name="kling-v2-1", scale=0.1)


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def distance(one: Image.Image, other: Image.Image) -> float:
    """
    The mean difference of two pictures, in levels of 0 to 255.
    """
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def in_format(image: Image.Image, name: str) -> bytes:
    file = io.BytesIO()
    image.save(file, name)
    return file.getvalue()


def harlequin() -> Image.Image:
    # Four fields of strong colours, as no scene has them.
    colours = [(230, 20, 30), (20, 200, 40), (20, 40, 220), (240, 220, 20)]
    image = Image.new("RGB", (160, 90))
    for place, colour in enumerate(colours):
        image.paste(colour, (80 * (place % 2), 45 * (place // 2), 80 * (place % 2 + 1), 45 * (place // 2 + 1)))
    return image


# Files


@pytest.mark.parametrize(("resolution", "megapixels"), [("1k", 1), ("2k", 4)])
@pytest.mark.parametrize("ratio", RATIOS)
def test_size_has_its_ratio_and_about_a_megapixel(ratio: str, resolution: str, megapixels: int) -> None:
    """
    The sides are multiples of 8, within one of them of the ratio, and their product is the resolution's.
    """
    width, height = size_in_pixels(ratio, resolution)
    across, down = map(int, ratio.split(":"))

    assert (0, 0) == (width % 8, height % 8)
    assert width == pytest.approx(height * across / down, abs=8 * across / down * megapixels)
    assert width * height == pytest.approx(megapixels * 1024 * 1024, rel=0.01)


@pytest.mark.parametrize("ratio", RATIOS)
def test_picture_has_the_size_asked_for(ratio: str) -> None:
    """
    The file has the sides that `size_in_pixels` tells, times the scale.
    """
    width, height = size_in_pixels(ratio, "2k")

    picture = opened(sketch("a hill", aspect_ratio=ratio, resolution="2k"))

    assert (round(width * 0.1), round(height * 0.1)) == picture.size


def test_full_picture_is_a_sound_png_of_modest_size() -> None:
    """
    At the default size the file is a PNG that Pillow verifies, small enough for a README.
    """
    content = draw("a lighthouse at dusk", index=0, seed=7, model_name="kling-v2-1")
    file = Image.open(io.BytesIO(content))
    file.verify()

    assert ("PNG", "RGB", size_in_pixels("16:9", "1k")) == (file.format, file.mode, file.size)
    assert len(content) < 300_000


def test_file_tells_what_it_shows() -> None:
    """
    The prompt and what else made the picture are written into the file, also where no font could show them.
    """
    text = opened(sketch("海边的灯塔")).info

    assert "海边的灯塔" == text["Description"]
    assert "kling-v2-1  ·  picture 0  ·  seed 7" == text["Comment"]


@pytest.mark.parametrize("scene", sorted(pictures._SCENES))
def test_no_side_is_below_sixteen_pixels(scene: str) -> None:
    """
    However small the scale, each kind of scene can be painted.
    """
    prompt = pictures._SCENE_WORDS[scene].split()[0]

    assert [(16, 16)] * 8 == [opened(sketch(prompt, seed=seed, scale=0.0001)).size for seed in range(8)]


@pytest.mark.parametrize(("ratio", "resolution"), [("5:4", "1k"), ("16:9", "8k"), ("", "")])
def test_unknown_size_is_refused(ratio: str, resolution: str) -> None:
    """
    A ratio or a resolution without a size is a ValueError that names both.
    """
    with pytest.raises(ValueError, match=f"{ratio!r} at {resolution!r}"):
        draw("a hill", index=0, seed=0, model_name="m", aspect_ratio=ratio, resolution=resolution)


# The same and different


@pytest.mark.parametrize("scene", sorted(pictures._SCENES))
def test_same_arguments_give_the_same_bytes(scene: str) -> None:
    """
    Each kind of scene is wholly determined, and leaves the program's own random numbers alone.
    """
    prompt = pictures._SCENE_WORDS[scene].split()[0]
    before = random.getstate()

    assert sketch(prompt) == sketch(prompt)
    assert before == random.getstate()


def test_another_process_draws_the_same() -> None:
    """
    Nothing depends on the interpreter's hash seed or on what was drawn before.
    """
    program = (
        "import sys; from kling_async.emulator.pictures import draw;"
        "sys.stdout.buffer.write(draw('a cat', index=0, seed=7, model_name='kling-v2-1', scale=0.1))"
    )

    elsewhere = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout

    assert sketch("a cat") == elsewhere


def test_each_prompt_index_seed_and_model_has_its_own_picture() -> None:
    """
    Not only the bytes: the pixels of any two differ visibly, small as they are.
    """
    drawn = [
        sketch("a hill"),
        sketch("a hill."),
        sketch("a hill", index=1),
        sketch("a hill", seed=8),
        sketch("a hill", model_name="kling-v3"),
    ]

    assert all(distance(opened(one), opened(other)) > 1 for one, other in itertools.combinations(drawn, 2))


def test_pictures_of_one_task_differ_in_light() -> None:
    """
    Neighbours in a series of four are painted from different palettes, so that a gallery is not monotonous.
    """
    series = [opened(sketch("mountains", index=index)) for index in range(4)]

    assert all(distance(one, other) > 8 for one, other in itertools.pairwise(series))


# Words of the prompt


@pytest.mark.parametrize(
    ("prompt", "scene", "motifs"),
    [
        ("A LIGHTHOUSE at dusk", None, ("lighthouse",)),
        ("two cats in the woods", "forest", ("cat",)),
        ("a cathedral, educational", None, ()),
        ("雪山和猫", "peaks", ("cat",)),
        ("", None, ()),
    ],
)
def test_words_choose_scene_and_motif(prompt: str, scene: str | None, motifs: tuple[str, ...]) -> None:
    """
    Whole English words in any case and number count, and Chinese ones wherever they stand.
    """
    hints = pictures._read_hints(prompt)

    assert (scene, motifs) == (hints.scene, hints.motifs)


def test_night_is_darker_than_noon() -> None:
    """
    A word for the time of day decides the light.
    """
    night, noon = (
        ImageStat.Stat(opened(sketch(f"mountains at {time}")).convert("L")).mean[0] for time in ("night", "noon")
    )

    assert night < noon - 60


def test_boats_are_on_water() -> None:
    """
    A boat in a dry scene, and a motif in an abstract one, get a scene that suits them.
    """
    theme = random.Random(1)

    assert "sea" == pictures._choose_scene(pictures._read_hints("a boat in the desert"), theme)
    assert "sea" == pictures._choose_scene(pictures._read_hints("a lighthouse, abstract"), theme)
    assert "city" == pictures._choose_scene(pictures._read_hints("a boat in the city"), theme)


@pytest.mark.parametrize("motif", sorted(pictures._MOTIF_WORDS))
def test_each_motif_is_seen(motif: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without its motif the picture would be another.
    """
    with_motif = opened(sketch(motif))
    monkeypatch.setattr(pictures, "_place", lambda easel, motif: None)

    assert distance(opened(sketch(motif)), with_motif) > 0.05


# Captions


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
    assert shown == pictures._wrapped(prompt, pictures._font(10), 72)


def test_tiny_picture_has_no_caption() -> None:
    """
    A caption that nobody could read is left out.
    """
    image = Image.new("RGB", (160, 90), "white")
    pictures._caption(image, "a hill", "facts", is_frosted=False)

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
        pictures._caption(image, "", "", is_frosted=image is frosted)

    assert stripes.crop((0, 0, 400, 200)).tobytes() == frosted.crop((0, 0, 400, 200)).tobytes()
    assert ImageStat.Stat(stripes.crop((0, 290, 400, 291))).stddev[0] > 30
    assert ImageStat.Stat(frosted.crop((0, 290, 400, 291))).stddev[0] < 10


@settings(max_examples=25, deadline=None)
@given(
    prompt=st.text(max_size=60)
    | st.text(alphabet="海边的灯塔 🐈🌙\ud800\x00\u202e\u0301", max_size=40)
    | st.just("long " * 500),
    index=st.integers(0, 9),
    seed=st.integers(),
    ratio=st.sampled_from(RATIOS),
)
def test_any_prompt_can_be_drawn(prompt: str, index: int, seed: int, ratio: str) -> None:
    """
    Chinese, emoji, lone surrogates, control characters, nothing or very much: there is a picture, with a caption too.
    """
    content = draw(prompt, index=index, seed=seed, model_name=prompt[:9], aspect_ratio=ratio, scale=0.33)

    assert "PNG" == opened(content).format


# References


@pytest.mark.parametrize("name", ["PNG", "JPEG"])
def test_fidelity_draws_the_picture_to_its_reference(name: str) -> None:
    """
    The more fidelity the less distance, and at 1 the reference is all but repeated.
    """
    reference = in_format(harlequin(), name)
    target = harlequin().resize(opened(sketch("a hill")).size)

    distances = [
        distance(opened(sketch("a hill", reference=reference, fidelity=fidelity)), target)
        for fidelity in (0, 0.3, 0.6, 1)
    ]

    assert sorted(distances, reverse=True) == distances
    assert distances[0] > 40
    assert distances[-1] < 8


def test_reference_tints_the_picture_even_without_fidelity() -> None:
    """
    Fidelity 0 takes the colours alone: of a green reference comes a greener picture, which is still the scene.
    """
    reference = in_format(Image.new("RGB", (64, 64), (30, 160, 60)), "PNG")
    plain, tinted = (
        opened(sketch("ember mountains")),
        opened(sketch("ember mountains", reference=reference, fidelity=0)),
    )
    plain_mean, tinted_mean = ImageStat.Stat(plain).mean, ImageStat.Stat(tinted).mean

    assert tinted_mean[1] - tinted_mean[0] > plain_mean[1] - plain_mean[0] + 30
    assert ImageStat.Stat(tinted.convert("L")).stddev[0] > 10


@pytest.mark.parametrize(("beyond", "within"), [(-3.0, 0.0), (7.0, 1.0)])
def test_fidelity_beyond_its_range_is_its_end(beyond: float, within: float) -> None:
    """
    What is more than all is all.
    """
    reference = in_format(harlequin(), "PNG")

    assert sketch("a hill", reference=reference, fidelity=within) == sketch(
        "a hill", reference=reference, fidelity=beyond
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_reference_may_have_any_mode(mode: str) -> None:
    """
    Grey, indexed, deep and transparent PNG files are references as good as any.
    """
    image = Image.new("I;16", (40, 30), 9000) if mode == "I;16" else harlequin().convert("RGBA").convert(mode)

    assert "RGB" == opened(sketch("a hill", reference=in_format(image, "PNG"))).mode


def test_reference_lies_as_its_camera_meant() -> None:
    """
    A jpg that is stored turned, and says so, is turned back.
    """
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    file = io.BytesIO()
    harlequin().rotate(180).save(file, "JPEG", exif=exif)

    picture = opened(sketch("a hill", reference=file.getvalue(), fidelity=1))

    assert distance(picture, harlequin().resize(picture.size)) < 8


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a picture",
        in_format(harlequin(), "PNG")[:90],
        in_format(harlequin(), "JPEG")[:90],
        in_format(harlequin(), "GIF"),
        in_format(harlequin(), "PNG").replace(b"IDAT", b"IDAX"),
    ],
    ids=["empty", "text", "cut png", "cut jpg", "gif", "damaged png"],
)
def test_broken_reference_is_refused(content: bytes) -> None:
    """
    What is no whole jpg or png is a ValueError, not a picture.
    """
    with pytest.raises(ValueError, match="the reference is no jpg or png"):
        sketch("a hill", reference=content)


def test_huge_reference_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A small file that would unfold to more pixels than Pillow thinks safe is refused as broken.
    """
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)

    with pytest.raises(ValueError, match="the reference is no jpg or png"):
        sketch("a hill", reference=in_format(harlequin(), "PNG"))
