"""Drawn faces, and Inception weights that nobody had to download."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn

from facegan.data.synthetic import png


@pytest.fixture(scope="session")
def faces() -> torch.Tensor:
    """160 drawn faces: uint8 [160, 64, 64, 3]."""
    drawn = [np.asarray(Image.open(io.BytesIO(png(1, index, 64)[0]))) for index in range(160)]
    return torch.from_numpy(np.stack(drawn))


@dataclass(frozen=True)
class WeightsFile:
    """A file as pytorch-fid's release has it, under its name, with random weights in it."""

    path: Path
    sha256: str


@pytest.fixture(scope="session")
def inception_weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeightsFile]:
    """Random weights that keep the activations' scale, so that features differ between pictures.

    Two channels of each of the last convolutions are alive: with more pictures than those, covariances have no
    directions of pure rounding error, and pytorch-fid's matrix square root is exact enough to compare with.
    """
    source = torch.Generator().manual_seed(0)
    # The names and shapes of pytorch-fid's network, which differs from torchvision's in its poolings alone.
    network = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, weights=None, init_weights=False)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            module.weight.data = torch.randn(module.weight.shape, generator=source) * (2 / fan_in) ** 0.5
    last = network.Mixed_7c
    for branch in (
        last.branch1x1,
        last.branch3x3_2a,
        last.branch3x3_2b,
        last.branch3x3dbl_3a,
        last.branch3x3dbl_3b,
        last.branch_pool,
    ):
        alive = torch.randperm(len(branch.bn.bias), generator=source)[:2]
        branch.bn.bias.data.fill_(-1e4)
        branch.bn.bias.data[alive] = 0.5
    folder = tmp_path_factory.mktemp("inception")
    path = folder / "pt_inception-2015-12-05-6726825d.pth"
    torch.save(network.state_dict(), path)
    yield WeightsFile(path, hashlib.sha256(path.read_bytes()).hexdigest())
    path.unlink()  # 95 MB
