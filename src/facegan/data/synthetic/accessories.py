"""What is worn: on the face, and in the hair."""

import math
from collections.abc import Callable

from facegan.data.synthetic.canvas import Canvas
from facegan.data.synthetic.drawing import bezier, brush, ellipse, mix, on_side, smooth
from facegan.data.synthetic.factors import INK, WHITE
from facegan.data.synthetic.shapes import arch, eye_middle


def cat_ears(canvas: Canvas) -> None:
    tip = 0.27 - 0.54j
    ear = [*bezier(0.09 - 0.4j, 0.16 - 0.5j, tip), *bezier(tip, 0.33 - 0.42j, 0.32 - 0.22j)]
    inside = [z * 0.56 + (0.106 - 0.175j) for z in ear]
    for s in (1, -1):
        canvas.lock(on_side(ear, s), [canvas.hair.base, canvas.hair.shade])
        canvas.head.fill(on_side(inside, s), (255, 190, 196))


def glasses(canvas: Canvas) -> None:
    face, head, rim = canvas.face, canvas.head, mix(canvas.accent.shade, INK, 0.55)
    left, right = eye_middle(face, -1), eye_middle(face, 1)
    square = [-0.9 - 1j, 0.9 - 1j, 1 + 0j, 0.7 + 1j, -0.7 + 1j, -1 + 0j]
    for s, at in ((-1, left), (1, right)):
        if face.quirks[17] < 0.4:
            lens = smooth([at + complex(z.real * 0.108, z.imag * 0.082) for z in square], closed=True)
        else:
            lens = ellipse(at + 0.004j, 0.104, 0.096)
        glare = [at + z for z in (-0.07 - 0.016j, -0.03 - 0.071j, -0.076j, -0.055 + 0.024j)]
        head.fill(lens, WHITE, opacity=0.12)
        head.fill(glare, WHITE, opacity=0.35)
        head.line(lens, rim, 0.011, closed=True)
        head.line([at + 0.104 * s - 0.016j, complex(0.29 * s, 0.05)], rim, 0.01)
    head.line(bezier(left + 0.1, (left + right) / 2 - 0.02j, right - 0.1), rim, 0.011)


def ribbon(canvas: Canvas) -> None:
    side = canvas.face.side
    at = complex(0.2 * side, -0.33)
    loop = [0j, *bezier(0.03 - 0.05j, 0.1 - 0.12j, 0.15 - 0.07j)]
    loop += [*bezier(0.16 - 0.01j, 0.15 + 0.06j, 0.1 + 0.06j), 0.03 + 0.03j]
    end = [0j, 0.06 + 0.13j, 0.09 + 0.09j, 0.12 + 0.1j, 0.03 + 0.01j]
    for s in (-1, 1):
        for piece in (end, loop):
            turned = [z * complex(1, 0.35 * side * s) for z in piece]
            canvas.worn([at + z for z in on_side(turned, s)], canvas.accent.lit)
    canvas.worn(ellipse(at, 0.032, 0.036), canvas.accent.base)


def hairband(canvas: Canvas) -> None:
    head, accent, within = canvas.head, canvas.accent, canvas.front_mask
    band = arch(0.34 * canvas.face.volume, -0.08, 0.28, steps=16)
    head.stroke(band, (0.03, 0.056, 0.06, 0.056, 0.03), canvas.accent_line, within=within)
    head.stroke(band, (0.016, 0.042, 0.046, 0.042, 0.016), accent.base, within=within)
    head.stroke([z - 0.008j for z in band[4:13]], (0.002, 0.012, 0.002), accent.light, within=within)


def flower(canvas: Canvas) -> None:
    at = complex(0.235 * canvas.face.side, -0.22)
    for k in range(5):
        t = math.tau * (k / 5 + canvas.face.quirks[16])
        petal = ellipse(at + complex(0.05 * math.cos(t), 0.05 * math.sin(t)), 0.048, 0.036, turn=t)
        canvas.worn(petal, canvas.accent.lit)
    canvas.head.fill(ellipse(at, 0.026, 0.026), (255, 224, 130))


def hairclip(canvas: Canvas) -> None:
    at = complex(0.2 * canvas.face.side, -0.13)
    for bar in (0.038 + 0.049j, 0.054 - 0.03j):
        canvas.worn(brush([at - bar, at + bar], 0.026, 0.026), canvas.accent.lit)


def headphones(canvas: Canvas) -> None:
    v = canvas.face.volume
    canvas.worn(brush(arch(0.36 * v, -0.03, 0.43 * v), 0.034, 0.04, 0.034), canvas.accent.base)
    for s in (-1, 1):
        canvas.worn(ellipse(complex(0.335 * v * s, 0.06), 0.058, 0.096), canvas.accent.lit)
        canvas.head.fill(ellipse(complex(0.345 * v * s, 0.06), 0.03, 0.06), canvas.accent.shade)


UNDER_FRINGE: dict[str, Callable[[Canvas], None]] = {"glasses": glasses, "cat_ears": cat_ears}
ON_TOP: dict[str, Callable[[Canvas], None]] = {
    "ribbon": ribbon,
    "hairband": hairband,
    "flower": flower,
    "hairclip": hairclip,
    "headphones": headphones,
}
