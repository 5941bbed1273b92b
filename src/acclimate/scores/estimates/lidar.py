"""LiDAR: the effective rank of what tells images apart, in units of what changes between views of one image.

Thilak et al., "LiDAR: Sensing Linear Probing Performance in Joint Embedding SSL Architectures" (ICLR 2024):
S_b the covariance of the images' means over their views, S_w the mean covariance of the views plus delta I,
and the exponential of the entropy of the eigenvalues (not of their squares) of S_w^-1/2 S_b S_w^-1/2.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import scipy.linalg as sl  # type: ignore[import-untyped]  # scipy ships no types

from acclimate.errors import DataError
from acclimate.scores.base import Features, Float64
from acclimate.scores.estimates.member import ANY, Estimate, Extent, dimensions
from acclimate.scores.estimates.prepared import Prepared
from acclimate.scores.estimates.spectrum import add_gram

DELTA: Final = 1e-4
EPSILON: Final = 1e-7


def lidar(prepared: Prepared, *, delta: float = DELTA) -> float:
    """Return the effective rank, in [1, min(m - 1, d)] (to about 1e-4); larger is said to be better. No labels.

    Needs `views` (m, q, d): features of q augmented views of each of m images; the paper takes 1,000 images and 50
    views.

    Cost: two Gram matrices and the values of a pencil, m q d^2 + O(d^3). Raises `DataError` without views.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> views = np.repeat(np.eye(5)[:, None], 2, axis=1) + 0.1 * np.array([1, -1])[:, None] * np.ones(5)
    >>> round(lidar(prepare(np.eye(5), views=views)), 3)
    4.0
    """
    if prepared.views is None:
        raise DataError(
            "lidar got no views; expected views (m, q, d): features of q >= 2 augmented views of each image"
        )
    views = prepared.views
    means = views.mean(axis=1, dtype=np.float64)
    between = _scatter(means - means.mean(axis=0))
    within = _within(views, means)
    within.flat[:: len(within) + 1] += delta
    values = np.maximum(sl.eigh(between, within, eigvals_only=True, overwrite_a=True, overwrite_b=True, driver="gv"), 0)
    values[values <= len(values) * np.finfo(float).eps * values.max()] = 0
    if not values.max() > 0:
        return 1.0
    p = values[::-1][: min(len(views), len(values))] / values.sum() + EPSILON
    return float(np.exp(-(p * np.log(p)).sum()))


def _within(views: Features, means: Float64) -> Any:
    m, q, d = views.shape
    scatter = np.zeros((d, d), order="F")
    for i in range(m):
        scatter = add_gram(scatter, views[i].astype(np.float64) - means[i])
    return scatter / (m * q)


def _scatter(rows: Float64) -> Any:
    return add_gram(np.zeros((rows.shape[1],) * 2, order="F"), rows) / len(rows)


LIDAR: Final = Estimate(
    lidar,
    "effective number of directions that tell images apart, in units of augmentation",
    Extent("1 to min(m - 1, d)", dimensions),
    ANY - {"scale"},
    needs=frozenset({"views"}),
)
