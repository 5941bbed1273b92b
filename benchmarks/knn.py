"""Seconds of k nearest neighbours, 10,000 images against 50,000 at d = 512, k up to 200, against two floors.

Ours gives the probabilities of k = 1, 5, 10, 20, 50, 100 and 200. `knn` is one metric (cosine) against the bare matrix
product of the same queries, and `knn_both` both metrics from the one product; from 1 / 1.5 on they pass. `knn_sklearn`
is the euclidean one against `NearestNeighbors(200, algorithm="brute").kneighbors`, which makes no votes.

The floor: 512 GFLOP of the product, and one reading of its 2 GB. The ways take turns over parts of the queries; the
median of the turns' ratios is the result.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from clouds import Float32, features
from measure import Options, Row, cores
from sklearn.neighbors import NearestNeighbors

from acclimate.scores.knn import KnnSettings, probabilities
from acclimate.scores.neighbours import METRICS, Metric, Reference, refer

N, D, CLASSES = 50_000, 512, 50
PART = 1000
PRODUCT, SKLEARN = 1 / 1.5, 1.0


def run(options: Options) -> list[Row]:
    """Classify five times ``--images`` queries in parts of 1,000."""
    queries = max(5 * options.images, 2 * PART)
    x, y = features(N + queries, D, CLASSES)
    reference, x, held = refer(x[:N], y[:N], CLASSES), x[:N], x[N:]
    brute = NearestNeighbors(n_neighbors=200, algorithm="brute").fit(x)
    ways: dict[str, Callable[[Float32], object]] = {
        "product": lambda part: part @ x.T,
        "cosine": lambda part: _ours(reference, part, ("cosine",)),
        "both": lambda part: _ours(reference, part, METRICS),
        "euclidean": lambda part: _ours(reference, part, ("euclidean",)),
        "sklearn": brute.kneighbors,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for start in range(0, queries, PART):
        for name in list(ways) if start // PART % 2 else reversed(list(ways)):
            began = time.perf_counter()
            ways[name](held[start : start + PART])
            seconds[name].append(time.perf_counter() - began)
    return [
        _row("knn", seconds["cosine"], seconds["product"], PRODUCT),
        _row("knn_both", seconds["both"], seconds["product"], PRODUCT),
        _row("knn_sklearn", seconds["euclidean"], seconds["sklearn"], SKLEARN),
    ]


def _ours(reference: Reference, part: Float32, metrics: tuple[Metric, ...]) -> None:
    for _ in probabilities(reference, part, KnnSettings(metric=metrics)):
        pass


def _row(name: str, ours: list[float], theirs: list[float], target: float) -> Row:
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    notes = (
        f"{PART * len(ours)} against {N}, d {D}, {cores()} cores; ratios {min(ratios):.2f} to {max(ratios):.2f} over "
        f"{len(ratios)} turns"
    )
    return Row(name, statistics.median(ratios), target, sum(ours), sum(theirs), "s", notes)
