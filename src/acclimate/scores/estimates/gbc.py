"""GBC: how much the classes overlap when each is taken for a Gaussian.

Pandy et al., "Transferability Estimation using Bhattacharyya Class Separability" (CVPR 2022):
-sum over ordered pairs i != j of exp(-D_B(i, j)), with
D_B = 1/8 (m_i - m_j)^T S^-1 (m_i - m_j) + 1/2 ln(|S| / sqrt(|S_i| |S_j|)), S = (S_i + S_j) / 2.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final, Literal

import numpy as np

from acclimate.scores.base import Float64
from acclimate.scores.estimates import cautions
from acclimate.scores.estimates.member import ANY, Estimate, Extent
from acclimate.scores.estimates.prepared import Prepared

FLOOR: Final = 1e-4  # of a variance, as in the authors' code: a class of one image has none


def gbc(prepared: Prepared, *, covariance: Literal["spherical", "diagonal"] = "spherical") -> float:
    """Return minus the summed overlap of all pairs of classes, in [-C (C - 1), 0]; 0 is no overlap. Larger is better.

    A ``spherical`` covariance is one variance a class, whose log-determinant counts d times, a ``diagonal`` one has a
    variance for each class and column. The variance of a column is at least 1e-4, so features should not be tiny.

    In many dimensions the exponent grows with d and most values round to 0: the paper reduces to 64 dimensions first.

    Cost: two passes, n d; C^2 d for the pairs.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> x = np.array([[0.0, 1.0], [0.0, 3.0], [9.0, 1.0], [9.0, 3.0]])
    >>> gbc(prepare(x, np.array([0, 0, 1, 1]))) > -1e-6  # apart
    True
    >>> round(gbc(prepare(x, np.array([0, 1, 0, 1]))), 3)  # close
    -1.904
    """
    spherical = covariance == "spherical"
    plain = with_columns(prepared)
    means, variances = plain.means, class_variances(plain)
    if spherical:
        variances = variances.mean(axis=1, keepdims=True)
    d = prepared.d if spherical else 1
    overlap = 0.0
    for i in range(len(means) - 1):
        squared = (means[i] - means[i + 1 :]) ** 2  # (later classes, d)
        squared = squared.sum(axis=1, keepdims=True) if spherical else squared
        mixed = (variances[i] + variances[i + 1 :]) / 2
        logs = np.log(mixed) - (np.log(variances[i]) + np.log(variances[i + 1 :])) / 2
        distance = (squared / mixed / 8 + d * logs / 2).sum(axis=1)
        overlap += float(np.exp(-distance).sum())
    return -2 * overlap


def class_variances(prepared: Prepared) -> Float64:
    """Return the variance (C, d) of each class and column, divided by n_c, at least `FLOOR`."""
    squares = np.zeros_like(prepared.means)
    for part, block in prepared.blocks():
        label = prepared.labels[part]
        hot = (label == np.arange(len(squares))[:, None]).astype(np.float64)
        squares += hot @ (block - prepared.means[label]) ** 2
    return np.maximum(squares / prepared.counts[:, None], FLOOR)


def with_columns(prepared: Prepared) -> Prepared:
    """Return the same without the change of coordinates that `Prepared.rows` makes when n < d."""
    if prepared.rows is prepared.x:
        return prepared
    plain = Prepared(prepared.x, prepared.y, None, None, prepared.seed)
    plain.__dict__["rows"] = prepared.x
    return plain


GBC: Final = Estimate(
    gbc,
    "minus the overlap of all pairs of classes, as spherical Gaussians; 0 is none",
    Extent("-C (C - 1) to 0", lambda prepared: (-float(len(prepared.counts) * (len(prepared.counts) - 1)), 0.0)),
    ANY - {"rotation", "scale"},
    caution=cautions.few_a_class,
)
GBC_DIAGONAL: Final = replace(
    GBC,
    function=partial(gbc, covariance="diagonal"),
    meaning="minus the overlap of all pairs of classes, as Gaussians with a variance for each column",
)
