"""The face and what carries it: shoulders, ears, nose, mouth, eyes and brows."""

from collections.abc import Sequence
from typing import NamedTuple

from facegan.data.synthetic.canvas import Canvas
from facegan.data.synthetic.drawing import Colour, Path, bezier, brush, ellipse, mirror, mix, on_side, symmetric, tone
from facegan.data.synthetic.factors import EYES, INK, WHITE, Face, Tones
from facegan.data.synthetic.shapes import eye_middle

INSIDE: Colour = (150, 52, 66)  # of the mouth
TONGUE: Colour = (240, 132, 132)


class EyeShape(NamedTuple):
    width: float
    up: float  # height of the upper lid
    down: float  # depth of the lower lid
    slant: float  # how far the outer corner is raised
    flat: float  # how much of the arch of the upper lid is missing at the inner corner


EYE_SHAPES: dict[str, EyeShape] = {
    "round": EyeShape(1.0, 1.1, 1.02, 0.0, 0.0),
    "almond": EyeShape(1.14, 0.8, 0.8, 0.014, 0.2),
    "upturned": EyeShape(1.06, 0.94, 0.84, 0.042, 0.3),
    "drooping": EyeShape(1.06, 0.98, 0.9, -0.034, -0.4),
    "sleepy": EyeShape(1.08, 0.56, 0.9, -0.006, 0.3),
}


def shoulders(canvas: Canvas) -> None:
    body, skin, hue = canvas.body, canvas.skin, canvas.face.outfit
    cloth = Tones(tone(hue, 0.62, 0.45), tone(hue - 0.04, 0.45, 0.4), tone(hue, 0.9, 0.5))
    if canvas.face.quirks[19] < 0.35:  # a white shirt with a coloured hem
        cloth = Tones((246, 246, 250), (190, 192, 214), tone(hue, 0.6, 0.55))
    neck = [0.085 + 0.2j, *bezier(0.085 + 0.36j, 0.1 + 0.44j, 0.24 + 0.47j)]
    body.fill(symmetric([*neck, 0.3 + 0.7j]), skin.base)
    under_chin = [-0.09 + 0.25j, 0.09 + 0.25j, *bezier(0.09 + 0.37j, 0.02 + 0.45j, -0.09 + 0.37j)]
    body.fill(under_chin, skin.shade)
    for side in (neck, mirror(neck)):
        body.line(side, canvas.skin_line, 0.007)
    collar = bezier(0.03 + 0.53j, 0.13 + 0.49j, 0.13 + 0.425j, steps=6)
    half = [0.535j, *collar, *bezier(0.2 + 0.44j, 0.4 + 0.46j, 0.52 + 0.6j), 0.55 + 0.9j, 0.9j]
    hem = brush([0.02 + 0.56j, 0.1 + 0.535j, 0.165 + 0.48j, 0.17 + 0.44j], 0.03, 0.03)
    for s in (1, -1):
        body.fill(on_side(half, s), cloth.base)
        body.line(on_side(half, s), mix(cloth.shade, INK, 0.45), 0.008)
        body.fill(on_side(hem, s), cloth.light)


def visage(canvas: Canvas) -> None:
    """Ears, face, the shadow that the hair casts on it, blush and nose."""
    face, head, skin = canvas.face, canvas.head, canvas.skin
    for s in (-1, 1):
        ear = ellipse(complex(0.272 * face.face_width * s, 0.08), 0.042, 0.068, turn=-0.25 * s)
        head.outlined(ear, skin.base, canvas.skin_line, 0.007)
        hollow = ellipse(complex(0.275 * face.face_width * s, 0.085), 0.022, 0.042, turn=-0.25 * s)
        head.fill(hollow, skin.shade)
    head.fill(canvas.face_outline, skin.base)
    head.line(canvas.jaw, canvas.skin_line, 0.008)
    shadow = [z + complex(0.008 * face.side, 0.03) for z in canvas.front.outline]
    head.fill(shadow, skin.shade, opacity=0.7, within=canvas.face_mask)
    for s in (-1, 1):
        at = eye_middle(face, s) + complex(0.041 * s, 0.103)
        for share in (1.0, 0.68):
            blush = ellipse(at, 0.058 * share, 0.03 * share)
            head.fill(blush, skin.light, opacity=0.32, within=canvas.face_mask)
    nose = complex(0.048 * face.turn, 0.185 + face.eye_height)
    bridge = [nose - 0.008, nose + 0.006 + 0.006j, nose + complex(0.008 * face.side, 0.012)]
    head.stroke(bridge, (0.004, 0.012, 0.004), canvas.skin_line)


def mouth(canvas: Canvas) -> None:
    face = canvas.face
    at = complex(0.042 * face.turn, 0.258 + face.chin * 0.6)
    lip = mix(canvas.skin_line, (120, 30, 50), 0.45)
    if face.mouth in ("open", "grin", "surprised"):
        parted_lips(canvas, at, lip)
    else:
        closed_lips(canvas, at, lip)


def parted_lips(canvas: Canvas, at: complex, lip: Colour) -> None:
    head, kind = canvas.head, canvas.face.mouth
    if kind == "surprised":
        shape = ellipse(at + 0.008j, 0.026, 0.034)
        head.fill(shape, INSIDE)
        head.fill(ellipse(at + 0.024j, 0.018, 0.014), TONGUE)
    else:
        wide, deep, teeth = (0.058, 0.062, 0.02) if kind == "open" else (0.07, 0.045, 0.045)
        upper, low = bezier(at - wide, at + 0.012j, at + wide), at + deep * 1j
        right = bezier(at + wide, low + wide * 0.75 + deep * 0.1j, low, steps=6)
        left = bezier(low, low - wide * 0.75 + deep * 0.1j, at - wide, steps=6)
        shape = [*upper, *right, *left]
        within = head.mask(shape)
        head.fill(shape, INSIDE)
        if kind == "open":
            head.fill(ellipse(low, 0.04, 0.03), TONGUE, within=within)
        head.stroke(upper, (teeth * 0.7, teeth, teeth * 0.7), WHITE, within=within)
    head.line(shape, lip, 0.007, closed=True)


def closed_lips(canvas: Canvas, at: complex, lip: Colour) -> None:
    head, kind = canvas.head, canvas.face.mouth
    left = bezier(at - 0.056 - 0.008j, at - 0.034 + 0.034j, at - 0.002j)
    right = bezier(at - 0.002j, at + 0.034 + 0.034j, at + 0.056 - 0.008j)
    curve = {
        "smile": bezier(at - 0.052 - 0.006j, at + 0.03j, at + 0.052 - 0.006j),
        "neutral": bezier(at - 0.034, at + 0.004j, at + 0.034),
        "pout": bezier(at - 0.028 + 0.008j, at - 0.012j, at + 0.028 + 0.008j),
        "cat": [*left, *right],
    }[kind]
    head.stroke(curve, (0.006, 0.013, 0.013, 0.006), lip)
    if kind in ("pout", "neutral"):
        head.stroke([at - 0.014 + 0.03j, at + 0.014 + 0.03j], (0.007, 0.007), canvas.skin.shade)


def eye(canvas: Canvas, s: int) -> Path:
    """Paint the eye on the left (s = -1) or right (s = 1) of the picture; the outline of its upper lash."""
    face, head, colour = canvas.face, canvas.head, EYES[canvas.face.eye_colour]
    shape, size, middle = EYE_SHAPES[face.eye_shape], face.eye_size, eye_middle(face, s)
    far = 1 - 0.09 * max(0.0, face.turn * s)  # the eye that is turned away looks narrower
    wide, up, down = 0.083 * shape.width * size * far, 0.117 * shape.up * size, 0.106 * shape.down * size

    def place(path: Sequence[complex]) -> Path:
        return [middle + z for z in on_side(path, s)]

    inner, outer = complex(-wide, 0.022), complex(wide, -shape.slant)
    rise = complex(-0.85 * wide, -up * (1 - 0.3 * shape.flat))
    fall = complex(0.6 * wide, -up - shape.slant * 0.6)
    lid = bezier(inner, rise, fall, outer, steps=10)
    sink = complex(0.78 * wide, 0.94 * down - shape.slant * 0.5)
    under = bezier(outer, sink, complex(-0.6 * wide, down), inner, steps=10)
    opening = place([*lid, *under])
    within = head.mask(opening)
    head.fill(opening, (252, 250, 252))

    # Both eyes look the same way and are lit from the same side: neither gaze nor highlights are mirrored.
    iris, rx, ry = middle + face.gaze + complex(-0.004 * s, 0.004), 0.06 * size * far, 0.086 * size
    pupil, shades = mix(colour.shade, INK, 0.6), [colour.shade, colour.base, colour.light]
    head.fill(ellipse(iris, rx, ry), colour.shade, within=within)
    head.fill(ellipse(iris, rx * 0.88, ry * 0.9), shades, within=within)
    head.fill(ellipse(iris + 0.5j * ry, rx * 0.55, ry * 0.26), colour.light, opacity=0.8, within=within)
    head.fill(ellipse(iris - 0.04j * ry, rx * 0.42, ry * 0.45), pupil, within=within)
    lid_shadow = place([*lid, *(z + 0.03j for z in lid[::-1])])
    head.fill(lid_shadow, (60, 40, 80), opacity=0.4, within=within)
    shift = complex(0.41 * rx, 0.42 * ry)
    head.fill(ellipse(iris - shift, rx * 0.36, ry * 0.28, turn=-0.3), WHITE, within=within)
    head.fill(ellipse(iris + shift, rx * 0.2, ry * 0.14), WHITE, within=within)

    wing = outer + complex(0.018, -0.014 - shape.slant * 0.3)
    lash = place(brush([*lid[:-1], outer + 0.002, wing], 0.008, 0.02, 0.026, 0.026, 0.004))
    ink = mix(INK, canvas.hair_line, 0.3)
    head.fill(lash, ink)
    head.fill(place(brush(under[1:7], 0.014, 0.006, 0.003)), mix(ink, canvas.skin_line, 0.35))
    head.fill(place(brush([z - 0.026j for z in lid[3:-1]], 0.002, 0.008, 0.003)), canvas.skin_line)
    return lash


def brows(face: Face) -> list[Path]:
    """Outlines of the brows, left and right of the picture."""
    mood = {"pout": 0.014, "grin": 0.012, "surprised": -0.014}.get(face.mouth, 0.0) + 0.008 * face.brow
    lift = -0.06 + face.brow_height + face.eye_height - (0.02 if face.mouth == "surprised" else 0.0)
    strokes = []
    for s in (-1, 1):
        x = s * 0.137 + face.turn * 0.032
        inner, outer = complex(x - s * 0.06, lift + mood), complex(x + s * 0.07, lift + 0.008 - mood)
        strokes.append(brush(bezier(inner, complex(x, lift - 0.016), outer), 0.016, 0.014, 0.004))
    return strokes
