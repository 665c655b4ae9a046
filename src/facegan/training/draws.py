"""What each step sees: pictures, latents, augmentation. All of it a pure function of (seed, step)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from facegan.data.batches import BatchSequence, to_network
from facegan.params import TrainParams
from facegan.randomness import derived_seed, latents
from facegan.randomness import generator as random_generator
from facegan.training.augment import AUGMENTATIONS, NUMBERS, augment
from facegan.training.device import upload

HIDING = 0.5  # of the pictures: a share of their labels, drawn for each, is hidden


@dataclass
class Draws:
    """Draws for a training on ``images`` uint8 [n, size, size, 3] on ``device``. ``number`` counts updates.

    ``labels`` int64 [n, columns] are those of the pictures; where there are columns, both networks are told of them.
    """

    images: torch.Tensor
    labels: torch.Tensor
    latent: int
    train: TrainParams
    seed: int
    device: torch.device

    def __post_init__(self) -> None:
        count, batch = len(self.images), self.train.batch
        self._batches = BatchSequence(count, batch, self.seed)
        self._opposite = BatchSequence(count, batch, derived_seed(self.seed, "opposite"))

    def real(self, number: int) -> torch.Tensor:
        """The pictures of an update of the discriminator: float [batch, 3, size, size] in [-1, 1]."""
        return self._pictures(self._batches.indices(number), "flip", number)

    def opposite(self, number: int) -> torch.Tensor:
        """Real pictures for a generator whose loss looks at them: others, unless its fakes have the labels of these."""
        batches = self._batches if self.labels.shape[1] else self._opposite
        return self._pictures(batches.indices(number), "flip opposite", number)

    def latents(self, number: int) -> torch.Tensor:
        """float [batch, latent]."""
        return upload(latents(self.train.batch, self.latent, self.seed, "train", number), self.device)

    def labels_shown(self, number: int) -> tuple[torch.Tensor, ...]:
        """What both networks are told of an update's pictures: int64 [batch, columns], or nothing without columns.

        Of half of the pictures each label is hidden with a chance drawn for that picture, so that a face can be asked
        for by any of them, and by none.
        """
        columns = self.labels.shape[1]
        if not columns:
            return ()
        labels = self.labels[self._batches.indices(number)]
        chance = torch.rand((len(labels), columns + 2), generator=random_generator(self.seed, "hidden", number))
        hidden = (chance[:, :1] < HIDING) & (chance[:, 2:] < chance[:, 1:2])
        return (upload(torch.where(hidden, -1, labels), self.device),)

    def shares(self, number: int) -> torch.Tensor:
        """float [batch] in [0, 1): how far from real to fake the gradient penalty looks."""
        return self._uniform((self.train.batch,), "shares", number)

    def augmented(self, pictures: torch.Tensor, player: str, number: int) -> torch.Tensor:
        """What the discriminator is shown of ``pictures``."""
        if not self.train.augment:
            return pictures
        uniform = self._uniform((len(pictures), NUMBERS * len(AUGMENTATIONS)), f"augment {player}", number)
        with torch.autocast(pictures.device.type, enabled=False):
            return augment(pictures.float(), self.train.augment, uniform)

    @contextmanager
    def inside_networks(self, number: int) -> Iterator[None]:
        """Dropout and noise inputs draw from global generators: seeded by the step, and left as they were after it."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(derived_seed(self.seed, "inside", number))
            yield

    def _pictures(self, indices: torch.Tensor, purpose: str, number: int) -> torch.Tensor:
        real = to_network(self.images[upload(indices, self.device)])
        if self.train.flip:
            mirrored = torch.rand(len(real), generator=random_generator(self.seed, purpose, number)) < 0.5
            real = torch.where(upload(mirrored, self.device)[:, None, None, None], real.flip(3), real)
        return real

    def _uniform(self, shape: tuple[int, ...], purpose: str, number: int) -> torch.Tensor:
        return upload(torch.rand(shape, generator=random_generator(self.seed, purpose, number)), self.device)
