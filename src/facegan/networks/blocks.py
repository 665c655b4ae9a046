"""What the networks are built of: widths, changes of size, spectral norm."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrize

from facegan.networks.convolutions import filtered, spread
from facegan.networks.strided import DoublingConv2d
from facegan.params import ModelParams

BLUR = (1, 3, 3, 1)  # the filter of StyleGAN2 (Karras et al., 2020, appendix B)


def widths(channels: int, most: int, count: int) -> list[int]:
    """Channels at ``count`` sizes, the smallest first: ``channels`` at the last, twice as many at each before, up to
    ``most``.
    """
    return [min(channels << halvings, most) for halvings in reversed(range(count))]


class Upsample(nn.Module):
    """Twice the size: zeros between pixels, then ``taps`` in both directions.

    The result has the scale of the input (a gain of 4 makes up for the zeros), as StyleGAN2's upsample_2d.
    """

    kernel: torch.Tensor

    def __init__(self, taps: Sequence[int] = BLUR) -> None:
        super().__init__()
        self.register_buffer("kernel", _kernel(taps) * 4, persistent=False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """float [n, c, h, w] to [n, c, 2h, 2w]."""
        height, width = pictures.shape[2:]
        large = spread(pictures, self.kernel, stride=2, padding=(self.kernel.shape[-1] - 2) // 2)
        return large[:, :, : 2 * height, : 2 * width]


class Filter(nn.Module):
    """``taps`` in both directions, in every channel, then every ``stride``-th pixel."""

    kernel: torch.Tensor

    def __init__(self, taps: Sequence[int], padding: int, stride: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        self.padding, self.stride = padding, stride
        self.register_buffer("kernel", _kernel(taps) * gain, persistent=False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return filtered(pictures, self.kernel, self.stride, self.padding)


def downsample(taps: Sequence[int] = BLUR) -> Filter:
    """float [n, c, 2h, 2w] to [n, c, h, w], as StyleGAN2's downsample_2d."""
    return Filter(taps, padding=1, stride=2)


def _kernel(taps: Sequence[int]) -> torch.Tensor:
    line = torch.tensor(taps, dtype=torch.float32)
    return torch.outer(line, line)[None, None] / line.sum() ** 2


def doubling(channels_in: int, channels_out: int, upsample: str, bias: bool) -> nn.Module:
    """float [n, in, h, w] to [n, out, 2h, 2w]: a transposed convolution, or a change of size and a convolution.

    Transposed convolutions leave a checkerboard where their steps overlap unevenly (Odena et al., 2016).
    """
    if upsample == "transposed":
        return DoublingConv2d(channels_in, channels_out, bias)
    return nn.Sequential(resized(upsample), nn.Conv2d(channels_in, channels_out, 3, 1, 1, bias=bias))


def resized(upsample: str) -> nn.Module:
    """float [n, c, h, w] to [n, c, 2h, 2w]: every pixel four times, or filtered."""
    return nn.Upsample(scale_factor=2, mode="nearest") if upsample == "resize" else Upsample()


class Conditioned(nn.Sequential):
    """Layers in a row, of which those with ``conditioned`` are given the condition too."""

    conditioned = True

    def forward(self, pictures: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        for layer in self:
            pictures = layer(pictures, condition) if hasattr(layer, "conditioned") else layer(pictures)
        return pictures


class ConditionalBatchNorm2d(nn.Module):
    """Batch norm whose scale and shift are a linear map of the condition: the latent, labels in it or not.

    Conditional batch norm (de Vries et al., 2017) in the form of BigGAN (Brock et al., 2019, appendix B); without
    labels a linear self-modulation (Chen et al., 2019, who have a hidden layer).
    """

    conditioned = True

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale = nn.Parameter(torch.empty(channels, condition))
        self.shift = nn.Parameter(torch.empty(channels, condition))

    def forward(self, pictures: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        scale, shift = (functional.linear(condition, part)[:, :, None, None] for part in (self.scale, self.shift))
        result: torch.Tensor = self.norm(pictures) * (1 + scale) + shift
        return result

    def initialise(self, source: torch.Generator) -> None:
        """Near an ordinary batch norm: N(0, 0.02)."""
        for part in (self.scale, self.shift):
            nn.init.normal_(part, 0.0, 0.02, generator=source)


class Outputs(nn.Flatten):
    """The last layer of a discriminator: [n, 1, ...] to logits [n], or [n, outputs, ...] to [n, outputs]."""

    def __init__(self, outputs: int) -> None:
        super().__init__(0 if outputs == 1 else 1)


def first_inputs(model: ModelParams, behind: int) -> int:
    """How many of the numbers that a generator gets its first layer sees: the latent's, where norms see the others."""
    return model.latent + (0 if model.generator.norm == "conditional" else behind)


def generator_norm(name: str, channels: int, condition: int) -> nn.Module | None:
    """The layer of ``model.generator.norm``."""
    match name:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "conditional":
            return ConditionalBatchNorm2d(channels, condition)
    return None


class SpectralNorm(nn.Module):
    """A weight [out, ...] divided by its largest singular value, as the vectors ``_u`` [out] and ``_v`` know it.

    Miyato et al., 2018. They move by ``iterate`` alone, which is called once an update: a forward pass changes nothing.
    """

    _u: torch.Tensor
    _v: torch.Tensor

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        matrix = weight.flatten(1)
        self.register_buffer("_u", torch.zeros(matrix.shape[0]))
        self.register_buffer("_v", torch.zeros(matrix.shape[1]))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            return weight / torch.vdot(self._u, weight.flatten(1) @ self._v)

    @torch.no_grad()
    def iterate(self, weight: torch.Tensor) -> None:
        """One power iteration (algorithm 1)."""
        matrix = weight.flatten(1)
        functional.normalize(matrix @ self._v, dim=0, out=self._u)
        functional.normalize(matrix.T @ self._u, dim=0, out=self._v)


def spectral_norm(network: nn.Module) -> None:
    """Give every kernel a ``SpectralNorm``; ``settle_spectral_norms`` and ``iterate_spectral_norms`` move them."""
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            parametrize.register_parametrization(module, "weight", SpectralNorm(module.weight), unsafe=True)


def weight_of(module: nn.Module) -> torch.Tensor:
    """The trained weight: beneath spectral norm, where there is one."""
    weight = module.parametrizations.weight.original if _norm_of(module) else module.weight  # type: ignore[union-attr]
    assert isinstance(weight, torch.Tensor)
    return weight


@torch.no_grad()
def settle_spectral_norms(network: nn.Module, source: torch.Generator) -> None:
    """Draw the vectors of the power iteration from ``source`` and bring them near the singular ones."""
    for module in network.modules():
        if norm := _norm_of(module):
            norm._u.copy_(functional.normalize(torch.randn(len(norm._u), generator=source), dim=0))
            norm._v.copy_(functional.normalize(weight_of(module).flatten(1).T @ norm._u, dim=0))
            for _ in range(14):
                norm.iterate(weight_of(module))


def iterate_spectral_norms(network: nn.Module) -> None:
    """One power iteration in every spectral norm, from the weights alone."""
    for module in network.modules():
        if norm := _norm_of(module):
            norm.iterate(weight_of(module))


def _norm_of(module: nn.Module) -> SpectralNorm | None:
    if not parametrize.is_parametrized(module, "weight"):
        return None
    norm = module.parametrizations.weight[0]  # type: ignore[union-attr,index]
    assert isinstance(norm, SpectralNorm)
    return norm
