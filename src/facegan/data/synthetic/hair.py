"""The hair: what is seen of it behind the face, and what falls in front."""

from itertools import pairwise

from facegan.data.synthetic.canvas import Canvas
from facegan.data.synthetic.drawing import Path, bezier, brush, ellipse, mirror, mix, on_side, smooth, symmetric
from facegan.data.synthetic.factors import INK, Face


def back_edge(face: Face) -> tuple[Path, list[Path]]:
    """Right edge of the hair behind the face, from the top down, and the strands that show in it."""
    style, v, r = face.hair_style, face.volume, face.quirks
    if style == "bob":
        end = 0.26 + 0.1 * r[10]
        edge = [0.375 * v + 0.06j, complex(0.385 * v, end - 0.1), complex(0.3, end + 0.02), complex(0.1, end + 0.03)]
        return edge, [bezier(0.33 + 0.05j, complex(0.36, end - 0.1), complex(0.29, end - 0.02))]
    if style in ("long", "wavy"):
        start, wave = (0.375, 0.034) if style == "wavy" else (0.345, 0.005)
        edge = [complex((start + 0.014 * k) * v + wave * (-1) ** k, 0.02 + 0.11 * k) for k in range(7)]
        return edge, [smooth([z - 0.05 - 0.01 * k for z in edge[k:]]) for k in (1, 2)]
    if style == "spiky":
        tips = [0.3 - 0.1j, 0.44 + 0.06j, 0.33 + 0.08j, 0.42 + 0.2j, 0.29 + 0.17j, 0.33 + 0.3j, 0.17 + 0.2j]
        tips = [z + 0.03 * (r[k] - 0.5) for k, z in enumerate(tips)]
        return [z for a, b in pairwise(tips) for z in bezier(a, (a + b) / 2 + 0.012 + 0.012j, b, steps=4)], []
    return [0.32 + 0.08j, 0.24 + 0.24j], []


def back_hair(canvas: Canvas) -> None:
    """What is seen of the hair behind face and shoulders."""
    face, hair, style, v = canvas.face, canvas.hair, canvas.face.hair_style, canvas.face.volume
    edge, strands = back_edge(face)
    around = symmetric(edge)
    if style != "spiky":
        top: Path = [-0.33 * v - 0.1j, -0.24 * v - 0.33j, -0.38j * v, 0.24 * v - 0.33j, 0.33 * v - 0.1j]
        around = smooth([*top, *around], closed=True)
    canvas.lock(around, [mix(hair.base, hair.shade, 0.4), hair.shade, mix(hair.shade, INK, 0.2)])
    for strand in strands:
        for path in (strand, mirror(strand)):
            canvas.head.stroke(path, (0.002, 0.01, 0.004), canvas.hair_line)
    if style == "twin_tails":
        knots = [0.28 - 0.24j, 0.4 - 0.2j, 0.46 + 0.02j + 0.04 * face.quirks[11], 0.42 + 0.3j, 0.46 + 0.62j]
        for s in (-1, 1):
            tail(canvas, knots, s)
    elif style == "ponytail":
        tail(canvas, [0.17 - 0.36j, 0.33 - 0.4j, 0.44 - 0.2j, 0.42 + 0.15j, 0.47 + 0.5j], face.side)
    elif style == "buns":
        for s in (-1, 1):
            at = complex(0.245 * s, -0.37)
            canvas.lock(ellipse(at, 0.125, 0.115), [*hair.lit, hair.shade])
            for share in (0.45, 0.75):
                canvas.head.line(ellipse(at, 0.125 * share, 0.115 * share)[3:16], hair.shade, 0.008)


def tail(canvas: Canvas, knots: Path, s: int) -> None:
    """A bound tail of hair along the knots (given for the right side) on side s, with its tie."""
    hair, knots = canvas.hair, on_side(knots, s)
    spine = smooth(knots)
    canvas.lock(brush(spine, 0.07, 0.17, 0.2, 0.18, 0.12), [hair.base, hair.base, hair.shade])
    for aside in (-0.03, 0.03):
        canvas.head.stroke([z + aside for z in spine[3:]], (0.004, 0.012, 0.004), hair.shade)
    canvas.worn(ellipse(knots[0] + (knots[1] - knots[0]) * 0.35, 0.036, 0.055), canvas.accent.base)


def braids(canvas: Canvas) -> None:
    for s in (-1, 1):
        for k in range(7):
            for lobe in (-1, 1):
                at = complex(s * (0.285 + 0.01 * k) + 0.026 * lobe, 0.17 + 0.062 * k + 0.012 * lobe)
                canvas.lock(ellipse(at, 0.034, 0.05, turn=-0.7 * lobe), [*canvas.hair.lit, canvas.hair.shade])


def front_hair(canvas: Canvas) -> None:
    """The dome, the side locks and the fringe, with what hangs or stands out from them."""
    face, head, hair, front, within = canvas.face, canvas.head, canvas.hair, canvas.front, canvas.front_mask
    r = face.quirks
    ends = mix(hair.base, hair.light, 0.3)
    head.fill(front.outline, [mix(hair.base, hair.shade, 0.25), hair.base, hair.base, ends])
    for side, seam in front.seams:
        # The shaded side of a lock: along its edge, up the seam, and back in a shallow curve.
        back = bezier(seam[3], (side[0] + side[-1]) / 2 + (seam[3] - seam[0]) * 0.2, side[-1])
        head.fill([*side[::-1], *seam[:4], *back], hair.shade, opacity=0.85, within=within)
    for inner in front.inner:
        head.stroke(inner, (0.01, 0.07, 0.06, 0.01), hair.shade, opacity=0.8, within=within)
    crown = front.seams[0][1][-1]
    for k in range(7):
        x = -0.27 + 0.09 * k + 0.05 * (r[k + 2] - 0.5)
        strand = bezier(crown + 0.02j, complex(x * 1.1, -0.39), complex(x * 1.12, -0.16 - 0.1 * r[k]))
        head.stroke(strand[2:], (0.002, 0.008, 0.002), hair.shade, opacity=0.6, within=within)
    shine(canvas)
    for _, seam in front.seams:
        head.stroke(seam[:5], (0.01, 0.006, 0.002), canvas.hair_line)
    if r[18] < 0.3:  # a stray strand on top
        s, root = face.side, complex(face.part * 0.5, -0.425 * face.volume)
        stray = [root + z for z in bezier(0j, -0.11j, complex(0.1 * s, -0.09), complex(0.13 * s, -0.01))]
        head.stroke(stray, (0.02, 0.03, 0.004), canvas.hair_line)
        head.stroke(stray[:-1], (0.01, 0.016, 0.002), hair.base)
    head.line(front.outline, canvas.hair_line, 0.0085, closed=True)
    if face.hair_style == "braids":
        braids(canvas)


def shine(canvas: Canvas) -> None:
    """The band of light around the crown, ragged where it meets the locks, with one gap."""
    r, n = canvas.face.quirks, 16
    upper: Path = []
    lower: Path = []
    for k in range(n + 1):
        x = -0.27 + 0.54 * k / n
        y = -0.27 + 0.05 * r[21] + 1.5 * x * x
        thick = 0.034 * (1 - x * x / 0.09)
        upper.append(complex(x, y - thick * (0.4 if k % 2 else 0.8)))
        lower.append(complex(x * 1.02, y + thick * (0.35 if k % 2 else 0.9 + 0.8 * r[k])))
    gap = 5 + int(r[22] * 6)
    for part in (slice(0, gap), slice(gap, n + 1)):
        shape = [*upper[part], *lower[part][::-1]]
        canvas.head.fill(shape, canvas.hair.light, opacity=0.85, within=canvas.front_mask)
