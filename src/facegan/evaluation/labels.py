"""Whether a generated picture has the label that it was asked for, and how each class scores."""

from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from facegan.data.labels import Labels
from facegan.evaluation.kernel import kernel_distance
from facegan.evaluation.neighbors import Share, manifold_scores
from facegan.evaluation.reference import Reference
from facegan.randomness import generator

STEPS, BATCH, SIDE, RATE = 500, 64, 32, 2e-3
ENOUGH = 50  # pictures of a class a side


class _Classifier(nn.Module):
    """Four strided convolutions seen at 32x32, and the classes of every column: float [n, all classes]."""

    def __init__(self, classes: int, seed: int) -> None:
        super().__init__()
        widths = (3, 32, 64, 128, 128)
        blocks: list[nn.Module] = []
        for before, after in pairwise(widths):
            blocks += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(8, after), nn.ReLU()]
        self.body = nn.Sequential(*blocks, nn.Flatten())
        self.head = nn.Linear(widths[-1] * 4, classes)
        source = generator(seed, "label classifier")
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=source)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [n, h, w, 3] to logits."""
        planes = images.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1
        logits: torch.Tensor = self.head(self.body(functional.adaptive_avg_pool2d(planes, SIDE)))
        return logits


def train_classifier(images: torch.Tensor, labels: Labels, seed: int, device: torch.device) -> nn.Module:
    """On uint8 ``images`` [n, h, w, 3] and their ``labels``, mirrored at random; an unknown label teaches nothing."""
    network = _Classifier(sum(labels.classes), seed).to(device)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    for step in range(STEPS):
        source = generator(seed, "label classifier", step)
        places = torch.randint(len(images), (BATCH,), generator=source)
        batch, wanted = images[places].to(device), labels.table[places].to(device)
        if torch.rand((), generator=source) < 0.5:
            batch = batch.flip(2)
        loss = torch.zeros((), device=device)
        for column, logits in enumerate(network(batch).split(labels.classes, 1)):
            known = wanted[:, column] >= 0
            if known.any():
                loss = loss + functional.cross_entropy(logits[known], wanted[known, column])
        if not loss.requires_grad:
            continue
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def label_accuracy(
    network: nn.Module,
    generated: torch.Tensor,
    asked: torch.Tensor,
    real: torch.Tensor,
    labels: Labels,
    device: torch.device,
) -> dict[str, dict[str, Any]]:
    """For every column, how often the classifier sees what was ``asked`` for: ``label_accuracy_<column>``.

    Beside it how often it is right about ``real`` pictures that it has not seen, whose ``labels`` are known. int64
    [n, columns]; a column of one class, or unknown on either side, is left out.
    """
    found = {}
    seen, seen_real = (_classes(network, images, labels.classes, device) for images in (generated, real))
    for column, name in enumerate(labels.names):
        known, known_real = asked[:, column] >= 0, labels.table[:, column] >= 0
        if labels.classes[column] > 1 and known.any() and known_real.any():
            right = Share.of(seen[known, column] == asked[known, column])
            floor = Share.of(seen_real[known_real, column] == labels.table[known_real, column])
            found[f"label_accuracy_{name}"] = right.beside(floor)
    return found


def _classes(network: nn.Module, images: torch.Tensor, classes: tuple[int, ...], device: torch.device) -> torch.Tensor:
    parts = []
    for batch in images.split(256):
        with torch.no_grad():
            logits = network(batch.to(device)).split(classes, 1)
        parts.append(torch.stack([column.argmax(1) for column in logits], 1).cpu())
    return torch.cat(parts)


def class_scores(
    real: Reference, features: torch.Tensor, asked: torch.Tensor, labels: Labels, seed: int
) -> list[dict[str, Any]]:
    """Kernel distance, precision and recall of every class with at least 50 pictures a side.

    ``features`` float32 [n, d] of pictures that were ``asked`` for with labels int64 [n, columns]; ``labels`` are those
    of all real pictures.
    """
    rows = []
    for column, (name, classes) in enumerate(labels.names.items()):
        for value, text in enumerate(classes):
            first, second = (
                kept[labels.table[places, column] == value]
                for kept, places in (
                    (real.features_first, real.first_places),
                    (real.features_second, real.second_places),
                )
            )
            fake = features[asked[: len(features), column] == value]
            count = min(len(first), len(second), len(fake))  # recall and precision depend on it
            if count < ENOUGH:
                continue
            first, second, fake = first[:count], second[:count], fake[:count]
            distance, floor = kernel_distance(first, fake, seed), kernel_distance(first, second, seed)
            shares, floors = manifold_scores(first, fake), manifold_scores(first, second)
            rows.append(
                {
                    "label": name,
                    "class": text,
                    "n": count,
                    "kid": {"value": distance.mean, "std": distance.std, "floor": floor.mean},
                    **{part: shares[part].beside(floors[part]) for part in ("precision", "recall")},
                }
            )
    return rows
