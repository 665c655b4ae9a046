"""What each step sees: pictures, latents, augmentation. All of it a pure function of (seed, step)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from facegan.data.batches import BatchSequence, to_network
from facegan.data.stored import Pictures
from facegan.params import TrainParams
from facegan.randomness import derived_seed, latents
from facegan.randomness import generator as random_generator
from facegan.training.augment import AUGMENTATIONS, NUMBERS, augment
from facegan.training.device import upload
from facegan.training.reading import Reader

ALL = slice(None)
HIDING = 0.5  # of the pictures: a share of their labels, drawn for each, is hidden


@dataclass
class Draws:
    """Draws for a training on ``images`` uint8 [n, h, w, 3], a tensor on ``device`` or what is on disk.

    ``number`` counts updates.

    What an update needs is drawn for the whole batch, of which ``rows`` are given: no bit depends on how it is shared.
    ``labels`` int64 [n, columns] are those of the pictures; where there are columns, both networks get them.
    """

    images: Pictures
    labels: torch.Tensor
    latent: int
    train: TrainParams
    seed: int
    device: torch.device

    def __post_init__(self) -> None:
        count, batch = len(self.images), self.train.batch
        self._batches = BatchSequence(count, batch, self.seed)
        opposite = BatchSequence(count, batch, derived_seed(self.seed, "opposite"))
        self._real = Reader(self.images, self._batches.indices, self.device)
        # The generator asks once a step, with the number of the discriminator's last update.
        self._opposite = Reader(self.images, opposite.indices, self.device, self.train.discriminator_steps)

    def real(self, number: int, rows: slice = ALL) -> torch.Tensor:
        """The pictures of an update of the discriminator: float [batch, 3, h, w] in [-1, 1]."""
        return self._pictures(self._real, "flip", number, rows)

    def opposite(self, number: int, rows: slice = ALL) -> torch.Tensor:
        """Real pictures for a generator whose loss looks at them: others, unless its fakes have the labels of these."""
        read = self._real if self.labels.shape[1] else self._opposite
        return self._pictures(read, "flip opposite", number, rows)

    def latents(self, number: int, rows: slice = ALL) -> torch.Tensor:
        """float [batch, latent]."""
        return self._upload(latents(self.train.batch, self.latent, self.seed, "train", number), rows)

    def labels_shown(self, number: int, rows: slice = ALL) -> tuple[torch.Tensor, ...]:
        """The labels that both networks get in an update: int64 [batch, columns], or nothing without columns.

        Of half of the pictures each label is hidden with a chance drawn for that picture, so that a face can be asked
        for by any of them, and by none.
        """
        columns = self.labels.shape[1]
        if not columns:
            return ()
        labels = self.labels[self._batches.indices(number)]
        chance = torch.rand((len(labels), columns + 2), generator=random_generator(self.seed, "hidden", number))
        hidden = (chance[:, :1] < HIDING) & (chance[:, 2:] < chance[:, 1:2])
        return (self._upload(torch.where(hidden, -1, labels), rows),)

    def shares(self, number: int, rows: slice = ALL) -> torch.Tensor:
        """float [batch] in [0, 1): how far from real to fake the gradient penalty looks."""
        return self._uniform((), "shares", number, rows)

    def augmented(self, pictures: torch.Tensor, player: str, number: int, rows: slice = ALL) -> torch.Tensor:
        """What the discriminator is shown of ``pictures``, which are those of ``rows``."""
        if not self.train.augment:
            return pictures
        uniform = self._uniform((NUMBERS * len(AUGMENTATIONS),), f"augment {player}", number, rows)
        with torch.autocast(pictures.device.type, enabled=False):
            return augment(pictures.float(), self.train.augment, uniform)

    @contextmanager
    def inside_networks(self) -> Iterator[None]:
        """Dropout and noise inputs draw from global generators, which are left as they were."""
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            yield

    def seed_networks(self, purpose: str, number: int, microbatch: int) -> None:
        """Seed those generators for some passes of an update."""
        torch.manual_seed(derived_seed(self.seed, f"inside {purpose} {microbatch}", number))

    def _pictures(self, read: Reader, purpose: str, number: int, rows: slice) -> torch.Tensor:
        real = to_network(read(number, rows))
        if self.train.flip:
            mirrored = self._uniform((), purpose, number, rows) < 0.5
            real = torch.where(mirrored[:, None, None, None], real.flip(3), real)
        return real

    def _uniform(self, shape: tuple[int, ...], purpose: str, number: int, rows: slice) -> torch.Tensor:
        source = random_generator(self.seed, purpose, number)
        return self._upload(torch.rand((self.train.batch, *shape), generator=source), rows)

    def _upload(self, batch: torch.Tensor, rows: slice) -> torch.Tensor:
        """A copy where it is a part: products of matrices may depend on where in memory a matrix begins."""
        return upload(batch if rows == ALL else batch[rows].clone(), self.device)
