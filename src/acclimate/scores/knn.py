"""k nearest neighbours: the vote of the most similar training images.

Two metrics, each with the weights it was published with:

- cosine: similarity s of L2-normalised features, weight exp(s / 0.07) (Wu et al. 2018, section 3.4; DINO,
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from acclimate.metrics import Labels
from acclimate.scores.base import (
    Features,
    Float32,
    Float64,
    Index,
    blocks,
    check_features,
    check_fit,
    judge,
)

Metric = Literal["cosine", "euclidean"]

METRICS: Final[tuple[Metric, ...]] = ("cosine", "euclidean")
NEIGHBOURS: Final = (1, 5, 10, 20, 50, 100, 200)
TEMPERATURE: Final = 0.07
PSEUDO_VOTES: Final = 1.0

# |a - b|^2 = |a|^2 + |b|^2 - 2ab loses digits in float32 when it is small beside |a|^2 + |b|^2. Below this
# share (a relative error of about 1e-4) it is computed again from the difference in float64, so equal rows
# are at exactly zero.
CLOSE: Final = 1e-2


@dataclass(frozen=True, eq=False)
class Reference:
    """The training set, centred: centring takes the common offset out of the differences above."""

    x: Float32  # (n, d), minus the mean
    y: Labels  # (n,)
    mean: Float64  # (d,)
    squares: Float32  # (n,), squared lengths of the rows of x
    along: Float32  # (n,), x @ mean
    inverse: Float32  # (n,), 1 / length before centring; 0 for a row of zeros
    n_classes: int


@dataclass(frozen=True, eq=False)
class Query:
    """One block of images to classify, centred by the training mean."""

    x: Float32  # (b, d)
    squares: Float32  # (b,)
    along: Float32  # (b,), x @ mean + mean @ mean
    inverse: Float64  # (b,)


@dataclass(frozen=True, eq=False)
class Knn:
    """k nearest neighbours with the metric and the k that validation chose."""

    reference: Reference
    metric: Metric
    k: int
    settings: dict[str, Any]
    name: str = "knn"

    def predict_proba(self, x: Features) -> Float64:
        """Return class probabilities (m, C) of features (m, d)."""
        check_features(x, "features", width=self.reference.x.shape[1])
        result = np.empty((len(x), self.reference.n_classes))
        for rows, _, _, p in probabilities(self.reference, x, (self.metric,), (self.k,)):
            result[rows] = p
        return result


def fit(x: Features, y: Labels, x_val: Features, y_val: Labels, *, n_classes: int, seed: int) -> Knn:
    """Keep the training features and choose metric and k on validation; arguments as in `base.ScoreFit`.

    `seed` is unused: nothing here is random.

    Examples
    --------
    >>> x, y = np.array([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0]]), np.array([0, 0, 1])
    >>> fitted = fit(x, y, x, y, n_classes=2, seed=0)
    >>> fitted.metric, fitted.k, fitted.predict_proba(np.array([[0.0, 2.0]])).argmax()
    ('cosine', 1, np.int64(0))
    """
    check_fit(x, y, x_val, y_val, n_classes)
    reference = refer(x, y, n_classes)
    ks = tuple(k for k in NEIGHBOURS if k <= len(x))
    found = {key: [0.0, 0.0] for key in itertools.product(METRICS, ks)}
    for rows, metric, k, p in probabilities(reference, x_val, METRICS, ks):
        for i, value in enumerate(judge(p, y_val[rows])):
            found[metric, k][i] += value * len(p) / len(x_val)
    # Highest accuracy, lowest log loss; of equals the first metric and the smallest k. Rounded, since sums
    # over blocks of images differ in the last digit.
    metric, k = min(found, key=lambda key: (-round(found[key][0], 12), found[key][1]))
    settings = {
        "metric": metric,
        "k": k,
        "temperature": TEMPERATURE if metric == "cosine" else None,
        "pseudo_votes": PSEUDO_VOTES,
        "val_accuracy": found[metric, k][0],
        "val_log_loss": found[metric, k][1],
    }
    return Knn(reference, metric, k, settings)


def refer(x: Features, y: Labels, n_classes: int) -> Reference:
    """Return the centred float32 copy of a training set, and what both metrics need of it."""
    mean = x.mean(axis=0, dtype=np.float64)
    centred = np.empty(x.shape, np.float32)
    inverse = np.empty(len(x), np.float32)
    for rows in blocks(len(x), 8 * x.shape[1]):
        centred[rows] = x[rows] - mean
        inverse[rows] = _inverse_lengths(x[rows])
    along = centred @ mean.astype(np.float32)
    return Reference(centred, y.copy(), mean, _squares(centred), along, inverse, n_classes)


def probabilities(
    reference: Reference, x: Features, metrics: tuple[Metric, ...], ks: tuple[int, ...]
) -> Iterator[tuple[slice, Metric, int, Float64]]:
    """Yield (rows of x, metric, k, class probabilities (b, C)) for each block, metric and k: one product."""
    present = np.bincount(reference.y, minlength=reference.n_classes) > 0
    smooth = present * (PSEUDO_VOTES / present.sum())
    width = 4 * len(reference.x) + 32 * max(ks) + 24 * reference.n_classes
    for rows in blocks(len(x), width):
        query = _query(reference, x[rows])
        product = query.x @ reference.x.T
        for metric in metrics:
            index, weights = WEIGH[metric](reference, query, product, max(ks))
            for k, share, effective in shares(reference.y[index], weights, ks, reference.n_classes):
                yield rows, metric, k, (effective * share + smooth) / (effective + PSEUDO_VOTES)


def shares(
    labels: Labels, weights: Float64, ks: tuple[int, ...], n_classes: int
) -> Iterator[tuple[int, Float64, Float64]]:
    """Yield (k, share of the vote (b, C), effective number of votes (b, 1)) for each k, smallest first.

    `labels` and `weights` are (b, max k), nearest first. Votes of a larger k are those of the smaller one and
    more.
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


def _query(reference: Reference, x: Features) -> Query:
    centred = (x - reference.mean).astype(np.float32)
    along = (centred @ reference.mean + reference.mean @ reference.mean).astype(np.float32)
    return Query(centred, _squares(centred), along, _inverse_lengths(x))


def _cosine(reference: Reference, query: Query, product: Float32, k: int) -> tuple[Index, Float64]:
    """Return the k nearest by cosine and their weights. A row of zeros is similar to nothing: cosine 0."""
    # (q + m)(x + m) = qx + mx + (qm + mm): the product of the raw features from that of the centred ones.
    similarity = product + reference.along
    similarity += query.along[:, None]
    similarity *= reference.inverse
    index = nearest(similarity, k)
    near = np.take_along_axis(similarity, index, axis=1) * query.inverse[:, None]
    order = np.argsort(-near, axis=1, kind="stable")
    near = np.take_along_axis(near, order, axis=1)
    # Relative to the nearest: the same shares, and no overflow.
    return np.take_along_axis(index, order, axis=1), np.exp((near - near[:, :1]) / TEMPERATURE)


def _euclidean(reference: Reference, query: Query, product: Float32, k: int) -> tuple[Index, Float64]:
    """Return the k nearest by euclidean distance and their weights."""
    index = nearest(product - np.float32(0.5) * reference.squares, k)
    scale = query.squares[:, None].astype(np.float64) + reference.squares[index]
    squared = scale - 2 * np.take_along_axis(product, index, axis=1).astype(np.float64)
    _refine(squared, squared < CLOSE * scale, query.x, reference.x, index)
    order = np.argsort(squared, axis=1, kind="stable")
    distance = np.sqrt(np.take_along_axis(squared, order, axis=1))
    exact = distance == 0
    weights = np.where(exact[:, :1], exact, 1 / np.where(exact, 1, distance))
    return np.take_along_axis(index, order, axis=1), weights


WEIGH: Final[dict[Metric, Callable[[Reference, Query, Float32, int], tuple[Index, Float64]]]] = {
    "cosine": _cosine,
    "euclidean": _euclidean,
}


def _refine(squared: Float64, which: npt.NDArray[np.bool_], a: Float32, b: Float32, index: Index) -> None:
    """Overwrite the chosen squared distances (b, k) by ones computed from the differences in float64."""
    row, column = np.nonzero(which)
    for part in blocks(len(row), 24 * a.shape[1]):
        r, c = row[part], column[part]
        difference = a[r].astype(np.float64) - b[index[r, c]]
        squared[r, c] = np.einsum("ij,ij->i", difference, difference)


def nearest(closeness: Float32, k: int) -> Index:
    """Return the indices (b, k), in no order, of the k largest values in each row of (b, n).

    The k-th largest maximum of about 4k groups of columns is a bound that at least k values reach and few
    others do, so only those are sorted out; this reads the block twice where a partition would move it about.
    """
    b, n = closeness.shape
    if n >= 32 * k:
        m = 4 * k
        peaks = closeness[:, : n // m * m].reshape(b, n // m, m).max(axis=1)
        bound = np.partition(peaks, m - k, axis=1)[:, m - k]
        row, column = np.nonzero(closeness >= bound[:, None])
        count = np.bincount(row, minlength=b)
        # Many equal values can all reach the bound; then nothing is gained.
        if count.max() <= 8 * k:
            place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
            value = np.full((b, count.max()), -np.inf, np.float32)
            where = np.zeros(value.shape, np.intp)
            value[row, place], where[row, place] = closeness[row, column], column
            return np.take_along_axis(where, nearest(value, k), axis=1)
    if k == n:
        return np.broadcast_to(np.arange(n), (b, n))
    return np.argpartition(closeness, n - k, axis=1)[:, n - k :]


def _squares(x: Float32) -> Float32:
    squares: Float32 = np.einsum("ij,ij->i", x, x)
    return squares


def _inverse_lengths(x: Features) -> Float64:
    length = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))
    inverse: Float64 = np.divide(1, length, out=np.zeros_like(length), where=length > 0)
    return inverse
