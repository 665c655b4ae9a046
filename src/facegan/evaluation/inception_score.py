"""The Inception Score (Salimans et al., 2016): how sure a classifier is of each picture, and how much they differ."""

import torch

SPLITS = 10


class InceptionScore:
    """Takes the logits of ``count`` pictures, a batch at a time; higher is better, 1 is the least.

    exp of the mean Kullback-Leibler divergence of each picture's classes from those of all, for each of ten splits of
    consecutive pictures (fewer for fewer than ten); mean and standard deviation over them.
    """

    def __init__(self, count: int) -> None:
        splits = min(SPLITS, count)
        self._starts = torch.tensor([split * count // splits for split in range(splits)])
        self._classes: torch.Tensor | None = None  # summed probabilities, float64 [splits, classes]
        self._negative_entropy = torch.zeros(splits, dtype=torch.float64)
        self._counts = torch.zeros(splits, dtype=torch.float64)
        self._seen = 0

    def update(self, logits: torch.Tensor) -> None:
        """float [n, classes]."""
        log_p = logits.cpu().double().log_softmax(1)
        p = log_p.exp()
        if self._classes is None:
            self._classes = torch.zeros((len(self._counts), p.shape[1]), dtype=torch.float64)
        places = torch.arange(self._seen, self._seen + len(p))
        split = torch.searchsorted(self._starts, places, right=True) - 1
        self._classes.index_add_(0, split, p)
        self._negative_entropy.index_add_(0, split, (p * log_p).sum(1))
        self._counts.index_add_(0, split, torch.ones(len(p), dtype=torch.float64))
        self._seen += len(p)

    def result(self) -> tuple[float, float]:
        """Mean and standard deviation over the splits."""
        assert self._classes is not None
        marginal = self._classes / self._counts[:, None]
        entropy = -torch.xlogy(marginal, marginal).sum(1)
        scores = (self._negative_entropy / self._counts + entropy).exp()
        return float(scores.mean()), float(scores.std(correction=0))
