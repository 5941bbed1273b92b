"""k nearest neighbours: the vote of the most similar training images.

Two metrics, each with the weights it was published with:

- cosine: similarity s of L2-normalised features, weight exp(s / 0.07) (Wu et al. 2018; DINO,
  Caron et al. 2021);
- euclidean: weight 1 / distance; when neighbours lie at distance zero only they vote, equally
  (as in scikit-learn).

Metric and k are chosen on validation: the highest accuracy, then the lowest log loss. Probabilities are the
shares of the vote with one pseudo-vote spread evenly over the classes that occur in training: with an
effective number of votes m = (sum w)^2 / sum w^2 (Kish 1965), p = (m * share + 1/classes) / (m + 1). This
keeps the log loss finite and moves no prediction.

Cost: one product of (m, d) by (d, n) serves every k and both metrics; memory is one float32 copy of the
features plus a bounded block. Training images at exactly the same distance are taken in no particular order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import Field

from acclimate.scores.base import Features, Float64, Probe, ProbeData, ProbeSettings, check_features, judge
from acclimate.scores.probes.neighbours import METRICS, Metric, Reference, neighbours, refer
from acclimate.scores.probes.normalise import NORMALISERS, Normalise
from acclimate.stats.metrics import Labels

NEIGHBOURS: Final = (1, 5, 10, 20, 50, 100, 200)

Weights = Literal["auto", "exp", "distance", "uniform"]


class KnnSettings(ProbeSettings):
    """Settings of `knn`.

    Attributes
    ----------
    metric
        Metrics to choose from on validation; of equals the first is taken.
    k
        Numbers of neighbours to choose from. Those above the number of training images are left out; when all are,
        every training image votes.
    temperature
        T of the weight exp(-distance / T), where the distance of cosine is 1 - cosine.
    weights
        ``exp``; ``distance``: 1 / distance; ``uniform``; ``auto``: ``exp`` for cosine, ``distance`` for euclidean.
    pseudo_votes
        Votes spread evenly over the classes; 0 gives the plain shares of the vote.
    normalise
        A name in ``NORMALISERS``.
    """

    metric: tuple[Metric, ...] = Field(default=METRICS, min_length=1)
    k: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=NEIGHBOURS, min_length=1)
    temperature: float = Field(default=0.07, gt=0)
    weights: Weights = "auto"
    pseudo_votes: float = Field(default=1.0, ge=0)
    normalise: Normalise = "none"


@dataclass(frozen=True, eq=False)
class Knn:
    """k nearest neighbours with the metric and the k that validation chose."""

    reference: Reference
    best: KnnSettings  # one metric, one k
    settings: dict[str, Any]
    name: str = "knn"

    def predict_proba(self, x: Features) -> Float64:
        """Return class probabilities (m, C) of features (m, d)."""
        check_features(x, "features", width=self.reference.x.shape[1])
        result = np.empty((len(x), self.reference.n_classes))
        for rows, _, _, p in probabilities(self.reference, x, self.best):
            result[rows] = p
        return result


def fitted(data: ProbeData, settings: KnnSettings) -> Knn:
    """Keep the training features and choose metric and k on validation.

    Examples
    --------
    >>> x, y = np.array([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0]]), np.array([0, 0, 1])
    >>> probe = fit(x, y, x, y, n_classes=2, seed=0)
    >>> probe.settings["metric"], probe.settings["k"], probe.predict_proba(np.array([[0.0, 2.0]])).argmax()
    ('cosine', 1, np.int64(0))
    >>> dino = KnnSettings(metric=("cosine",), k=(10, 20, 100, 200), temperature=0.07)
    >>> fit(x, y, x, y, n_classes=2, seed=0, settings=dino).settings["k"]
    3
    """
    reference = refer(data.x, data.y, data.n_classes, NORMALISERS[settings.normalise].fit(data.x))
    ks = tuple(sorted({k for k in settings.k if k <= len(data.x)})) or (len(data.x),)
    settings = settings.model_copy(update={"k": ks})
    results = {key: [0.0, 0.0] for key in itertools.product(settings.metric, ks)}
    for rows, metric, k, p in probabilities(reference, data.x_val, settings):
        for i, value in enumerate(judge(p, data.y_val[rows])):
            results[metric, k][i] += value * len(p) / len(data.x_val)
    # Highest accuracy, lowest log loss; of equals the first metric and the smallest k. Rounded, since sums
    # over blocks of images differ in the last digit.
    metric, k = min(results, key=lambda key: (-round(results[key][0], 12), results[key][1]))
    best = settings.model_copy(update={"metric": (metric,), "k": (k,)})
    description = {
        "metric": metric,
        "k": k,
        "weights": _kind(settings, metric),
        "temperature": settings.temperature if _kind(settings, metric) == "exp" else None,
        "pseudo_votes": settings.pseudo_votes,
        "normalise": settings.normalise,
        "val_accuracy": results[metric, k][0],
        "val_log_loss": results[metric, k][1],
    }
    return Knn(reference, best, description)


def probabilities(
    reference: Reference, x: Features, settings: KnnSettings
) -> Iterator[tuple[slice, Metric, int, Float64]]:
    """Yield (rows of x, metric, k, class probabilities (b, C)) for each block, metric and k: one product."""
    present = np.bincount(reference.y, minlength=reference.n_classes) > 0
    votes = settings.pseudo_votes
    smooth = present * (votes / present.sum())
    for rows, metric, index, distance in neighbours(reference, x, settings.metric, max(settings.k)):
        weights = weigh(distance, _kind(settings, metric), settings.temperature)
        for k, share, effective in shares(reference.y[index], weights, settings.k, reference.n_classes):
            yield rows, metric, k, (effective * share + smooth) / (effective + votes)


def weigh(distance: Float64, kind: Weights, temperature: float) -> Float64:
    """Return the weights (b, k) of neighbours at these distances, nearest first."""
    if kind == "exp":
        # Relative to the nearest: the same shares, and no overflow.
        return np.exp((distance[:, :1] - distance) / temperature)
    if kind == "distance":
        exact = distance <= 0
        return np.where(exact[:, :1], exact, 1 / np.where(exact, 1, distance))
    return np.ones_like(distance)


def _kind(settings: KnnSettings, metric: Metric) -> Weights:
    if settings.weights == "auto":
        return "exp" if metric == "cosine" else "distance"
    return settings.weights


def shares(
    labels: Labels, weights: Float64, ks: Sequence[int], n_classes: int
) -> Iterator[tuple[int, Float64, Float64]]:
    """Yield (k, share of the vote (b, C), effective number of votes (b, 1)) for each k, smallest first.

    `labels` and `weights` are (b, max k), nearest first. Votes of a larger k are those of the smaller one and more.
    """
    b = len(labels)
    slot = labels + n_classes * np.arange(b)[:, None]
    votes = np.zeros((b, n_classes))
    start = 0
    for k in sorted(ks):
        added = np.bincount(slot[:, start:k].ravel(), weights=weights[:, start:k].ravel(), minlength=b * n_classes)
        votes += added.reshape(b, n_classes)
        total = weights[:, :k].sum(axis=1, keepdims=True)
        effective = total**2 / (weights[:, :k] ** 2).sum(axis=1, keepdims=True)
        yield k, votes / total, effective
        start = k


KNN: Final = Probe(
    fitted,
    KnnSettings,
    "Accuracy of the vote of the most similar training images: how well classes form neighbourhoods already.",
    laws=frozenset({"order", "labels", "columns", "rotation", "scale"}),
)
fit: Final = KNN.fit
