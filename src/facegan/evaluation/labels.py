"""Whether a generated picture has the label that it was asked for, and how each class scores."""

from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from facegan.data.labels import Labels
from facegan.data.stored import Pictures
from facegan.evaluation.kernel import kernel_distance
from facegan.evaluation.neighbors import Share, manifold_scores
from facegan.evaluation.reference import Reference
from facegan.randomness import generator
from facegan.sharing import HERE, Compute, in_steps

STEPS, BATCH, PARTS, SIDE, RATE = 500, 64, 4, 32, 2e-3
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


def train_classifier(images: Pictures, labels: Labels, seed: int, compute: Compute = HERE) -> nn.Module:
    """On uint8 ``images`` [n, h, w, 3] and their ``labels``, mirrored at random; an unknown label teaches nothing.

    A batch is worked on in four parts, which processes share, and whose gradients are added up in order.
    """
    network = _Classifier(sum(labels.classes), seed).to(compute.device)
    parameters = list(network.parameters())
    optimizer = torch.optim.Adam(parameters, RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)

    def gradients(step: int) -> torch.Tensor | None:
        """Of all parameters, one after the other; None where no label is known."""
        source = generator(seed, "label classifier", step)
        places = torch.randint(len(images), (BATCH,), generator=source)
        mirrored = bool(torch.rand((), generator=source) < 0.5)
        wanted = labels.table[places]
        known = (wanted >= 0).sum(0).clamp_min(1).to(compute.device)
        if not (wanted >= 0).any():
            return None

        def work(part: slice) -> dict[str, torch.Tensor]:
            batch, asked = images[places[part]].to(compute.device), wanted[part].to(compute.device)
            columns = network(batch.flip(2) if mirrored else batch).split(labels.classes, 1)
            losses = [  # the mean over those pictures of the batch whose label is known
                functional.cross_entropy(logits, asked[:, column], ignore_index=-1, reduction="sum") / known[column]
                for column, logits in enumerate(columns)
            ]
            found = torch.autograd.grad(torch.stack(losses).sum(), parameters)
            return {"gradients": torch.cat([gradient.flatten() for gradient in found])}

        parts = compute.processes.share(in_steps(BATCH, BATCH // PARTS), work)
        return torch.stack([part["gradients"] for part in parts]).sum(0).to(compute.device)

    for step in range(STEPS):
        total = gradients(step)
        if total is None:
            continue
        for parameter, gradient in zip(parameters, total.split([each.numel() for each in parameters]), strict=True):
            parameter.grad = gradient.view_as(parameter)
        optimizer.step()
        schedule.step()
    return network.eval()


def label_accuracy(
    network: nn.Module,
    generated: torch.Tensor,
    asked: torch.Tensor,
    real: Pictures,
    labels: Labels,
    compute: Compute = HERE,
) -> dict[str, dict[str, Any]]:
    """For every column, how often the classifier sees what was ``asked`` for: ``label_accuracy_<column>``.

    Beside it how often it is right about ``real`` pictures that it has not seen, whose ``labels`` are known. int64
    [n, columns]; a column of one class, or unknown on either side, is left out.
    """
    found = {}
    seen, seen_real = (_classes(network, images, labels.classes, compute) for images in (generated, real))
    for column, name in enumerate(labels.names):
        known, known_real = asked[:, column] >= 0, labels.table[:, column] >= 0
        if labels.classes[column] > 1 and known.any() and known_real.any():
            right = Share.of(seen[known, column] == asked[known, column])
            floor = Share.of(seen_real[known_real, column] == labels.table[known_real, column])
            found[f"label_accuracy_{name}"] = right.beside(floor)
    return found


def _classes(network: nn.Module, images: Pictures, classes: tuple[int, ...], compute: Compute) -> torch.Tensor:
    def work(part: slice) -> torch.Tensor:
        with torch.no_grad():
            logits = network(images[part].to(compute.device)).split(classes, 1)
        return torch.stack([column.argmax(1) for column in logits], 1)

    return compute.rows(len(images), 256, work)


def class_scores(
    real: Reference, features: torch.Tensor, asked: torch.Tensor, labels: Labels, seed: int, compute: Compute = HERE
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
            distance, floor = (kernel_distance(first, other, seed, compute) for other in (fake, second))
            shares, floors = (manifold_scores(first, other, compute) for other in (fake, second))
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
