"""
Paints conifers and birds, which several scenes share.
"""

import random

from kling_async.emulator.drawing.canvas import Canvas
from kling_async.emulator.drawing.moving_parts import Bird
from kling_async.emulator.drawing.outlines import Outline, Point, height_at


def _pine(dice: random.Random, x: float, foot: float, height: float) -> Outline:
    left: list[Point] = []
    right: list[Point] = []
    for tier in range(1, 8):
        y = foot - height * (1 - tier / 7.6)
        reach = height * 0.19 * tier / 7
        for edge, side in ((left, -reach), (right, reach)):
            edge += [(x + side * dice.uniform(0.8, 1.15), y), (x + side * 0.45, y - height * 0.02)]
    trunk, root = height * 0.018, foot + height * 0.05
    return [(x, foot - height), *right, (x + trunk, root), (x - trunk, root), *left[::-1]]


def scattered_pines(canvas: Canvas, crest: Outline, height: float, count: int) -> list[Outline]:
    dice = canvas.dice
    # Lazy generators: the random numbers are drawn tree by tree.
    feet = ((x + dice.uniform(-6, 6) * canvas.unit, y) for x, y in (dice.choice(crest) for _ in range(count)))
    return [_pine(dice, x, y + height * 0.15, height * dice.uniform(0.5, 1.25)) for x, y in feet]


def pines_in_a_row(canvas: Canvas, crest: Outline, height: float, count: int, *, clear: float) -> list[Outline]:
    # With a clearing in front of the light, as a share of the width.
    dice, width = canvas.dice, canvas.width
    xs = (width * (place + dice.random()) / count for place in range(count))
    free = (x for x in xs if abs(x - canvas.sun[0]) > width * clear)
    return [_pine(dice, x, height_at(crest, x) + 2, height * dice.uniform(0.6, 1.2)) for x in free]


def frame_with_pines(canvas: Canvas) -> None:
    # Large and dark trees at one side, in front of everything else.
    dice, trees = canvas.dice, []
    is_left = dice.random() < 0.5
    for place in range(6):
        share = place * dice.uniform(0.03, 0.055) - 0.02
        x = canvas.width * (share if is_left else 1 - share)
        trees.append(_pine(dice, x, canvas.height * 1.01, canvas.span * dice.uniform(0.34, 0.62) * (1 - 0.11 * place)))
    canvas.fill(trees, [canvas.palette.at(0.93), canvas.palette.ground])


def paint_birds(canvas: Canvas, count: int | None = None) -> None:
    dice, birds = canvas.dice, []
    count = dice.choice((0, 5, 7, 9)) if count is None else count
    x, y = canvas.width * dice.uniform(0.25, 0.75), canvas.height * dice.uniform(0.16, 0.32)
    for _ in range(count):
        wing = canvas.unit * dice.uniform(7, 14)
        high = wing * dice.uniform(0.25, 0.6)
        bx, by = x + dice.gauss(0, 75) * canvas.unit, y + dice.gauss(0, 32) * canvas.unit
        birds.append(Bird((bx, by), wing, high))
    colour = canvas.palette.at(0.8)
    if canvas.moving is None:
        canvas.fill([outline for bird in birds for outline in wings_of(bird)], [colour])
    else:
        canvas.moving.birds += birds
        canvas.moving.bird_colour = colour


def wings_of(bird: Bird) -> list[Outline]:
    """
    Return the outlines of both wings.
    """
    (x, y), high = bird.at, bird.high
    wings: list[Outline] = []
    for half in (-bird.wing, bird.wing):
        upper = [(x + half * 0.45, y - high * 1.15), (x + half, y - high), (x + half * 0.5, y - high * 0.75)]
        wings.append([(x, y), *upper, (x, y + bird.wing * 0.16)])
    return wings
