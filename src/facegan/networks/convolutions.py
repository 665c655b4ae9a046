"""Convolutions whose derivatives are few convolutions too, however often they are differentiated.

PyTorch differentiates a depthwise or grouped convolution twice with one convolution for each group: 33 in place of 1
for 32 groups. Here a filter that does not learn is a linear map, whose derivative is the map with the filter
transposed, and a grouped convolution has its second derivative written out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional

Tensor = torch.Tensor


def filtered(pictures: Tensor, kernel: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """Every channel of float [n, c, h, w] with ``kernel`` [1, 1, k, k], which does not learn; every stride-th pixel."""
    if not _differentiable(pictures):
        return _filtered(pictures, kernel, stride, padding)
    result: Tensor = _Filtered.apply(pictures, kernel, stride, padding)
    return result


def spread(pictures: Tensor, kernel: Tensor, stride: int, padding: int) -> Tensor:
    """The transpose of ``filtered``: float [n, c, h, w] to [n, c, (h - 1) stride + k - 2 padding, ...]."""
    sides = [(side - 1) * stride + kernel.shape[-1] - 2 * padding for side in pictures.shape[2:]]
    if not _differentiable(pictures):
        return _spread(pictures, kernel, stride, padding, sides)
    result: Tensor = _Spread.apply(pictures, kernel, stride, padding, sides)
    return result


class _Filtered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pictures: Tensor, kernel: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.settings = stride, padding, list(pictures.shape[2:])
        return _filtered(pictures, kernel, stride, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (kernel,), (stride, padding, sides) = ctx.saved_tensors, ctx.settings
        return _Spread.apply(gradients[0], kernel, stride, padding, sides), None, None, None


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pictures: Tensor, kernel: Tensor, stride: int, padding: int, sides: list[int]) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.settings = stride, padding
        return _spread(pictures, kernel, stride, padding, sides)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (kernel,), (stride, padding) = ctx.saved_tensors, ctx.settings
        return _Filtered.apply(gradients[0], kernel, stride, padding), None, None, None, None


def _filtered(pictures: Tensor, kernel: Tensor, stride: int, padding: int) -> Tensor:
    kernel = _each(kernel, pictures)
    return functional.conv2d(pictures, kernel, None, stride, padding, groups=len(kernel))


def _spread(pictures: Tensor, kernel: Tensor, stride: int, padding: int, sides: list[int]) -> Tensor:
    """To so many pixels, of which a filter of that stride may leave some out."""
    least = [(side - 1) * stride + kernel.shape[-1] - 2 * padding for side in pictures.shape[2:]]
    more = [side - at_least for side, at_least in zip(sides, least, strict=True)]
    kernel = _each(kernel, pictures)
    return functional.conv_transpose2d(pictures, kernel, None, stride, padding, more, groups=len(kernel))


def _each(kernel: Tensor, pictures: Tensor) -> Tensor:
    """A kernel for every channel."""
    return kernel.to(pictures.dtype).expand(pictures.shape[1], 1, -1, -1)


def _differentiable(pictures: Tensor) -> bool:
    """Not where a model is exported: what is written out here is PyTorch's own layer."""
    return torch.is_grad_enabled() and pictures.requires_grad


_of_pictures_alone = False  # in every thread: a GPU's gradients are taken in one of their own


@contextmanager
def gradients_of_pictures() -> Iterator[None]:
    """Take no gradients of weights inside: autograd does not tell a function which of its gradients are asked for."""
    global _of_pictures_alone
    _of_pictures_alone = True
    try:
        yield
    finally:
        _of_pictures_alone = False


def grouped(pictures: Tensor, weight: Tensor, padding: int, groups: int) -> Tensor:
    """A convolution of stride 1 of float [n, c, h, w] with ``weight`` [out, c / groups, k, k]."""
    if not _differentiable(pictures):
        return functional.conv2d(pictures, weight, None, 1, padding, groups=groups)
    kind = pictures.device.type
    if kind != "meta" and torch.is_autocast_enabled(kind):  # here, so that all derivatives have that precision too
        dtype = torch.get_autocast_dtype(kind)
        pictures, weight = pictures.to(dtype), weight.to(dtype)
    with torch.autocast(kind, enabled=False):
        result: Tensor = _Grouped.apply(pictures, weight, padding, groups)
    return result


class _Grouped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pictures: Tensor, weight: Tensor, padding: int, groups: int) -> Tensor:
        ctx.save_for_backward(pictures, weight)
        ctx.settings = padding, groups
        return functional.conv2d(pictures, weight, None, 1, padding, groups=groups)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        pictures, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad[0], ctx.needs_input_grad[1] and not _of_pictures_alone
        to_pictures, to_weight = _GroupedGradient.apply(gradients[0], pictures, weight, *ctx.settings, wanted)
        return to_pictures if wanted[0] else None, to_weight if wanted[1] else None, None, None


class _GroupedGradient(torch.autograd.Function):
    """Both gradients of ``_Grouped``. Each is linear in what it is made of, and so is its own derivative."""

    @staticmethod
    def forward(
        ctx: Any,
        gradient: Tensor,
        pictures: Tensor,
        weight: Tensor,
        padding: int,
        groups: int,
        wanted: tuple[bool, bool],
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(gradient, pictures, weight)
        ctx.settings = padding, groups
        ctx.set_materialize_grads(False)
        to_pictures, to_weight = _gradients(gradient, pictures, weight, padding, groups, wanted)
        return (
            gradient.new_zeros(()) if to_pictures is None else to_pictures,
            gradient.new_zeros(()) if to_weight is None else to_weight,
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        (gradient, pictures, weight), (padding, groups) = ctx.saved_tensors, ctx.settings
        to_gradient, to_pictures, to_weight = None, None, None
        by_pictures, by_weight = gradients
        if by_pictures is not None:
            if ctx.needs_input_grad[0]:
                to_gradient = grouped(by_pictures, weight, padding, groups)
            if ctx.needs_input_grad[2]:
                to_weight = _gradients(gradient, by_pictures, weight, padding, groups, (False, True))[1]
        if by_weight is not None:
            if ctx.needs_input_grad[0]:
                more = grouped(pictures, by_weight, padding, groups)
                to_gradient = more if to_gradient is None else to_gradient + more
            if ctx.needs_input_grad[1]:
                to_pictures = _gradients(gradient, pictures, by_weight, padding, groups, (True, False))[0]
        return to_gradient, to_pictures, to_weight, None, None, None


def _gradients(
    gradient: Tensor, pictures: Tensor, weight: Tensor, padding: int, groups: int, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Those of a convolution with respect to pictures and weight."""
    to_pictures, to_weight, _ = torch.ops.aten.convolution_backward(
        gradient, pictures, weight, None, [1, 1], [padding, padding], [1, 1], False, [0, 0], groups, [*wanted, False]
    )
    return to_pictures, to_weight
