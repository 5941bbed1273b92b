"""NLEEP: LEEP without a source classifier, from the clusters of a Gaussian mixture instead of source classes.

Li et al., "Ranking Neural Checkpoints" (CVPR 2021): a PCA that keeps 80 % of the variance, a mixture of
five components a class, and LEEP (Nguyen et al. 2020) of the posteriors. The paper leaves the
covariances open; they are spherical here, as in the code of the authors' group (stable_transfer), since five full
ones a class in some hundred dimensions have more parameters than there are numbers.

The start is k-means with a seed, and the number depends on it: three seeds of one model differ by a few per cent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from acclimate.scores.base import Features, Float64, blocks
from acclimate.scores.estimates import cautions
from acclimate.scores.estimates.leep import expected_prediction
from acclimate.scores.estimates.member import ANY, Estimate, between
from acclimate.scores.estimates.ncti import principal
from acclimate.scores.estimates.prepared import Prepared

VARIANCE: Final = 0.8
COMPONENTS: Final = 5  # a class
FLOOR: Final = 1e-5  # of a variance
ITERATIONS: Final = 100
TOLERANCE: Final = 1e-3  # of the mean log likelihood
BLOCK: Final = 2**18  # numbers
# Posteriors below are taken for 0. They move no sum, but in so many dimensions most are so small that float32 has only
# its slow denormal numbers for them: a product of those takes ten times as long.
NEGLIGIBLE: Final = 1e-30


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of spherical Gaussians."""

    x: Features  # (n, k)
    weights: Float64  # (m,)
    means: Float64  # (m, k)
    variances: Float64  # (m,)

    def expectations(self) -> Iterator[tuple[slice, Float64, Float64]]:
        """Yield (slice, posteriors (b, m), log densities (b,)): all rows in order."""
        k = self.means.shape[1]
        precision = 1 / self.variances
        constant = np.log(self.weights) - 0.5 * k * np.log(2 * np.pi * self.variances)
        constant -= 0.5 * precision * (self.means**2).sum(axis=1)
        towards = (self.means * precision[:, None]).T.astype(self.x.dtype)
        for part in blocks(len(self.x), len(self.weights), size=BLOCK):
            squares = np.einsum("ik,ik->i", self.x[part], self.x[part], dtype=np.float64)
            log = (self.x[part] @ towards).astype(np.float64)
            log += constant
            log -= 0.5 * squares[:, None] * precision
            largest = log.max(axis=1, keepdims=True)
            log -= largest
            p = np.exp(log, out=log)
            p[p < NEGLIGIBLE] = 0
            total = p.sum(axis=1, keepdims=True)
            p /= total
            yield part, p, (largest + np.log(total))[:, 0]


def nleep(prepared: Prepared, *, components: int = COMPONENTS, seed: int | None = None) -> float:
    """Return LEEP of mixture posteriors, in [-ln C', 0] nats; larger is better.

    The mixture has so many `components` for each class, or as many as leave their number below n, at least one in all.
    The `seed` is that of the start, by default that of `prepared`.

    Cost: a Gram matrix and k of its vectors, then k-means and up to 100 passes of n k m, for m components in k
    dimensions.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> x = np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], 8, axis=0) + np.random.default_rng(0).normal(size=(24, 2))
    >>> -1e-6 < nleep(prepare(x, np.arange(24) // 8), components=1) <= 0
    True
    """
    values = prepared.centred.values
    if not values[0] > 0:
        return float(np.sum(prepared.counts / prepared.n * np.log(prepared.counts / prepared.n)))
    count = int(np.searchsorted(np.cumsum(values) / values.sum(), VARIANCE, side="right")) + 1
    x, _ = principal(prepared, min(count, len(values)))
    classes = len(prepared.counts)
    m = next((c * classes for c in range(components, 0, -1) if c * classes < prepared.n), 1)
    fitted = _fit(x, m, prepared.seed if seed is None else seed)
    return min(expected_prediction(lambda: ((part, p) for part, p, _ in fitted.expectations()), prepared.labels), 0.0)


def _fit(x: Features, m: int, seed: int) -> Mixture:
    """Fit by expectation maximisation from the clusters of k-means until the likelihood hardly rises."""
    hot = _clusters(x, m, seed)
    start = ((slice(i, i + 1024), np.eye(m)[hot[i : i + 1024]], np.zeros(1)) for i in range(0, len(x), 1024))
    fitted, before = _maximise(x, start, m)[0], -np.inf
    for _ in range(ITERATIONS):
        fitted, now = _maximise(x, fitted.expectations(), m)
        if abs(now - before) < TOLERANCE:
            break
        before = now
    return fitted


def _maximise(x: Features, expectations: Iterator[tuple[slice, Float64, Float64]], m: int) -> tuple[Mixture, float]:
    """Return the mixture of these expectations, and the mean of their log densities."""
    counts, sums, squares = np.full(m, 10 * np.finfo(float).eps), np.zeros((m, x.shape[1])), np.zeros(m)
    densities = []
    for part, p, density in expectations:
        densities.append(density)
        counts += p.sum(axis=0)
        sums += p.T.astype(x.dtype) @ x[part]
        squares += p.T @ np.einsum("ik,ik->i", x[part], x[part], dtype=np.float64)
    means = sums / counts[:, None]
    variances = (squares / counts - (means**2).sum(axis=1)) / x.shape[1] + FLOOR
    mixture = Mixture(x, counts / counts.sum(), means, np.maximum(variances, FLOOR))
    return mixture, float(np.concatenate(densities).mean())


def _clusters(x: Features, m: int, seed: int) -> Any:
    from sklearn.cluster import KMeans  # a slow import, needed only here

    distinct = len(np.unique(x, axis=0)) if len(x) <= 1000 else len(x)
    start = _seeds(x, min(m, distinct), np.random.RandomState(seed))  # no global generator
    return KMeans(len(start), init=start, n_init=1, copy_x=False).fit(x).labels_


def _seeds(x: Features, m: int, random: np.random.RandomState) -> Features:
    """Return m rows of x (m, k), far apart: the greedy k-means++ of Arthur & Vassilvitskii (2007)."""
    # It draws what scikit-learn draws, in its order, so that one seed gives the same clusters; the products are of the
    # type of x, where scikit-learn goes through float64
    n, trials = len(x), 2 + int(np.log(m))
    squares = np.einsum("ik,ik->i", x, x, dtype=np.float64)
    seeds = [int(random.choice(n, p=np.full(n, 1 / n)))]
    nearest = _squared_distances(x, squares, seeds)[0]  # (n,), to the seeds so far
    while len(seeds) < m:
        # An image is drawn in proportion to its distance; of several, that which leaves the others nearest.
        place = np.searchsorted(np.cumsum(nearest), random.uniform(size=trials) * nearest.sum())
        candidates = np.minimum(place, n - 1)
        distances = np.minimum(nearest, _squared_distances(x, squares, candidates))  # (trials, n)
        best = int(distances.sum(axis=1).argmin())
        nearest = distances[best]
        seeds.append(int(candidates[best]))
    return x[seeds]


def _squared_distances(x: Features, squares: Float64, rows: Any) -> Float64:
    """Return the squared distances (r, n) of some rows of x to all."""
    distances: Float64 = (x[rows] @ x.T).astype(np.float64)
    distances *= -2
    distances += squares
    distances += squares[rows, None]
    np.maximum(distances, 0, out=distances)
    return distances


NLEEP: Final = Estimate(
    nleep,
    "LEEP of the clusters of a Gaussian mixture, in nats; seeds differ by a few per cent",
    between(-np.inf, 0),
    ANY - {"order", "scale"},
    caution=cautions.few_a_class,
    spectrum="centred",
)
