"""Which faults of pictures each score was measured to see."""

CORRUPTIONS = (
    *("blur", "noise", "JPEG", "colour shift", "moved eyes", "two halves"),
    *("dropped modes", "duplicates", "copies", "upsampling"),
)

# The corruptions of real pictures that make a score worse, in order, on every set that was measured: it may miss the
# others. `python -m benchmarks.corruptions` measures that, in the spaces that need no download.
SEES: dict[str, tuple[str, ...]] = {
    "fd_face": ("blur", "noise", "moved eyes", "dropped modes", "duplicates", "upsampling"),
    "kid_face": ("blur", "noise", "moved eyes", "upsampling"),
    "precision_face": ("moved eyes",),
    "recall_face": ("blur", "noise", "dropped modes", "duplicates"),
    "density_face": ("moved eyes", "two halves", "upsampling"),
    "coverage_face": ("blur", "noise", "moved eyes", "duplicates", "upsampling"),
    "fd_random": ("blur", "noise", "colour shift", "dropped modes", "duplicates", "upsampling"),
    "kid_random": ("blur", "noise", "colour shift", "dropped modes", "upsampling"),
    "precision_random": ("noise", "colour shift", "upsampling"),
    "recall_random": ("blur", "colour shift", "dropped modes", "duplicates"),
    "density_random": ("colour shift", "upsampling"),
    "coverage_random": ("noise", "colour shift", "dropped modes", "duplicates", "upsampling"),
    "sliced_wasserstein": ("blur", "noise", "dropped modes", "duplicates", "upsampling"),
    "ms_ssim": ("blur",),
    "color_distance": ("noise", "colour shift", "dropped modes", "duplicates"),
    "checkerboard_energy": ("upsampling",),
    "memorization": ("copies",),
    "generalization_gap": ("copies",),
}


def sees(name: str) -> tuple[str, ...]:
    """The corruptions that a score sees, by its name in a report; in other networks' spaces that was not measured."""
    return SEES.get(name, ())
