"""
The pictures that pages show are there, and small enough to be shown.
"""

import re
from pathlib import Path

import PIL.Image
import pytest

DOCS = Path(__file__).parents[1] / "docs"
SHOWN = sorted(
    {DOCS / path for page in DOCS.glob("*.md") for path in re.findall(r"!\[.*?\]\((.*?)\)", page.read_text())}
)


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: path.name)
def test_each_picture_opens(path: Path) -> None:
    """
    It is whole, and has less than 300 kB.
    """
    with PIL.Image.open(path) as picture:
        picture.verify()

    assert path.stat().st_size < 300_000


def test_each_picture_is_shown() -> None:
    """
    What is made anew is shown somewhere: the demo, the doctor, and the gallery in light, dark, on a phone and opened.
    """
    assert 7 == len(SHOWN)
    assert sorted((DOCS / "images").iterdir()) == SHOWN
