"""Pictures as they are looked at and scored: gray ones in three equal channels, transparent ones over white."""

import torch

from facegan.data.stored import Pictures


def to_rgb(images: torch.Tensor) -> torch.Tensor:
    """uint8 [..., channels] to uint8 [..., 3]."""
    channels = images.shape[-1]
    if channels == 3:
        return images
    if channels == 1:
        return images.expand(*images.shape[:-1], 3)
    colour, alpha = images[..., :3].to(torch.int32), images[..., 3:].to(torch.int32)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).to(torch.uint8)


class _InRgb:
    """Others, in three channels when they are read."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self.shape = torch.Size([*pictures.shape[:-1], 3])

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, places: torch.Tensor | slice, /) -> torch.Tensor:
        return to_rgb(self._pictures[places])


def in_rgb(pictures: Pictures) -> Pictures:
    """uint8 [n, h, w, 3] of [n, h, w, channels]."""
    return pictures if pictures.shape[-1] == 3 else _InRgb(pictures)
