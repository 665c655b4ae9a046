"""Vector drawing with antialiasing, on Pillow alone: curves, colours and a pen.

A point is a complex number (x to the right, y down), so that turning and scaling a shape is one multiplication;
a path is a list of points. Shapes are described in their own units and meet pixels only in ``Pen``, which is why
a picture looks the same at every size.
"""

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw

Path = list[complex]
Colour = tuple[int, int, int]
Paint = Colour | list[Colour]  # one colour, or the stops of a gradient from top to bottom


def bezier(a: complex, b: complex, c: complex, d: complex | None = None, steps: int = 8) -> Path:
    """Quadratic (three points) or cubic (four points) Bezier curve as `steps` + 1 points, both ends included."""
    if d is None:
        b, c, d = a + (b - a) * 2 / 3, c + (b - c) * 2 / 3, c
    path = []
    for i in range(steps + 1):
        t = i / steps
        u = 1 - t
        path.append(a * (u * u * u) + b * (3 * u * u * t) + c * (3 * u * t * t) + d * (t * t * t))
    return path


def smooth(knots: Sequence[complex], closed: bool = False, steps: int = 5) -> Path:
    """Catmull-Rom curve through the knots, with `steps` points for each stretch between two of them."""
    n = len(knots)
    path = []
    for i in range(n if closed else n - 1):
        if closed:
            p, q, r, s = knots[i - 1], knots[i], knots[(i + 1) % n], knots[(i + 2) % n]
        else:
            p, q, r, s = knots[max(i - 1, 0)], knots[i], knots[i + 1], knots[min(i + 2, n - 1)]
        path += bezier(q, q + (r - p) / 6, r - (s - q) / 6, r, steps)[:-1]
    return path if closed else [*path, knots[-1]]


def ellipse(centre: complex, width: float, height: float, turn: float = 0.0, steps: int = 22) -> Path:
    """Ellipse of half-axes `width` and `height`, turned by `turn` radians."""
    spin = complex(math.cos(turn), math.sin(turn))
    circle = (math.tau * i / steps for i in range(steps))
    return [centre + complex(width * math.cos(t), height * math.sin(t)) * spin for t in circle]


def mirror(path: Sequence[complex]) -> Path:
    """The path on the other side of the vertical axis."""
    return [-z.conjugate() for z in path]


def on_side(path: Sequence[complex], s: int) -> Path:
    """A path given for the right side of the picture, on the right (s = 1) or on the left (s = -1)."""
    return list(path) if s > 0 else mirror(path)


def symmetric(half: Sequence[complex]) -> Path:
    """The path, and back along its mirror image."""
    return [*half, *mirror(half)[::-1]]


def brush(path: Sequence[complex], *widths: float) -> Path:
    """Outline of a brush stroke along the path; its full width runs through `widths` at equal distances."""
    left, right, last = [], [], len(path) - 1
    for i, z in enumerate(path):
        along = path[min(i + 1, last)] - path[max(i - 1, 0)]
        at = i / last * (len(widths) - 1)
        k = min(int(at), len(widths) - 2)
        width = widths[k] + (widths[k + 1] - widths[k]) * (at - k)
        normal = along * 1j / (abs(along) or 1.0) * (width / 2)
        left.append(z - normal)
        right.append(z + normal)
    return left + right[::-1]


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with a share in [0, 1] of `b`."""
    red, green, blue = (round(p + (q - p) * share) for p, q in zip(a, b, strict=True))
    return red, green, blue


def distance(a: Colour, b: Colour) -> float:
    """Euclidean distance of two colours, at most 442."""
    return math.dist(a, b)


def tone(hue: float, lightness: float, saturation: float) -> Colour:
    """Colour of a hue in turns (red is 0, green a third); lightness and saturation in [0, 1]."""
    r, g, b = colorsys.hls_to_rgb(hue % 1.0, lightness, saturation)
    return round(r * 255), round(g * 255), round(b * 255)


@dataclass(frozen=True)
class Pen:
    """Draws paths on an RGB picture; a point z of a path lands on pixel z * scale + origin.

    Pixels are whole numbers, so the last digit of a sine or a cosine, which differs between machines, is lost
    before anything is drawn.
    """

    picture: Image.Image
    scale: complex  # pixels per unit, turned by the rotation of the shapes
    origin: complex  # pixel of the point 0

    def pixels(self, path: Sequence[complex]) -> list[tuple[int, int]]:
        scale, origin = self.scale, self.origin + (0.5 + 0.5j)
        placed = [z * scale + origin for z in path]
        return [(math.floor(z.real), math.floor(z.imag)) for z in placed]

    def mask(self, path: Sequence[complex]) -> Image.Image:
        """Picture-sized mask (mode L) that is 255 within the path and 0 elsewhere."""
        mask = Image.new("L", self.picture.size)
        ImageDraw.Draw(mask).polygon(self.pixels(path), fill=255)
        return mask

    def fill(
        self,
        path: Sequence[complex],
        paint: Paint,
        opacity: float = 1.0,
        within: Image.Image | None = None,
    ) -> None:
        """Fill the path with a colour or a gradient, where the mask `within` allows."""
        points = self.pixels(path)
        if isinstance(paint, tuple) and opacity == 1.0 and within is None:
            ImageDraw.Draw(self.picture).polygon(points, fill=paint)
            return
        xs, ys = [x for x, _ in points], [y for _, y in points]
        width, height = self.picture.size
        box = (max(min(xs), 0), max(min(ys), 0), min(max(xs) + 1, width), min(max(ys) + 1, height))
        if box[0] >= box[2] or box[1] >= box[3]:
            return
        # Only the box around the path is touched: masks of the whole picture would dominate the time.
        mask = Image.new("L", (box[2] - box[0], box[3] - box[1]))
        ImageDraw.Draw(mask).polygon([(x - box[0], y - box[1]) for x, y in points], fill=round(255 * opacity))
        if within is not None:
            mask = ImageChops.multiply(mask, within.crop(box))
        if isinstance(paint, tuple):
            self.picture.paste(paint, box, mask)
        else:
            stops = Image.frombytes("RGB", (1, len(paint)), bytes(level for stop in paint for level in stop))
            column = stops.resize((1, mask.height), Image.Resampling.BILINEAR)
            self.picture.paste(column.resize(mask.size, Image.Resampling.NEAREST), box, mask)

    def line(self, path: Sequence[complex], colour: Colour, width: float, closed: bool = False) -> None:
        """A line of even width, in units."""
        points = self.pixels([*path, path[0]] if closed else path)
        thick = max(1, round(width * abs(self.scale)))
        ImageDraw.Draw(self.picture).line(points, fill=colour, width=thick, joint="curve")

    def outlined(self, path: Sequence[complex], paint: Paint, colour: Colour, width: float) -> None:
        """Fill the path with paint, and draw its outline in a colour."""
        self.fill(path, paint)
        self.line(path, colour, width, closed=True)

    def stroke(
        self,
        path: Sequence[complex],
        widths: Sequence[float],
        colour: Colour,
        opacity: float = 1.0,
        within: Image.Image | None = None,
    ) -> None:
        """A brush stroke along the path, see ``brush``."""
        self.fill(brush(path, *widths), colour, opacity, within)
