"""Train the face encoder of ``facegan.evaluation.face_network`` on drawn faces, from nothing but this code.

``python -m benchmarks.rankings.encoder --out FILE`` takes about five minutes on one core, and gives the same bytes each
time on processors with AVX-512; without it, bf16 takes hours. The encoder learns two things at once: what a face was
drawn from, in pictures that are turned, shifted, recoloured and made worse; and how each picture was made worse.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from benchmarks.corruptions import given_pictures
from facegan.data.synthetic import draw, sample_factors
from facegan.data.synthetic.factors import FACTORS
from facegan.evaluation.face_network import SIDE, WIDTHS, FaceEncoder
from facegan.files import sha256, write_atomic
from facegan.randomness import generator

Tensor = torch.Tensor

PICTURES = 24_000
FACES_SEED = 7  # of the drawn faces: none that a benchmark scores
STEPS, BATCH, RATE = 1500, 64, 2e-3
EMBEDDING = 64
EYES_DOWN, EYES_ACROSS = (22, 42), (10, 54)  # pixels of 64
RECOLOURED = 0.5  # share of pictures whose colours say nothing any more
COLOURS = ("hair_colour", "eye_colour", "skin")  # labels that those pictures are not asked for
FAULT_WEIGHT = 4.0


def drawn(count: int) -> tuple[Tensor, Tensor]:
    """Faces uint8 [count, 64, 64, 3], and the class of each factor int64 [count, factors]."""
    # Spawned: a fork of a process whose torch has threads may wait for ever.
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = list(pool.map(_drawn, range(0, count, 500), [min(500, count)] * -(-count // 500)))
    return torch.cat([images for images, _ in parts])[:count], torch.cat([labels for _, labels in parts])[:count]


def _drawn(start: int, count: int) -> tuple[Tensor, Tensor]:
    faces = [sample_factors(FACES_SEED, index) for index in range(start, start + count)]
    images = torch.from_numpy(np.stack([np.asarray(draw(face, SIDE)) for face in faces]))
    labels = [[values.index(getattr(face, name)) for name, values in FACTORS.items()] for face in faces]
    return images, torch.tensor(labels)


# Faults: pictures float [n, 3, 64, 64] in [-1, 1] and a strength in [0, 1] for each, which is 0 for most.


def blurred(pictures: Tensor, strength: Tensor, source: torch.Generator) -> Tensor:
    """Gaussian, by up to two and a half pixels."""
    taps = torch.exp(-(torch.arange(-6.0, 7.0) ** 2) / (2 * (2.5 * strength[:, None]).clamp(min=0.05) ** 2))
    taps = taps / taps.sum(1, keepdim=True)
    rows = functional.pad(pictures, (6, 6, 6, 6), mode="reflect").transpose(0, 1)  # a picture is a group
    rows = functional.conv2d(rows, taps[:, None, :, None], groups=len(pictures))
    return functional.conv2d(rows, taps[:, None, None, :], groups=len(pictures)).transpose(0, 1)


def noisy(pictures: Tensor, strength: Tensor, source: torch.Generator) -> Tensor:
    return pictures + 0.3 * strength[:, None, None, None] * torch.randn(pictures.shape, generator=source)


def patterned(pictures: Tensor, strength: Tensor, source: torch.Generator) -> Tensor:
    """What transposed convolutions leave: every other pixel, or every other of every other line."""
    kinds = torch.tensor([[[1.0, -1.0], [-1.0, 1.0]], [[1.5, -0.5], [-0.5, -0.5]]])
    kind = kinds[torch.randint(2, (len(pictures),), generator=source)].repeat(1, SIDE // 2, SIDE // 2)
    colour = torch.randn((len(pictures), 3, 1, 1), generator=source)
    return pictures + 0.2 * strength[:, None, None, None] * kind[:, None] * colour


def halved(pictures: Tensor, strength: Tensor, source: torch.Generator) -> Tensor:
    """The right half is of another face."""
    other = torch.cat([pictures[..., : SIDE // 2], pictures.roll(1, 0)[..., SIDE // 2 :]], 3)
    return torch.where(strength[:, None, None, None] > 0, other, pictures)


def displaced(pictures: Tensor, strength: Tensor, source: torch.Generator) -> Tensor:
    """The band that the eyes lie in, up to eight pixels up or down."""
    pictures, (top, bottom), (left, right) = pictures.clone(), EYES_DOWN, EYES_ACROSS
    down = torch.where(torch.rand(len(pictures), generator=source) < 0.5, -8, 8) * strength
    for place, by in enumerate(down.round().int().tolist()):
        if by:
            band = pictures[place, :, top:bottom, left:right].clone()
            pictures[place, :, top + by : bottom + by, left:right] = band
    return pictures


def _sampled(pictures: Tensor, grid: Tensor) -> Tensor:
    return functional.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)


Fault = Callable[[Tensor, Tensor, torch.Generator], Tensor]
# By name, in the order in which they are applied: before pictures are turned and recoloured, and after. With shares.
BEFORE: dict[str, tuple[Fault, float]] = {"halved": (halved, 0.2), "displaced": (displaced, 0.25)}
AFTER: dict[str, tuple[Fault, float]] = {
    "blurred": (blurred, 0.3),
    "noisy": (noisy, 0.3),
    "patterned": (patterned, 0.2),
}


def spoiled(images: Tensor, source: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """uint8 [n, 64, 64, 3] to pictures float [n, 3, 64, 64], strengths [n, faults], and which are recoloured."""
    pictures = images.permute(0, 3, 1, 2).float() / 127.5 - 1
    strengths = []

    def apply(faults: dict[str, tuple[Fault, float]], pictures: Tensor) -> Tensor:
        for fault, share in faults.values():
            drawn_at = torch.rand((2, len(pictures)), generator=source)
            strengths.append(torch.where(drawn_at[0] < share, drawn_at[1], 0.0))
            pictures = fault(pictures, strengths[-1], source)
        return pictures

    pictures = apply(BEFORE, pictures)
    pictures, recoloured = _recoloured(_turned(pictures, source), source)
    pictures = apply(AFTER, pictures).clamp(-1, 1)
    return pictures.contiguous(memory_format=torch.channels_last), torch.stack(strengths, 1), recoloured


def _turned(pictures: Tensor, source: torch.Generator) -> Tensor:
    """Larger or smaller by a fifth, turned by up to 11 degrees, shifted by up to 7 % of the side."""
    size, turn, *shift = torch.rand((4, len(pictures)), generator=source)
    size, turn, (across, down) = 1 / (0.85 + 0.4 * size), 0.4 * turn - 0.2, [0.3 * part - 0.15 for part in shift]
    rows = [[size * turn.cos(), -size * turn.sin(), across], [size * turn.sin(), size * turn.cos(), down]]
    matrix = torch.stack([torch.stack(row, 1) for row in rows], 1)
    return _sampled(pictures, functional.affine_grid(matrix, pictures.shape, align_corners=False))


def _recoloured(pictures: Tensor, source: torch.Generator) -> tuple[Tensor, Tensor]:
    """Colours a little off in all, and mixed at random in some; which these are, bool [n]."""
    count = len(pictures)
    wild = torch.rand(count, generator=source) < RECOLOURED
    near = torch.eye(3) + 0.15 * torch.randn((count, 3, 3), generator=source)
    far = 0.5 * torch.eye(3) + 0.5 * torch.randn((count, 3, 3), generator=source)
    far = far / far.abs().sum(2, keepdim=True).clamp(min=0.5)
    mixed = torch.einsum("nij,njhw->nihw", torch.where(wild[:, None, None], far, near), pictures)
    contrast = 0.6 + 0.8 * torch.rand((count, 1, 1, 1), generator=source)
    shift = (2 * torch.rand((count, 3, 1, 1), generator=source) - 1) * (0.1 + 0.3 * wild[:, None, None, None])
    return mixed * contrast + shift, wild


class Learner(nn.Module):
    """The encoder with batch norms, and what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = FaceEncoder()
        _replace_convolutions(self.encoder, lambda conv: nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels)))
        self.embedding = nn.Linear(16 * WIDTHS[-1], EMBEDDING)
        self.factors = nn.ModuleList(nn.Linear(EMBEDDING, len(values)) for values in FACTORS.values())
        self.faults = nn.Linear(EMBEDDING, len(BEFORE) + len(AFTER))

    def forward(self, pictures: Tensor) -> tuple[list[Tensor], Tensor]:
        """Logits of every factor, and strengths [n, faults]."""
        embedding = functional.relu(self.embedding(self.encoder(pictures)[-1].flatten(1)).float())
        return [head(embedding) for head in self.factors], self.faults(embedding)

    def loss(self, images: Tensor, labels: Tensor | None, source: torch.Generator) -> Tensor:
        """Of uint8 ``images`` [n, 64, 64, 3]; without ``labels`` int64 [n, factors], of their faults alone."""
        pictures, strengths, recoloured = spoiled(images, source)
        with torch.autocast("cpu", torch.bfloat16):
            logits, found = self(pictures)
        total = FAULT_WEIGHT * (found.float() - strengths).square().mean()
        for place, (name, of_factor) in enumerate(zip(FACTORS, logits, strict=True)):
            if labels is None:
                break
            each = functional.cross_entropy(of_factor.float(), labels[:, place], reduction="none")
            total = total + (each * ~recoloured if name in COLOURS else each).mean() / len(FACTORS)
        return total

    def folded(self) -> FaceEncoder:
        """The encoder with its norms in the convolutions."""
        self.eval()
        _replace_convolutions(self.encoder, lambda conv: conv)
        return self.encoder


def _replace_convolutions(network: nn.Module, change: Callable[[nn.Conv2d], nn.Module]) -> None:
    """Change every convolution; one with a batch norm behind it is first made one with that."""
    for name, child in list(network.named_children()):
        if isinstance(child, nn.Conv2d):
            setattr(network, name, change(child))
        elif isinstance(child, nn.Sequential) and len(child) == 2 and isinstance(child[1], nn.BatchNorm2d):
            setattr(network, name, change(fuse_conv_bn_eval(child[0], child[1])))
        else:
            _replace_convolutions(child, change)


def train(images: Tensor, labels: Tensor | None, steps: int) -> tuple[FaceEncoder, dict[str, float]]:
    """The encoder, and how often it tells each factor of the last 1,000 faces right, which it never saw."""
    torch.set_num_threads(1)  # the same sums each time
    torch.manual_seed(0)
    learner = Learner().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    known = max(BATCH, len(images) - 1000)
    began = time.monotonic()
    for step in range(steps):
        chosen = torch.randint(known, (BATCH,), generator=generator(FACES_SEED, "encoder batch", step))
        loss = learner.loss(
            images[chosen], None if labels is None else labels[chosen], generator(FACES_SEED, "encoder faults", step)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 200 == 199:
            left = (steps - step - 1) * (time.monotonic() - began) / (step + 1)
            print(
                f"{step + 1} / {steps} steps  loss {loss.item():.3f}  {left // 60:.0f}:{left % 60:02.0f} left",
                flush=True,
            )
    right = {} if labels is None else _told_right(learner.eval(), images[known:], labels[known:])
    return learner.folded(), right


def _told_right(learner: Learner, images: Tensor, labels: Tensor) -> dict[str, float]:
    with torch.no_grad():
        logits, _ = learner(images.permute(0, 3, 1, 2).float() / 127.5 - 1)
    return {
        name: float((each.argmax(1) == labels[:, place]).float().mean())
        for place, (name, each) in enumerate(zip(FACTORS, logits, strict=True))
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rankings.encoder", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a .safetensors file")
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--without-factors", action="store_true", help="learn faults alone")
    parser.add_argument("--faces", type=Path, help="a folder or archive to learn from, which has no factors")
    options = parser.parse_args()
    if options.faces is None:
        images, labels = drawn(options.pictures)
    else:
        images, labels = given_pictures(options.faces, options.pictures, SIDE).images, None
    encoder, right = train(images, None if options.without_factors else labels, options.steps)
    weights = {name: value.half().contiguous() for name, value in encoder.state_dict().items()}
    write_atomic(options.out, save(weights))
    if right:
        print("told right: " + ", ".join(f"{name} {share:.0%}" for name, share in right.items()))
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, sha256 {sha256(options.out)}")


if __name__ == "__main__":
    sys.exit(main())
