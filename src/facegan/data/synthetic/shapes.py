"""The shapes that several layers need."""

import math
from itertools import pairwise
from typing import NamedTuple

from facegan.data.synthetic.drawing import Path, bezier, mirror, smooth, symmetric
from facegan.data.synthetic.factors import Face

LOCKS: dict[str, tuple[float, float]] = {  # where the tips of the side locks end: highest and lowest
    "bob": (0.2, 0.3),
    "long": (0.3, 0.62),
    "twin_tails": (0.12, 0.36),
    "ponytail": (0.1, 0.34),
    "spiky": (0.06, 0.16),
    "wavy": (0.3, 0.5),
    "buns": (0.1, 0.36),
    "braids": (0.1, 0.24),
    "short": (0.02, 0.1),
}


class FrontHair(NamedTuple):
    outline: Path
    seams: list[tuple[Path, Path]]  # for each lock of the fringe: its shaded edge, and the seam up to the crown
    inner: list[Path]  # inner edges of the two side locks


def arch(width: float, base: float, height: float, steps: int = 20) -> Path:
    """Half an ellipse over the head, from left to right, standing on y = base."""
    turns = (math.pi * k / steps for k in range(steps + 1))
    return [complex(-width * math.cos(t), base - height * math.sin(t)) for t in turns]


def skull(face: Face) -> Path:
    """Upper outline of the hair, from the left temple over the top to the right one."""
    v = face.volume
    if face.hair_style != "spiky":
        return arch(0.332 * v, -0.1, 0.345 * v)

    def rim(t: float, reach: float = 1.0) -> complex:
        return complex(-0.332 * math.cos(math.pi * t), -0.345 * math.sin(math.pi * t)) * (v * reach) - 0.1j

    path: Path = []
    for k in range(8):
        a, middle, b = k / 8, (k + 0.5) / 8, (k + 1) / 8
        # Spikes lean away from the whorl, as if the hair grew out of it.
        away = -1 if middle < 0.5 + 0.12 * face.side else 1
        tip, bend = rim(middle + away * 0.055, 1.2 + 0.16 * face.quirks[k]), rim(middle - away * 0.01, 1.12)
        path += bezier(rim(a), (bend + rim(a)) / 2, tip, steps=4)
        path += bezier(tip, (bend + rim(b)) / 2, rim(b), steps=4)
    return path


def side_lock(face: Face, reach: float) -> tuple[Path, Path]:
    """The lock in front of the right ear: outer edge down to the tip, inner edge up from it."""
    root, end = 0.332 * face.volume - 0.1j, 0.236 * face.face_width - 0.03j
    if face.hair_style in ("bob", "long"):
        tip = complex(0.285, reach)
        outer = [0.346 + 0.03j, 0.338 + reach * 0.55j]
        inner = [0.235 + reach * 0.62j, 0.226 + reach * 0.3j]
    elif face.hair_style == "wavy":
        tip = complex(0.3, reach + 0.05)
        outer = [0.352 + 0.03j, 0.335 + reach * 0.4j, 0.36 + reach * 0.75j]
        inner = [0.262 + reach * 0.75j, 0.222 + reach * 0.4j, 0.236 + reach * 0.15j]
    else:  # narrow: the ear shows
        tip = complex(0.262, reach)
        outer = [0.32 - 0.02j, 0.296 + reach * 0.45j]
        inner = [0.243 + reach * 0.4j]
    return smooth([root, *outer, tip]), smooth([tip, *inner, end])


def comb(face: Face) -> FrontHair:
    """Lay out the front hair: the dome, a side lock on each side and a fringe of curved teeth between them."""
    r, part, edge = face.quirks, face.part, 0.236 * face.face_width
    # Valleys of the fringe from the right temple to the left one; one is always at the part.
    teeth = face.teeth - (face.forehead > 0.4)
    right = max(1, round(teeth * (edge - part) / (2 * edge)))
    left = max(1, round(teeth * (edge + part) / (2 * edge)))
    xs = [edge + (part - edge) * k / right for k in range(right)]
    xs += [part - (edge + part) * k / left for k in range(left + 1)]
    xs[1:-1] = [x + 0.035 * (r[k] - 0.5) for k, x in enumerate(xs[1:-1])]

    def hem(x: float) -> float:
        near = max(0.0, 1 - abs(x - part) / 0.26)
        return face.fringe_drop - 0.2 * face.forehead * near * math.sqrt(near)

    valleys = [complex(x, hem(x) - face.fringe_depth * (0.7 + 0.6 * r[k + 12])) for k, x in enumerate(xs)]
    valleys[0], valleys[-1] = complex(xs[0], -0.05), complex(xs[-1], -0.05)
    crown = part * 0.5 - 0.43j
    fringe: Path = []
    seams: list[tuple[Path, Path]] = []
    for k, (start, stop) in enumerate(pairwise(valleys)):
        middle, width = (start.real + stop.real) / 2, start.real - stop.real
        away = 1.0 if middle > part else -1.0
        x = middle + away * face.fringe_lean * width * (0.6 + 0.8 * r[k])
        x = max(0.02 - edge, min(edge - 0.02, x))
        y = hem(x) + 0.035 * (r[k + 6] - 0.4)
        if abs(x) < 0.055 and face.forehead < 0.3:
            y += 0.06 * r[23]  # a longer strand may fall between the eyes
        tip = complex(x, y)
        # Both edges bend the same way, which makes a blade of the tooth; a narrow one would cross itself.
        bulge = complex(away * min(0.022, 0.22 * width), 0.012)
        down = bezier(start, (start + tip) / 2 + bulge * (k > 0), tip, steps=6)
        up = bezier(tip, (tip + stop) / 2 + bulge * (k < len(valleys) - 2), stop, steps=6)
        fringe += [*down, *up[1:]]
        side, root = (down, start) if away < 0 else (up[::-1], stop)
        bow = complex(root.real * 1.25, (root.imag + crown.imag) / 2 - 0.04)
        seams.append((side, bezier(root, bow, crown)))

    low, high = LOCKS[face.hair_style]
    reach = low + (high - low) * face.lock_length
    outer, inner = side_lock(face, reach)
    far, near = (mirror(path)[::-1] for path in side_lock(face, reach + 0.05 * (r[20] - 0.5)))
    return FrontHair([*skull(face), *outer, *inner, *fringe, *near, *far], seams, [inner, near])


def jaw(face: Face) -> Path:
    """Outline of the face below the temples, from the right one over the chin to the left one."""
    w, chin = face.face_width, 0.352 + face.chin
    corner = 0.205 * w + 0.232j
    half = bezier(0.268 * w - 0.06j, 0.276 * w + 0.09j, 0.258 * w + 0.17j, corner)
    half += bezier(corner, 0.15 * w + 0.295j, complex(0.05, chin), complex(0, chin))[1:]
    return [z + 0.07 * face.turn * max(0.0, z.imag) for z in symmetric(half)]


def eye_middle(face: Face, s: int) -> complex:
    """Middle of the eye on the left (s = -1) or on the right (s = 1) of the picture."""
    return complex(s * (0.134 + face.eye_gap) + face.turn * 0.032, 0.09 + face.eye_height)
