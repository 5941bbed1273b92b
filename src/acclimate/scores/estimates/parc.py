"""PARC: whether images whose features are alike have the same label.

Bolya, Mittapalli & Hoffman, "Scalable Diverse Model Selection for Accessible Transfer Learning" (NeurIPS 2021),
100 times Spearman's correlation, over pairs of images, of 1 - Pearson correlation of the
(column-standardised) features with the same distance of the one-hot labels.

The distance of labels has two values, so the correlation needs only the mean rank of the pairs with one label. Up to
2,000 images all distances are sorted; above, they are counted in 2^17 bins, blocks of rows at a time, where pairs in
one bin share a rank: that moves the number by less than 1e-3 (tested), and memory does not grow with n squared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from acclimate.scores.base import Features, Float64, blocks
from acclimate.scores.estimates.member import ANY, Estimate, between
from acclimate.scores.estimates.prepared import Prepared, columns_of, float_blocks

EXACT: Final = 2000  # images of which all pairs are sorted
BINS: Final = 2**17
BLOCK: Final = 2**17  # pairs


def parc(prepared: Prepared, *, dimensions: int | None = None) -> float:
    """Return PARC, in [-100, 100]; larger is better, 0 is no relation.

    Few pairs have one label when there are many classes, so its largest value falls with C and only models on the
    same images compare. An image whose standardised features are all equal correlates with nothing (0).

    With `dimensions` the features are reduced to so many principal components first, by the randomised PCA of the
    authors' code (one power iteration, seed 1919), who take 32.

    Cost: n^2 d / 2 and the ranks of n^2 / 2 pairs.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> x = np.array([[0.0, 1.0, 5.0], [0.1, 1.0, 5.0], [3.0, 1.0, 0.0], [3.1, 1.1, 0.0]])
    >>> parc(prepare(x, np.array([0, 0, 1, 1]))) > 0 > parc(prepare(x, np.array([0, 1, 1, 0])))
    True
    """
    z = _profiles(prepared.x if dimensions is None else _reduced(prepared.x, dimensions))
    if prepared.n <= EXACT:
        from scipy.stats import rankdata  # type: ignore[import-untyped]  # a slow import, needed only here

        distance, same = (np.concatenate(part) for part in zip(*_pairs(z, prepared.labels), strict=True))
        return _correlation(rankdata(distance), same)
    return _binned(z, prepared.labels)


def _correlation(ranks: Float64, same: npt.NDArray[np.bool_]) -> float:
    """Return 100 x the correlation of ranks with the distance of labels: 0 for one label, more for two."""
    if same.all() or not same.any() or ranks.min() == ranks.max():
        return 0.0
    return 100 * float(np.corrcoef(ranks, ~same)[0, 1])


def _binned(z: Features, labels: npt.NDArray[np.int64]) -> float:
    counts = np.zeros((2, BINS), np.int64)  # pairs of two labels, of one label
    for distance, same in _pairs(z, labels):
        slot = np.clip(distance * (BINS / 2), 0, BINS - 1).astype(np.int32)
        counts[1] += np.bincount(slot[same], minlength=BINS)
        counts[0] += np.bincount(slot[~same], minlength=BINS)
    pairs = counts.sum(axis=0)
    rank = np.cumsum(pairs) - (pairs - 1) / 2
    total, same_label = int(pairs.sum()), int(counts[1].sum())
    variance = float(pairs @ (rank - (total + 1) / 2) ** 2) / total
    if same_label in (0, total) or variance == 0:
        return 0.0
    gap = float(counts[0] @ rank) / (total - same_label) - float(counts[1] @ rank) / same_label
    share = same_label / total
    return 100 * gap * float(np.sqrt(share * (1 - share) / variance))


def _pairs(z: Features, labels: npt.NDArray[np.int64]) -> Iterator[tuple[Float64, npt.NDArray[np.bool_]]]:
    """Yield (1 - correlation, whether the label is the same) of all pairs i < j, blocks of rows at a time."""
    for rows in blocks(len(z), len(z), size=BLOCK):
        later = np.arange(rows.start, len(z)) > np.arange(rows.start, rows.stop)[:, None]
        distance = 1 - z[rows] @ z[rows.start :].T
        yield distance[later].astype(np.float64), (labels[rows, None] == labels[rows.start :])[later]


def _profiles(x: Features) -> Features:
    """Return rows (n, d) whose products are correlations of the rows of standardised x; float64 up to `EXACT` rows."""
    mean, deviation = columns_of(x)
    profiles = np.empty(x.shape, np.float64 if len(x) <= EXACT else np.float32)
    for part, block in float_blocks(x):
        block = (block - mean) / deviation
        block -= block.mean(axis=1, keepdims=True)
        length = np.sqrt((block**2).sum(axis=1, keepdims=True))
        profiles[part] = np.divide(block, length, out=np.zeros_like(block), where=length > 1e-12)
    return profiles


def _reduced(x: Features, dimensions: int) -> Any:
    from sklearn.decomposition import PCA  # a slow import, needed only here

    k = min(dimensions, *x.shape)
    return PCA(k, svd_solver="randomized", random_state=1919, iterated_power=1).fit_transform(x)


PARC: Final = Estimate(
    parc,
    "rank correlation, over pairs of images, of like features with like labels, times 100",
    between(-100, 100),
    ANY - {"rotation"},
)
