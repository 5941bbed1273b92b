"""Seconds of k nearest neighbours, 10,000 images against 50,000 at d = 512, k up to 200, against two floors.

Ours gives the probabilities of k = 1, 5, 10, 20, 50, 100 and 200. `knn` is one metric (cosine) and `knn_both` both from
one product, against the bare product as one writes it, `queries @ train.T`: 512 GFLOP and 2 GB of new memory.
`knn_blocked` is cosine against the same product in blocks of 1,000 queries that are written over one another: the
arithmetic alone. From 1 / 1.5 on they pass. `knn_sklearn` is the euclidean one against
`NearestNeighbors(200, algorithm="brute").kneighbors`, which makes no votes.

The ways take turns, each after a rest, since the threads of a BLAS spin for a while after a product; the median of the
turns' ratios is the result.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from clouds import Float32, features
from measure import Options, Row, cores
from sklearn.neighbors import NearestNeighbors

from acclimate.scores import KnnSettings
from acclimate.scores.probes.knn import probabilities
from acclimate.scores.probes.neighbours import METRICS, Metric, Reference, refer

N, D, CLASSES = 50_000, 512, 50
BLOCK = 1000
TURNS = 4
REST = 0.1  # seconds
PRODUCT, SKLEARN = 1 / 1.5, 1.0


def run(options: Options) -> list[Row]:
    """Classify five times ``--images`` queries."""
    queries = max(5 * options.images, BLOCK)
    x, y = features(N + queries, D, CLASSES)
    reference, x, held = refer(x[:N], y[:N], CLASSES), x[:N], x[N:]
    brute = NearestNeighbors(n_neighbors=200, algorithm="brute").fit(x)
    room = np.empty((BLOCK, N), np.float32)
    ways: dict[str, Callable[[], object]] = {
        "product": lambda: held @ x.T,
        "blocks": lambda: _blocked(held, x, room),
        "cosine": lambda: _ours(reference, held, ("cosine",)),
        "both": lambda: _ours(reference, held, METRICS),
        "euclidean": lambda: _ours(reference, held, ("euclidean",)),
        "sklearn": lambda: brute.kneighbors(held),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS):
        for name in list(ways) if turn % 2 else reversed(list(ways)):
            time.sleep(REST)
            began = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - began)
    said = f"{queries} against {N}, d {D}, {cores()} cores"
    return [
        _row("knn", seconds["cosine"], seconds["product"], PRODUCT, said),
        _row("knn_both", seconds["both"], seconds["product"], PRODUCT, said),
        _row("knn_blocked", seconds["cosine"], seconds["blocks"], PRODUCT, said),
        _row("knn_sklearn", seconds["euclidean"], seconds["sklearn"], SKLEARN, said),
    ]


def _blocked(held: Float32, x: Float32, room: Float32) -> None:
    for start in range(0, len(held), BLOCK):
        part = held[start : start + BLOCK]
        np.matmul(part, x.T, out=room[: len(part)])


def _ours(reference: Reference, part: Float32, metrics: tuple[Metric, ...]) -> None:
    for _ in probabilities(reference, part, KnnSettings(metric=metrics)):
        pass


def _row(name: str, ours: list[float], theirs: list[float], target: float, said: str) -> Row:
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    notes = f"{said}; ratios {min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} turns"
    ratio, one, other = (statistics.median(values) for values in (ratios, ours, theirs))
    return Row(name, ratio, target, one, other, "s", notes)
