"""
What moves in a video.
"""

import math

import pytest
from PIL import Image

from kling_async.emulator.drawing.moving_parts import Bird, Floating, Glint, MovingParts, Star
from kling_async.emulator.filming.planes import WHITE, Planes
from kling_async.emulator.filming.sprites import Flock, Glitter, Motes, Raft, Sprite, Swarm, swarms_of

SIZE = (400, 226)
GLINT = Glint((100.0, 150.0), 12.0, 1.5)
TIMES = [number / 24 for number in range(144)]


def raft(motif: str) -> Raft:
    mask = Image.new("L", (31, 41), 255)
    return Raft.of(Floating(motif, (60, 80), Image.new("RGB", mask.size, "red"), mask))


SWARMS: list[Swarm] = [
    Flock((Bird((200.0, 100.0), 9.0, 4.0),), 30, 20.0),
    Glitter((GLINT, Star((50.0, 20.0))), 4),
    Motes(SIZE, 1),
    raft("boat"),
    raft("balloon"),
    raft("rocket"),
]


@pytest.mark.parametrize("swarm", SWARMS, ids=lambda swarm: getattr(swarm, "motif", type(swarm).__name__))
def test_everything_moves_a_little_at_a_time(swarm: Swarm) -> None:
    """
    It is somewhere else, or brighter, after a while, and never jumps.
    """
    shown = [{(round(sprite.left), round(sprite.top)) for sprite in swarm.sprites(seconds)} for seconds in TIMES]

    assert len({frozenset(places) for places in shown}) > 3
    assert list(swarm.sprites(1.0)) == list(swarm.sprites(1.0))
    if isinstance(swarm, Raft | Flock):
        (first,), *others = shown
        for (place,) in others:
            assert math.dist(first, place) <= 3
            first = place


def test_sprite_is_drawn_where_it_is() -> None:
    """
    At its place in the part that the camera sees, and nowhere else; parts outside are cut off.
    """
    for left, top, seen in ((12.0, 8.0, (2, 3, 6, 7)), (8.0, 3.0, (0, 0, 2, 2)), (100.0, 100.0, None)):
        planes = Planes.of(Image.new("RGB", (20, 20)))
        before = planes.luma.getpixel((19, 19))
        Sprite(left, top, Image.new("L", (4, 4), 255), WHITE).draw(planes, (10, 5))

        assert seen == planes.luma.point(lambda level, low=before: 255 * (level > low)).getbbox()


def test_raft_brings_its_colours() -> None:
    """
    The colours of a motif move with it.
    """
    planes = Planes.of(Image.new("RGB", SIZE, "blue"))
    for sprite in raft("boat").sprites(0.0):
        sprite.draw(planes, (0, 0))
    red, blue = Planes.of(Image.new("RGB", (2, 2), "red")), Planes.of(Image.new("RGB", (2, 2), "blue"))

    assert [plane.getpixel((0, 0)) for plane in red] == [
        planes.luma.getpixel((70, 100)),
        planes.blue.getpixel((35, 50)),
        planes.red.getpixel((35, 50)),
    ]
    assert [plane.getpixel((0, 0)) for plane in blue] == [plane.getpixel((5, 5)) for plane in planes]


def test_what_moves_in_a_picture() -> None:
    """
    Birds, lights and motifs, from back to front; motes where nothing else moves.
    """
    image, moving = Image.new("RGB", SIZE), MovingParts()
    assert [Motes] == [type(swarm) for swarm in swarms_of(moving, image, 1)]

    moving.birds.append(Bird((200.0, 100.0), 9.0, 4.0))
    moving.floating.append(Floating("boat", (0, 0), Image.new("RGB", (3, 3)), Image.new("L", (3, 3))))
    moving.add_lights([GLINT], image)
    there, back = (swarms_of(moving, image, seed) for seed in (1, 2))

    assert [Glitter, Raft, Flock] == [type(swarm) for swarm in there]
    assert isinstance(there[2], Flock)
    assert isinstance(back[2], Flock)
    assert there[2].pace == -back[2].pace > 0
