"""The 4x4 convolutions of stride 2 that halve and double a picture, with a faster weight gradient in bf16 on CPUs.

oneDNN's weight gradient of these layers runs at a third of the speed of a matrix product of the same size, which is
where half of a bf16 step goes. Where the picture is small enough for its patches to stay in cache, the gradient is
taken as that matrix product instead: the same sum in another order. Everywhere else these are PyTorch's own layers.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

LARGEST = 16  # pixels a side of the larger picture; above, the patches no longer stay in cache


class HalvingConv2d(nn.Conv2d):
    """float [n, in, 2h, 2w] to [n, out, h, w]."""

    def __init__(self, channels_in: int, channels_out: int, bias: bool = False) -> None:
        super().__init__(channels_in, channels_out, 4, 2, 1, bias=bias)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        if not _by_product(pictures, max(pictures.shape[2:])):
            return super().forward(pictures)
        with torch.autocast("cpu", enabled=False):
            return _shifted(_Halve.apply(pictures.bfloat16(), self.weight.bfloat16()), self.bias)


class DoublingConv2d(nn.ConvTranspose2d):
    """float [n, in, h, w] to [n, out, 2h, 2w]."""

    def __init__(self, channels_in: int, channels_out: int, bias: bool = False) -> None:
        super().__init__(channels_in, channels_out, 4, 2, 1, bias=bias)

    def forward(self, pictures: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        if not _by_product(pictures, 2 * max(pictures.shape[2:])):
            return super().forward(pictures)
        with torch.autocast("cpu", enabled=False):
            return _shifted(_Double.apply(pictures.bfloat16(), self.weight.bfloat16()), self.bias)


class _Halve(torch.autograd.Function):
    """Backward is made of differentiable operations, so that penalties can differentiate it again."""

    @staticmethod
    def forward(ctx: Any, large: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(large, weight)
        return functional.conv2d(large, weight, stride=2, padding=1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        large, weight = ctx.saved_tensors
        (small,) = gradients
        to_input = functional.conv_transpose2d(small, weight, stride=2, padding=1) if ctx.needs_input_grad[0] else None
        return to_input, weight_gradient(large, small) if ctx.needs_input_grad[1] else None


class _Double(torch.autograd.Function):
    """The transpose of ``_Halve``: large and small change places."""

    @staticmethod
    def forward(ctx: Any, small: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(small, weight)
        return functional.conv_transpose2d(small, weight, stride=2, padding=1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        small, weight = ctx.saved_tensors
        (large,) = gradients
        to_input = functional.conv2d(large, weight, stride=2, padding=1) if ctx.needs_input_grad[0] else None
        return to_input, weight_gradient(large, small) if ctx.needs_input_grad[1] else None


def weight_gradient(large: torch.Tensor, small: torch.Tensor) -> torch.Tensor:
    """[channels of small, channels of large, 4, 4] from [n, c, 2h, 2w] and [n, k, h, w]: one matrix product."""
    count, channels, height, width = large.shape
    padded = functional.pad(large.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))  # channels last: a patch's row is one run
    n, y, x, c = padded.stride()
    patches = padded.as_strided((count, height // 2, width // 2, 4, 4, channels), (n, 2 * y, 2 * x, y, x, c))
    rows = small.permute(0, 2, 3, 1).reshape(-1, small.shape[1])
    return (rows.T @ patches.reshape(len(rows), -1)).view(-1, 4, 4, channels).permute(0, 3, 1, 2)


def _shifted(pictures: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return pictures if bias is None else pictures + bias.bfloat16()[:, None, None]


def _by_product(pictures: torch.Tensor, side: int) -> bool:
    in_bf16 = pictures.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    return in_bf16 and side <= LARGEST and torch.is_grad_enabled()
