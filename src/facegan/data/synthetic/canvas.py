"""What the layers of a portrait share: the picture, the pens, the colours and the outlines of face and hair."""

import math

from PIL import Image

from facegan.data.synthetic.drawing import Paint, Path, Pen, distance, mix
from facegan.data.synthetic.factors import ACCENTS, HAIR, INK, SKIN, Face, Tones
from facegan.data.synthetic.shapes import comb, jaw


class Canvas:
    """One picture in the making."""

    def __init__(self, face: Face, size: int) -> None:
        self.face = face
        # Small pictures are drawn as large as others and reduced more, or lines would differ in width with size.
        self.oversampling = max(3, 384 // size)
        side = size * self.oversampling
        self.picture = Image.new("RGB", (side, side))
        tall = face.accessory == "cat_ears" or face.hair_style == "buns"  # needs room above the head
        zoom = (face.zoom - 0.1 if tall else face.zoom) * side
        centre = (complex(0.5, 0.53 if tall else 0.475) + face.offset) * side
        turn = math.radians(face.angle)
        spin = complex(math.cos(turn), math.sin(turn))
        self.page = Pen(self.picture, complex(side), 0j)
        self.body = Pen(self.picture, complex(zoom), centre)
        self.head = Pen(self.picture, zoom * spin, centre + 0.3j * zoom * (1 - spin))  # turned about the neck

        glow = (255, 226, 190) if face.warmth > 0 else (200, 206, 255)
        self.hair = Tones(*(mix(colour, glow, abs(face.warmth)) for colour in HAIR[face.hair_colour]))
        self.hair_line = mix(self.hair.shade, INK, 0.5)
        self.skin = SKIN[face.skin]
        self.skin_line = mix(self.skin.shade, (110, 40, 50), 0.5)
        # Only colours that stand out from the hair they are worn in.
        apart = [tones for tones in ACCENTS if distance(tones.base, HAIR[face.hair_colour].base) > 110]
        self.accent = apart[int(face.accent * len(apart))]
        self.accent_line = mix(self.accent.shade, INK, 0.3)

        self.front = comb(face)
        self.front_mask = self.head.mask(self.front.outline)
        self.jaw = jaw(face)
        self.face_outline = [*self.jaw, -0.25 - 0.25j, 0.25 - 0.25j]
        self.face_mask = self.head.mask(self.face_outline)

    def lock(self, path: Path, paint: Paint) -> None:
        """A shape of hair with its outline."""
        self.head.outlined(path, paint, self.hair_line, 0.008)

    def worn(self, path: Path, paint: Paint) -> None:
        """A shape of what is worn in the hair, with its outline."""
        self.head.outlined(path, paint, self.accent_line, 0.008)

    def finished(self) -> Image.Image:
        """The picture, reduced to the size asked for."""
        return self.picture.reduce(self.oversampling)
