"""What a portrait is drawn from: the labelled factors, their colours, and what varies within them."""

import random
from dataclasses import dataclass
from typing import NamedTuple

from facegan.data.synthetic.drawing import Colour

FACTORS: dict[str, tuple[str, ...]] = {
    "hair_style": ("bob", "long", "twin_tails", "ponytail", "spiky", "wavy", "buns", "braids", "short"),
    "hair_colour": ("black", "brown", "blonde", "orange", "red", "pink", "purple", "blue", "teal", "silver"),
    "eye_colour": ("brown", "amber", "red", "green", "teal", "blue", "purple", "grey"),
    "eye_shape": ("round", "almond", "upturned", "drooping", "sleepy"),
    "mouth": ("smile", "open", "neutral", "pout", "cat", "surprised", "grin"),
    "skin": ("fair", "peach", "tan", "brown"),
    "tilt": ("left", "none", "right"),
    "accessory": ("none", "ribbon", "glasses", "hairband", "flower", "cat_ears", "hairclip", "headphones"),
    "background": ("plain", "gradient", "dots", "stripes", "bokeh", "rays"),
}
SHARES: dict[str, tuple[int, ...]] = {  # how often each value is drawn, where not equally often
    "hair_colour": (3, 4, 3, 2, 2, 3, 2, 3, 2, 2),
    "mouth": (5, 4, 3, 2, 2, 2, 3),
    "skin": (4, 4, 2, 2),
    "accessory": (6, 2, 2, 2, 2, 2, 2, 1),
}


class Tones(NamedTuple):
    base: Colour
    shade: Colour
    light: Colour

    @property
    def lit(self) -> list[Colour]:
        """Gradient of something that is lit from above."""
        return [self.light, self.base]


HAIR: dict[str, Tones] = {
    "black": Tones((58, 56, 76), (36, 33, 50), (122, 124, 158)),
    "brown": Tones((140, 92, 70), (98, 58, 50), (206, 156, 120)),
    "blonde": Tones((248, 214, 128), (222, 166, 88), (255, 244, 200)),
    "orange": Tones((242, 152, 84), (204, 104, 66), (255, 208, 150)),
    "red": Tones((206, 70, 74), (148, 42, 64), (250, 146, 130)),
    "pink": Tones((250, 172, 196), (222, 120, 160), (255, 224, 232)),
    "purple": Tones((156, 120, 206), (108, 76, 164), (212, 186, 244)),
    "blue": Tones((98, 142, 220), (62, 92, 176), (176, 212, 252)),
    "teal": Tones((104, 196, 190), (58, 142, 152), (192, 240, 226)),
    "silver": Tones((218, 222, 236), (168, 172, 202), (252, 252, 255)),
}
EYES: dict[str, Tones] = {
    "brown": Tones((150, 88, 60), (72, 36, 34), (226, 164, 112)),
    "amber": Tones((222, 150, 44), (120, 66, 26), (255, 226, 120)),
    "red": Tones((206, 52, 66), (98, 18, 42), (255, 142, 130)),
    "green": Tones((70, 160, 90), (22, 76, 62), (170, 232, 140)),
    "teal": Tones((40, 164, 172), (14, 74, 96), (140, 240, 226)),
    "blue": Tones((62, 124, 220), (24, 46, 122), (150, 214, 255)),
    "purple": Tones((140, 86, 208), (66, 30, 116), (222, 170, 255)),
    "grey": Tones((132, 142, 160), (64, 68, 90), (206, 216, 228)),
}
SKIN: dict[str, Tones] = {  # `light` is the blush
    "fair": Tones((255, 236, 224), (244, 198, 188), (255, 164, 164)),
    "peach": Tones((255, 222, 200), (238, 178, 158), (252, 146, 138)),
    "tan": Tones((240, 196, 158), (210, 148, 118), (234, 128, 110)),
    "brown": Tones((190, 136, 104), (148, 96, 80), (200, 104, 92)),
}
ACCENTS: tuple[Tones, ...] = (  # of what is worn in the hair
    Tones((226, 76, 96), (160, 40, 72), (255, 168, 168)),
    Tones((250, 150, 178), (210, 92, 134), (255, 214, 224)),
    Tones((255, 204, 92), (214, 142, 58), (255, 240, 178)),
    Tones((112, 200, 168), (56, 142, 128), (200, 242, 220)),
    Tones((102, 168, 236), (58, 108, 188), (190, 224, 255)),
    Tones((72, 84, 150), (42, 46, 98), (150, 166, 222)),
    Tones((172, 136, 222), (118, 82, 174), (224, 204, 250)),
    Tones((250, 248, 250), (190, 190, 212), (255, 255, 255)),
)
INK: Colour = (44, 28, 44)
WHITE: Colour = (255, 255, 255)


@dataclass(frozen=True)
class Face:
    """Everything a portrait is drawn from: the labelled factors, and what varies within them."""

    hair_style: str
    hair_colour: str
    eye_colour: str
    eye_shape: str
    mouth: str
    skin: str
    tilt: str
    accessory: str
    background: str

    angle: float  # of the head in degrees, clockwise: below 0 its top leans to the left of the picture
    turn: float  # the face looks to the left of the picture (-1) or to the right (1)
    gaze: complex  # where the irises are, from the middle of the eye
    zoom: float  # share of the picture that one unit takes
    offset: complex  # of the head, as a share of the picture
    side: int  # -1 or 1: on which side sits what sits on one side
    face_width: float
    chin: float  # how much longer the face is
    eye_size: float
    eye_gap: float
    eye_height: float
    brow: float  # worried (-1) to stern (1)
    brow_height: float
    part: float  # where the fringe parts
    forehead: float  # how much of it shows at the part, 0 to 1
    teeth: int  # of the fringe
    fringe_depth: float
    fringe_lean: float
    fringe_drop: float
    lock_length: float  # of the side locks, within what the style allows, 0 to 1
    volume: float
    warmth: float  # of the hair colour: cooler below 0, warmer above
    accent: float  # which accent colour, 0 to 1
    outfit: float  # hue of the clothes, in turns
    backdrop: float  # hue of the background, in turns
    quirks: tuple[float, ...]  # 24 numbers in [0, 1) for irregularities without a name

    def labels(self) -> dict[str, str]:
        """Factor -> value, in the order of FACTORS."""
        return {factor: getattr(self, factor) for factor in FACTORS}


def sample_factors(seed: int, index: int) -> Face:
    """Face `index` of the data set `seed`, the same on every machine and Python version."""
    # Seeding with text and .random() are the parts of `random` whose results Python promises to keep.
    rng = random.Random(f"{seed}/{index}").random

    def between(low: float, high: float) -> float:
        return low + (high - low) * rng()

    def choose(factor: str) -> str:
        values = FACTORS[factor]
        shares = SHARES.get(factor, (1,) * len(values))
        urn = [value for value, share in zip(values, shares, strict=True) for _ in range(share)]
        return urn[int(rng() * len(urn))]

    factors = {factor: choose(factor) for factor in FACTORS}
    # Gaps between the three, so that the label can be seen. All are drawn: the stream must not depend on the label.
    angle = {"left": between(-16, -7), "none": between(-2.5, 2.5), "right": between(7, 16)}[factors["tilt"]]
    forehead = rng()
    return Face(
        **factors,
        angle=angle,
        turn=between(-1, 1),
        gaze=complex(between(-0.014, 0.014), between(-0.008, 0.008)),
        zoom=between(1.04, 1.24),
        offset=complex(between(-0.03, 0.03), between(-0.02, 0.03)),
        side=-1 if rng() < 0.5 else 1,
        face_width=between(0.94, 1.06),
        chin=between(-0.012, 0.018),
        eye_size=between(0.92, 1.1),
        eye_gap=between(-0.006, 0.01),
        eye_height=between(-0.014, 0.014),
        brow=between(-1, 1),
        brow_height=between(-0.012, 0.012),
        part=between(-0.15, 0.15),
        forehead=forehead * forehead,
        teeth=4 + int(rng() * 3),
        fringe_depth=between(0.06, 0.15),
        fringe_lean=between(0.1, 0.7),
        fringe_drop=between(-0.03, 0.04),
        lock_length=rng(),
        volume=between(0.97, 1.05),
        warmth=between(-0.06, 0.06),
        accent=rng(),
        outfit=rng(),
        backdrop=rng(),
        quirks=tuple(rng() for _ in range(24)),
    )
