"""StyleGAN2 (Karras et al., 2020) in plain PyTorch: skip generator, residual discriminator.

``channels`` are those at the picture's size. Left out, as optional at 64 to 256 pixels: style mixing and path-length
regularisation. Weights are kept at unit variance and scaled when they are used (equalised learning rate, Karras et
al., 2018, section 4.1).
"""

import math
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from facegan.networks.blocks import BLUR, Filter, Outputs, Upsample, downsample, widths
from facegan.params import ModelParams
from facegan.sizes import Size, stages

MAPPING_LAYERS, MAPPING_RATE = 4, 0.01
GROUP = 4  # of the minibatch standard deviation
MEAN_KEPT = 0.998  # of the running mean of w, a step


class StyleGenerator(nn.Module):
    """Latent to a style w, which modulates every convolution; a colour picture is added up over the sizes."""

    def __init__(self, model: ModelParams, size: Size, behind: int = 0, channels: int = 3) -> None:
        super().__init__()
        params = model.generator
        first, *larger = stages(size)
        wide = widths(params.channels, params.max_channels, 1 + len(larger))
        self.mapping = Mapping(model.latent + behind, model.latent)
        self.constant = nn.Parameter(torch.empty(1, wide[0], *first))
        self.first = _Layer(wide[0], wide[0], model.latent, first, up=False)
        self.blocks = nn.ModuleList()
        self.to_rgb = nn.ModuleList([_ToRGB(wide[0], channels, model.latent)])
        for at, (before, after) in zip(larger, pairwise(wide), strict=True):
            self.blocks.append(_Block(before, after, model.latent, at))
            self.to_rgb.append(_ToRGB(after, channels, model.latent))
        self.upsample = Upsample()

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """float [n, latent] to float [n, channels, height, width], nearly all of it in [-1, 1]."""
        w = self.mapping(latent)
        features = self.first(self.constant.expand(w.shape[0], -1, -1, -1), w)
        picture = self.to_rgb[0](features, w)
        for block, to_rgb in zip(self.blocks, self.to_rgb[1:], strict=True):
            features = block(features, w)
            picture = self.upsample(picture) + to_rgb(features, w)
        result: torch.Tensor = picture
        return result


class Mapping(nn.Module):
    """Latent, at unit length, to a style: fully connected layers that learn at a hundredth of the rate."""

    def __init__(self, latent: int, style: int) -> None:
        super().__init__()
        layers = [EqualLinear(before, style, rate=MAPPING_RATE) for before in (latent, *[style] * (MAPPING_LAYERS - 1))]
        self.layers = nn.ModuleList(layers)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """float [n, latent] to float [n, style]."""
        w = latent * (latent.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers:
            w = _lrelu(layer(w))
        return w


class EqualLinear(nn.Module):
    """float [n, in] to [n, out]; the weight N(0, 1) / ``rate``, used at He's scale times ``rate``."""

    def __init__(self, before: int, after: int, rate: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(after, before))
        self.bias = nn.Parameter(torch.empty(after))
        self.rate, self.start = rate, bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return functional.linear(inputs, self.weight * (self.rate / self.weight.shape[1] ** 0.5), self.bias * self.rate)


class EqualConv2d(nn.Module):
    """A convolution with its weight N(0, 1) used at He's scale; padded to keep the size, but not when it strides."""

    def __init__(self, before: int, after: int, kernel: int, bias: bool = True, stride: int = 1) -> None:
        super().__init__()
        self.stride, self.padding = stride, kernel // 2 if stride == 1 else 0
        self.weight = nn.Parameter(torch.empty(after, before, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(after)) if bias else None

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        scale = 1 / math.sqrt(self.weight[0].numel())
        return functional.conv2d(pictures, self.weight * scale, self.bias, self.stride, self.padding)


class ModulatedConv2d(nn.Module):
    """A convolution whose input channels are scaled by a style, and whose output is brought back to unit variance.

    Section 2.2. The style scales the input and the demodulation the output, which is the same as a kernel of its own
    for each picture, and one convolution for the whole batch.
    """

    def __init__(self, before: int, after: int, kernel: int, style: int, up: bool = False, demodulate: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(after, before, kernel, kernel))
        self.style = EqualLinear(style, before, bias=1.0)
        self.demodulate = demodulate
        self.blur = Filter(BLUR, padding=1, gain=4) if up else None  # from 2h + 1 pixels to 2h

    def forward(self, features: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """float [n, in, h, w] and styles [n, style] to [n, out, h, w], or twice the size."""
        style = self.style(w)
        weight = self.weight * (1 / math.sqrt(self.weight[0].numel()))
        features = features * style.to(features.dtype)[:, :, None, None]
        if self.blur is None:
            result = functional.conv2d(features, weight, padding=weight.shape[-1] // 2)
        else:
            result = self.blur(functional.conv_transpose2d(features, weight.transpose(0, 1), stride=2))
        if self.demodulate:
            energy = style.to(weight.dtype).square() @ weight.square().sum((2, 3)).T
            result = result * (energy + 1e-8).rsqrt().to(result.dtype)[:, :, None, None]
        return result


class _Layer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, LeakyReLU. In eval mode the noise is one fixed picture."""

    noise: torch.Tensor

    def __init__(self, before: int, after: int, style: int, at: tuple[int, int], up: bool) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(before, after, 3, style, up)
        self.bias = nn.Parameter(torch.empty(after))
        self.strength = nn.Parameter(torch.empty(()))
        self.register_buffer("noise", torch.empty(at))

    def forward(self, features: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        features = self.conv(features, w)
        noise = self.noise
        if self.training:
            noise = torch.randn((len(features), 1, *noise.shape), device=noise.device)
        noise, bias = (noise * self.strength).to(features.dtype), self.bias.to(features.dtype)
        return _lrelu(features + noise + bias[:, None, None])


class _Block(nn.Module):
    def __init__(self, before: int, after: int, style: int, at: tuple[int, int]) -> None:
        super().__init__()
        self.up = _Layer(before, after, style, at, up=True)
        self.same = _Layer(after, after, style, at, up=False)

    def forward(self, features: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.same(self.up(features, w), w)
        return result


class _ToRGB(nn.Module):
    def __init__(self, before: int, after: int, style: int) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(before, after, 1, style, demodulate=False)
        self.bias = nn.Parameter(torch.empty(after))

    def forward(self, features: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        picture: torch.Tensor = self.conv(features, w) + self.bias[:, None, None]
        return picture


class StyleDiscriminator(nn.Module):
    """Residual blocks that halve to a few pixels, the minibatch standard deviation as a channel, two dense layers."""

    def __init__(self, model: ModelParams, size: Size, outputs: int = 1, channels: int = 3) -> None:
        super().__init__()
        params = model.discriminator
        first, *larger = stages(size)
        wide = widths(params.channels, params.max_channels, 1 + len(larger))[::-1]
        self.from_rgb = EqualConv2d(channels, wide[0], 1)
        self.blocks = nn.ModuleList(_Residual(*pair) for pair in pairwise(wide))
        self.last = EqualConv2d(wide[-1] + 1, wide[-1], 3)
        self.dense = EqualLinear(math.prod(first) * wide[-1], wide[-1])
        self.to_logit, self.outputs = EqualLinear(wide[-1], outputs), Outputs(outputs)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """float [n, channels, height, width] to logits float [n], or [n, outputs]."""
        features = _lrelu(self.from_rgb(pictures))
        for block in self.blocks:
            features = block(features)
        features = _lrelu(self.last(minibatch_deviation(features)))
        logits: torch.Tensor = self.outputs(self.to_logit(_lrelu(self.dense(features.flatten(1)))))
        return logits


class _Residual(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = EqualConv2d(before, before, 3)
        self.blur = Filter(BLUR, padding=2)
        self.conv2 = EqualConv2d(before, after, 3, stride=2)
        self.downsample = downsample()
        self.shortcut = EqualConv2d(before, after, 1, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        residual = _lrelu(self.conv2(self.blur(_lrelu(self.conv1(features)))))
        total: torch.Tensor = (residual + self.shortcut(self.downsample(features))) / math.sqrt(2)
        return total


def minibatch_deviation(features: torch.Tensor) -> torch.Tensor:
    """float [n, c, h, w] to [n, c + 1, h, w]: how much the pictures of a group differ (Karras et al., 2018, section 3).

    Groups are of 4, or of what divides a batch that 4 does not.
    """
    count, channels, height, width = features.shape
    group = math.gcd(count, GROUP)
    exact = features.to(torch.promote_types(features.dtype, torch.float32))
    grouped = exact.view(group, -1, channels, height, width)  # picture i is in group i mod (n / group)
    deviation = (grouped.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
    plane = deviation.repeat(group)[:, None, None, None].expand(-1, 1, height, width)
    return torch.cat([features, plane.to(features.dtype)], 1)


def _lrelu(features: torch.Tensor) -> torch.Tensor:
    """LeakyReLU 0.2 that keeps the variance."""
    return functional.leaky_relu(features, 0.2) * math.sqrt(2)


def initialise(network: nn.Module, source: torch.Generator) -> None:
    """N(0, 1) for weights (over the rate of the mapping), the constant and the fixed noise; zero bias and strength."""
    for module in network.modules():
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            if name in ("weight", "constant", "noise"):
                nn.init.normal_(tensor, 0.0, 1.0 / getattr(module, "rate", 1.0), generator=source)
            elif name == "bias":
                nn.init.constant_(tensor, getattr(module, "start", 0.0))
            elif name == "strength":
                nn.init.zeros_(tensor)
