"""Which faults of pictures each score was measured to see."""

CORRUPTIONS = (
    *("blur", "noise", "JPEG", "colour shift", "moved eyes", "two halves"),
    *("dropped modes", "duplicates", "copies", "upsampling"),
)

# The corruptions of real pictures that make a score worse, in order, on every set that was measured: it may miss the
# others. `python -m benchmarks.corruptions` measures that, in the spaces that need no download.
SEES: dict[str, tuple[str, ...]] = {
    "fd_face": (
        "blur",
        "noise",
        "JPEG",
        "colour shift",
        "moved eyes",
        "two halves",
        "dropped modes",
        "duplicates",
        "upsampling",
    ),
    "kid_face": ("blur", "noise", "moved eyes", "upsampling"),
    "precision_face": ("moved eyes", "two halves", "upsampling"),
    "recall_face": ("blur", "noise", "dropped modes", "duplicates", "upsampling"),
    "density_face": ("moved eyes", "two halves", "upsampling"),
    "coverage_face": ("blur", "noise", "moved eyes", "two halves", "dropped modes", "duplicates", "upsampling"),
    "fd_random": (
        "blur",
        "noise",
        "colour shift",
        "moved eyes",
        "two halves",
        "dropped modes",
        "duplicates",
        "upsampling",
    ),
    "kid_random": (
        "blur",
        "noise",
        "colour shift",
        "moved eyes",
        "two halves",
        "dropped modes",
        "duplicates",
        "upsampling",
    ),
    "precision_random": ("noise", "colour shift", "moved eyes", "two halves", "upsampling"),
    "recall_random": ("blur", "JPEG", "colour shift", "dropped modes", "duplicates"),
    "density_random": ("noise", "colour shift", "moved eyes", "two halves", "upsampling"),
    "coverage_random": (
        "noise",
        "colour shift",
        "moved eyes",
        "two halves",
        "dropped modes",
        "duplicates",
        "upsampling",
    ),
    "sliced_wasserstein": (
        "blur",
        "noise",
        "JPEG",
        "moved eyes",
        "two halves",
        "dropped modes",
        "duplicates",
        "upsampling",
    ),
    "ms_ssim": ("blur", "noise"),
    "color_distance": ("blur", "noise", "JPEG", "colour shift", "dropped modes", "duplicates"),
    "checkerboard_energy": ("upsampling",),
    "memorization": ("copies",),
    "generalization_gap": ("copies",),
}


def sees(name: str) -> tuple[str, ...]:
    """The corruptions that a score sees, by its name in a report; in other networks' spaces that was not measured."""
    return SEES.get(name, ())
