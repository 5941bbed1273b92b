"""The probe: a classifier at the regularised logistic optimum of the features that a stage starts from.

It is the classifier to beat: a stage that moves the backbone ends with it unless validation prefers a later step beyond
luck. C is the one with the smallest log loss on images that the classifier was not fitted on: the validation images,
and each training image in its turn (stratified folds), so that few validation images do not decide alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from acclimate.errors import RecipeError
from acclimate.models.network import classifiers
from acclimate.scores.base import ProbeData, check_fit
from acclimate.scores.probes.logistic.paths import LogisticSettings
from acclimate.scores.probes.logistic.probe import Logistic, fitted
from acclimate.scores.probes.normalise import ZScore
from acclimate.scores.probes.temper import factor

Features = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

GRID: Final = tuple(float(c) for c in 10 ** np.arange(-6, 3.5, 0.5))
FALLBACK: Final = 1.0  # C where no image is left to choose it by: scikit-learn's default
FOLDS: Final = 5
UNSEEN: Final = 50.0  # nats by which a class without a training image lies below the others, which -inf would make NaN
SURE: Final = 2.0  # standard errors: the best of many steps is held against the probe


@dataclass(frozen=True)
class LabelledFeatures:
    """Features (n, d) of some images, and their labels (n,)."""

    x: Features
    y: Labels

    def at(self, rows: npt.NDArray[np.bool_]) -> LabelledFeatures:
        """Return some of the images."""
        return LabelledFeatures(self.x[rows], self.y[rows])


def fit_probe(train: LabelledFeatures, val: LabelledFeatures, n_classes: int, seed: int) -> Logistic:
    """Return the classifier of the training images with the best C; ``val`` may be empty."""
    check_fit(train.x, train.y, train.x, train.y, n_classes)
    fold = folds(train.y, seed)
    held_out = [(train.at(fold != k), train.at(fold == k)) for k in range(fold.max() + 1)] if fold.max() else []
    held_out += [(train, val)] if len(val.y) else []
    c = _best(held_out, n_classes) if held_out else FALLBACK
    return _fit(train, train, n_classes, (c,))


def folds(labels: Labels, seed: int) -> Labels:
    """Return the fold of each image, each class spread evenly; zeros where a class has one image alone.

    Examples
    --------
    >>> np.bincount(folds(np.array([0, 0, 0, 1, 1, 1, 1]), seed=0)).tolist()
    [3, 2, 2]
    >>> folds(np.array([0, 1, 1]), seed=0).tolist()
    [0, 0, 0]
    """
    counts, rng = np.bincount(labels), np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(len(labels), np.int64)
    fold[order] = np.arange(len(labels)) % min(FOLDS, counts[counts > 0].min())
    return fold


def _best(held_out: list[tuple[LabelledFeatures, LabelledFeatures]], n_classes: int) -> float:
    """Return the C with the smallest log loss over all held-out images."""
    total = np.zeros(len(GRID))
    for train, rest in held_out:
        path = _fit(train, rest, n_classes, GRID).settings["path"]
        total += len(rest.y) * np.array([point["val_log_loss"] for point in path])
    return GRID[int(total.argmin())]


def _fit(train: LabelledFeatures, val: LabelledFeatures, n_classes: int, c: tuple[float, ...]) -> Logistic:
    return fitted(ProbeData(train.x, train.y, val.x, val.y, n_classes), LogisticSettings(c=c, patience=None))


@torch.no_grad()
def install(probe: Logistic, network: nn.Module) -> None:
    """Give a network's classifier the weights and the bias of a probe; its standardisation is folded into them."""
    assert isinstance(probe.normaliser, ZScore)
    weights = probe.normaliser.scale[:, None] * probe.weights
    bias = probe.bias - probe.mean @ probe.weights - probe.normaliser.mean @ weights
    seen = np.isfinite(bias)
    bias = np.where(seen, bias, bias[seen].min() - UNSEEN)
    for weight, offset in _linear(network):
        weight.copy_(torch.from_numpy(weights.T).reshape(weight.shape))
        offset.copy_(torch.from_numpy(bias))


@torch.no_grad()
def clear(network: nn.Module) -> None:
    """Set a network's classifier to zero: every class is equally likely."""
    for weight, bias in _linear(network):
        weight.zero_()
        bias.zero_()


def inverse_temperature(logits: Features, labels: Labels) -> float:
    """Return the factor for logits (m, C) that gives the labels (m,) the smallest log loss."""
    return factor(logits.astype(np.float64), labels, own=True)


@torch.no_grad()
def scale(network: nn.Module, by: float) -> None:
    """Multiply the logits of a network's classifier."""
    for weight, bias in _linear(network):
        weight.mul_(by)
        bias.mul_(by)


def _linear(network: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Return weight and bias of each classifier, which may be a convolution of one pixel.

    A network with two, such as a distilled transformer, averages them, so that the same in both is the same as one.

    Raises `RecipeError` for a classifier of another kind.
    """
    heads = [(getattr(head, "weight", None), getattr(head, "bias", None)) for head in classifiers(network)]
    linear = [(w, b) for w, b in heads if w is not None and b is not None and w[0].numel() == w.shape[1]]
    if len(linear) < len(heads) or not heads:
        kinds = ", ".join(type(head).__name__ for head in classifiers(network))
        raise RecipeError(
            f"got {kinds or 'nothing'} for a classifier; a linear probe stands on a linear layer with bias"
        )
    return linear


def surely_smaller(losses: npt.NDArray[np.float64], start: npt.NDArray[np.float64]) -> bool:
    """Whether losses (m,) of images are smaller than those of the same images at the start, beyond luck.

    The mean gain is above ``SURE`` standard errors. One image tells nothing.

    Examples
    --------
    >>> surely_smaller(np.full(20, 0.5), np.linspace(0.6, 0.9, 20)), surely_smaller(np.array([0.1]), np.array([0.9]))
    (True, False)
    """
    gain = start - losses
    if len(gain) < 2:
        return False
    return bool(gain.mean() > SURE * gain.std(ddof=1) / np.sqrt(len(gain)))
