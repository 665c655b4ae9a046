"""What is behind the portrait."""

import math

from facegan.data.synthetic.canvas import Canvas
from facegan.data.synthetic.drawing import Path, ellipse, tone


def background(canvas: Canvas) -> None:
    """Fill the page."""
    face, page, r = canvas.face, canvas.page, canvas.face.quirks
    hue, light = face.backdrop, 0.78 + 0.12 * r[0]  # pale, so that every hair colour stands out
    base, pale = tone(hue, light, 0.5), tone(hue + 0.03, min(0.95, light + 0.07), 0.6)
    frame: Path = [0j, 1 + 0j, 1 + 1j, 1j]
    page.fill(frame, base)
    if face.background == "gradient":
        page.fill(frame, [pale, base, tone(hue - 0.1, light - 0.1, 0.5)])
    elif face.background == "dots":
        step = 0.16 + 0.06 * r[1]
        for row in range(8):
            for column in range(8):
                at = complex(column + 0.5 * (row % 2), row * 0.87) * step
                page.fill(ellipse(at, step * 0.26, step * 0.26, steps=12), pale)
    elif face.background == "stripes":
        step, slope = 0.14 + 0.08 * r[1], 0.6 * face.side + 1j
        for k in range(-6, 14):
            x = complex(k * step)
            page.fill([x, x + step / 2, x + step / 2 + slope, x + slope], pale)
    elif face.background == "bokeh":
        page.fill(frame, [base, tone(hue + 0.08, light - 0.1, 0.5)])
        for k in range(9):
            radius = 0.05 + 0.1 * r[k + 5]
            page.fill(ellipse(complex(r[k], r[k + 9]), radius, radius), pale, opacity=0.55)
    elif face.background == "rays":
        middle = 0.5 + 0.5j
        for k in range(12):
            rim = (math.tau * (k + half + r[1]) / 12 for half in (0, 0.5))
            page.fill([middle, *(middle + complex(math.cos(t), math.sin(t)) for t in rim)], pale)
