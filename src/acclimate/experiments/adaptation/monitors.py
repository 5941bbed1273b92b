"""Measures of features without training: spread, neighbours, and a kNN probe where labels are.

The effective rank is `scores.estimates.rank.rankme`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

NEIGHBOURS = 10


def feature_std(x: Features) -> float:
    """Return the mean per-dimension standard deviation of unit-length features ``(n, d)``, times sqrt(d).

    About 1 when they spread evenly over the sphere, 0 when they collapsed to a point (Chen and He 2021, section 4.1).
    """
    return float(unit(x).std(0).mean() * np.sqrt(x.shape[1]))


def neighbour_overlap(a: Features, b: Features, k: int = NEIGHBOURS) -> float:
    """Return the mean share of each image's k nearest neighbours (cosine) that two models have in common, in [0, 1]."""
    k = min(k, len(a) - 1)
    alike = [unit(x) @ unit(x).T for x in (a, b)]
    for similarity in alike:
        np.fill_diagonal(similarity, -np.inf)
    shared = [len(np.intersect1d(p, q)) for p, q in zip(*(_nearest(s, k) for s in alike), strict=True)]
    return float(np.mean(shared) / k)


def _nearest(similarity: Features, k: int) -> Labels:
    """Return which k columns of each row (n, m) are the largest, in no order."""
    return np.argpartition(-similarity, k - 1, axis=1)[:, :k]


def agreement(bank: Features, bank_labels: Labels, x: Features, labels: Labels, k: int = NEIGHBOURS) -> Features:
    """Return ``(n,)`` shares of each image's k nearest neighbours in the bank (cosine) that have its label, in [0, 1].

    What kNN accuracy thresholds, kept as a number for each image: paired over images it shows smaller changes than
    accuracy does, and unlike a log loss it does not depend on a temperature.

    The bank is ``(m, d)`` with labels ``(m,)``, the images ``(n, d)`` with labels ``(n,)``; none of them is in the
    bank.
    """
    nearest = _nearest(unit(x) @ unit(bank).T, min(k, len(bank)))
    share: Features = (bank_labels[nearest] == labels[:, None]).mean(1, dtype=np.float32)
    return share


def unit(x: Features) -> Features:
    """Return features of length 1."""
    out: Features = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return out
