"""LiDAR: the effective rank of what tells images apart, in units of what changes between views of one image.

Thilak et al., "LiDAR: Sensing Linear Probing Performance in Joint Embedding SSL Architectures" (ICLR 2024):
S_b the covariance of the images' means over their views, S_w the mean covariance of the views plus delta I,
and the exponential of the entropy of the eigenvalues (not of their squares) of S_w^-1/2 S_b S_w^-1/2.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy.linalg as sl  # type: ignore[import-untyped]  # scipy ships no types

from acclimate.errors import DataError
from acclimate.scores.estimates.member import ANY, Estimate, Extent, dimensions
from acclimate.scores.estimates.prepared import Prepared
from acclimate.scores.estimates.spectrum import gram_sum

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
    views, (m, q, d) = prepared.views, prepared.views.shape
    means = views.mean(axis=1, dtype=np.float64)
    between = gram_sum([means - means.mean(axis=0)], d) / m
    within = gram_sum((views[i].astype(np.float64) - means[i] for i in range(m)), d) / (m * q)
    within.flat[:: len(within) + 1] += delta
    values = np.maximum(sl.eigh(between, within, eigvals_only=True, overwrite_a=True, overwrite_b=True, driver="gv"), 0)
    values[values <= len(values) * np.finfo(float).eps * values.max()] = 0
    if not values.max() > 0:
        return 1.0
    p = values[::-1][: min(len(views), len(values))] / values.sum() + EPSILON
    return float(np.exp(-(p * np.log(p)).sum()))


LIDAR: Final = Estimate(
    lidar,
    "effective number of directions that tell images apart, in units of augmentation",
    Extent("1 to min(m - 1, d)", dimensions),
    ANY - {"scale"},
    needs=frozenset({"views"}),
)
