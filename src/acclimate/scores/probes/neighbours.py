"""The pass behind `knn`: the nearest training images by several metrics, from one blocked matrix product.

Features are centred by the training mean, which takes the common offset out of the differences below; the products of
the raw features that cosine needs follow from those of the centred ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from acclimate.scores.base import Features, Float32, Float64, Index, blocks
from acclimate.scores.probes.normalise import Normaliser, inverse_lengths, mean_of
from acclimate.scores.probes.products import alone, pays, product, threads
from acclimate.stats.metrics import Labels

Metric = Literal["cosine", "euclidean"]
METRICS: Final[tuple[Metric, ...]] = ("cosine", "euclidean")

# |a - b|^2 = |a|^2 + |b|^2 - 2ab loses digits in float32 when it is small beside |a|^2 + |b|^2. Below this share (a
# relative error of about 1e-4) it is computed again from the difference in float64, so equal rows are at exactly zero.
CLOSE: Final = 1e-2
# The same for 1 - cosine, whose rounding error is about 1e-7.
NEAR: Final = 1e-3
CACHE_BYTES: Final = 2**22


@dataclass(frozen=True, eq=False)
class Reference:
    """The training set, normalised and centred."""

    x: Float32  # (n, d), minus the mean
    y: Labels  # (n,)
    normaliser: Normaliser
    mean: Float64  # (d,), of the normalised features
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

    def part(self, rows: slice) -> Query:
        """Return some of the rows."""
        return Query(self.x[rows], self.squares[rows], self.along[rows], self.inverse[rows])


def refer(x: Features, y: Labels, n_classes: int, normaliser: Normaliser | None = None) -> Reference:
    """Return the centred float32 copy of a training set, and what both metrics need of it."""
    normaliser = normaliser or Normaliser()
    scaler = normaliser.of(x)
    mean = mean_of(x, scaler)
    centred = np.empty(x.shape, np.float32)
    inverse = np.empty(len(x), np.float32)
    for rows in blocks(len(x), 16 * x.shape[1]):
        part = scaler.transform(x[rows])
        centred[rows] = part - mean
        inverse[rows] = inverse_lengths(part)
    along = centred @ mean.astype(np.float32)
    return Reference(centred, y.copy(), normaliser, mean, _squares(centred), along, inverse, n_classes)


def neighbours(
    reference: Reference, x: Features, metrics: Sequence[Metric], k: int
) -> Iterator[tuple[slice, Metric, Index, Float64]]:
    """Yield (rows of x, metric, indices (b, k), distances (b, k)), nearest first, for each block and metric.

    The distance of cosine is 1 - cosine; a row of zeros is similar to nothing: cosine 0. All metrics share one product.
    """
    scaler = reference.normaliser.of(x)
    width = 4 * len(reference.x) + 32 * k + 24 * reference.n_classes
    # Beside the copy of the training features, half as much again: short blocks make slow products.
    parts_of_x = blocks(len(x), width, at_least=reference.x.nbytes // 2)
    # One for all blocks, not a second while one goes.
    room = np.empty((parts_of_x[0].stop, len(reference.x)), np.float32)
    large, workers = pays(parts_of_x[0].stop * reference.x.size), threads()
    for rows in parts_of_x:
        query = _query(reference, scaler.transform(x[rows]))
        with alone(large):  # or the threads that sort would have those of the product spin beside them
            products = product(query.x, reference.x.T, room[: len(query.x)], large=large)
            results = [
                _nearest_first(reference, query, products, metric, k, workers if large else 1) for metric in metrics
            ]
        for metric, (index, distance) in zip(metrics, results, strict=True):
            yield rows, metric, index, distance


def _nearest_first(
    reference: Reference, query: Query, products: Float32, metric: Metric, k: int, workers: int
) -> tuple[Index, Float64]:
    """Return indices and distances (b, k) of a block, nearest first, sorted by so many threads."""
    # A few rows at a time, so that what is done to the products finds them in the cache of a core
    few = max(1, CACHE_BYTES // products[0].nbytes)

    def sorted_part(start: int) -> tuple[Index, Float64]:
        part = slice(start, start + few)
        index, distance = DISTANCES[metric](reference, query.part(part), products[part], k)
        order = np.argsort(distance, axis=1, kind="stable")
        return np.take_along_axis(index, order, axis=1), np.take_along_axis(distance, order, axis=1)

    starts = range(0, len(products), few)
    if workers == 1:
        parts = list(map(sorted_part, starts))
    else:
        with ThreadPoolExecutor(workers) as pool:  # numpy lets go of Python in all that takes long
            parts = list(pool.map(sorted_part, starts))
    index, distance = zip(*parts, strict=True)
    return np.concatenate(index), np.concatenate(distance)


def _query(reference: Reference, x: Features) -> Query:
    centred = (x - reference.mean).astype(np.float32)
    along = (centred @ reference.mean + reference.mean @ reference.mean).astype(np.float32)
    return Query(centred, _squares(centred), along, inverse_lengths(x))


def _cosine(reference: Reference, query: Query, products: Float32, k: int) -> tuple[Index, Float64]:
    """Return the k nearest by cosine, in no order, and 1 - cosine."""
    # (q + m)(x + m) = qx + mx + (qm + mm): the product of the raw features from that of the centred ones.
    similarity = products + reference.along
    similarity += query.along[:, None]
    similarity *= reference.inverse
    index = nearest(similarity, k)
    distance = 1 - np.take_along_axis(similarity, index, axis=1) * query.inverse[:, None]
    row, column = np.nonzero(distance < NEAR)
    for part in blocks(len(row), 40 * query.x.shape[1]):
        r, c = row[part], column[part]
        neighbour = index[r, c]
        a, b = (query.x[r] + reference.mean) * query.inverse[r, None], reference.x[neighbour] + reference.mean
        difference = a - b * reference.inverse[neighbour, None].astype(np.float64)
        distance[r, c] = 0.5 * np.einsum("ij,ij->i", difference, difference)
    return index, distance


def _euclidean(reference: Reference, query: Query, products: Float32, k: int) -> tuple[Index, Float64]:
    """Return the k nearest by euclidean distance, in no order, and their distances."""
    index = nearest(products - np.float32(0.5) * reference.squares, k)
    scale = query.squares[:, None].astype(np.float64) + reference.squares[index]
    squared = scale - 2 * np.take_along_axis(products, index, axis=1).astype(np.float64)
    row, column = np.nonzero(squared < CLOSE * scale)
    for part in blocks(len(row), 24 * query.x.shape[1]):
        r, c = row[part], column[part]
        difference = query.x[r].astype(np.float64) - reference.x[index[r, c]]
        squared[r, c] = np.einsum("ij,ij->i", difference, difference)
    return index, np.sqrt(squared)


DISTANCES: Final[dict[Metric, Callable[[Reference, Query, Float32, int], tuple[Index, Float64]]]] = {
    "cosine": _cosine,
    "euclidean": _euclidean,
}


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
        # On a flat array, which numpy searches six times as fast.
        row, column = np.divmod(np.flatnonzero(closeness >= bound[:, None]), n)
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
    return np.asarray(np.einsum("ij,ij->i", x, x))
