"""The embedded data set: anime-style portraits drawn from seeded factors, with the factors as labels.

It needs no download and no licence, and because everything in a picture is known, a generator trained on it can be
judged against the truth. Picture `index` of data set `seed` is a pure function of (seed, index, size).

Shapes are in units of the head: 0 is its middle, the chin is at 0.35j and the hair reaches to about -0.44j. A face
fills the picture as in the usual sets of cropped anime faces.
"""

from facegan.data.synthetic.factors import FACTORS, Face, sample_factors
from facegan.data.synthetic.portrait import draw, png

__all__ = ["FACTORS", "Face", "draw", "png", "sample_factors"]
