"""H-score: the share of the features' variance, in whitened units, that lies between the classes.

`hscore`: Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer Learning" (ICIP 2019),
H = tr(cov(f)^-1 cov(E[f|y])), with a pseudo-inverse where cov(f) is singular.
`hscore-reg`: Ibrahim, Ponomareva & Mazumder, "Newer is not always better" (ECML 2022):
H_a = tr(S_a^-1 (1 - a) cov(E[f|y])), where S_a is the covariance shrunk by Ledoit & Wolf (2004).

With f = U S V^T (centred), cov(f) and cov(E[f|y]) are diagonal or low-rank in V, and H = sum_c |U^T y_c|^2 / n_c: the
squared length of what the columns of f can explain of the normalised classes. Every term is at most 1 and the class
directions span C - 1, so H <= C - 1 in any arithmetic.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from acclimate.scores.base import Float64
from acclimate.scores.estimates import cautions
from acclimate.scores.estimates.member import ANY, Estimate, Extent
from acclimate.scores.estimates.prepared import Prepared
from acclimate.scores.probes.normalise import shrinkage


def hscore(prepared: Prepared) -> float:
    """Return the H-score, in [0, C - 1]: C - 1 when a linear map of the features tells all classes apart.

    Larger is better. When the centred features have rank n - 1, as n <= d makes them, it is C - 1 whatever they are.
    No shift, scale or invertible linear map of the features changes it.

    Cost: a Gram matrix, n d^2, and its eigenvectors, O(d^3).

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> x = np.array([[0.0, 1.0], [0.0, 3.0], [1.0, 1.0], [1.0, 3.0]])
    >>> round(hscore(prepare(x, np.array([0, 0, 1, 1]))), 12), round(hscore(prepare(x, np.array([0, 1, 1, 0]))), 12)
    (1.0, 0.0)
    """
    return min(float(_between(prepared).sum()), len(prepared.counts) - 1.0)


def hscore_reg(prepared: Prepared) -> float:
    """Return the H-score with a shrunk covariance, in [0, (C - 1) n / (n - 1)]; larger is better.

    Right to use when n < d, but pure noise still scores higher in more dimensions, so models of different width
    compare badly. The paper's covariances have n - 1 (between classes) and n (shrunk) below; so has this.

    Cost: as `hscore`, and one more pass for the shrinkage.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> x = np.array([[0.0, 1.0], [0.0, 3.0], [1.0, 1.0], [1.0, 3.0]])
    >>> y = np.array([0, 0, 1, 1])
    >>> hscore_reg(prepare(x, y)) < hscore(prepare(x, y))
    True
    """
    n, d = prepared.n, prepared.d
    between = _between(prepared)
    variance = prepared.centred.values / n
    mean = float(variance.sum()) / d
    if mean == 0:
        return 0.0
    weight = ledoit_wolf(prepared)
    shrunk = (1 - weight) * variance[: len(between)]
    return float((between * shrunk / (shrunk + weight * mean)).sum() * n / (n - 1))


def ledoit_wolf(prepared: Prepared) -> float:
    """Return the shrinkage in [0, 1] of Ledoit & Wolf (2004) of the centred features towards a sphere."""
    n, d = prepared.n, prepared.d
    variance = prepared.centred.values / n
    squared, mean = float((variance**2).sum()), float(variance.sum()) / d
    fourth = sum(float((((block - prepared.mean) ** 2).sum(axis=1) ** 2).sum()) for _, block in prepared.blocks())
    return shrinkage(squared, mean, fourth, n, d)


def _between(prepared: Prepared) -> Float64:
    """Return the share (rank,) of the normalised classes that lies along each singular direction of the features."""
    return np.asarray((prepared.centred.targets**2 / prepared.counts).sum(axis=1))


HSCORE: Final = Estimate(
    hscore,
    "variance between classes in whitened units; C - 1 when a linear map tells all apart",
    Extent("0 to C - 1", lambda prepared: (0.0, len(prepared.counts) - 1.0)),
    ANY,
    caution=cautions.saturated,
    spectrum="centred",
)
HSCORE_REG: Final = Estimate(
    hscore_reg,
    "H-score with a shrunk covariance",
    Extent("0 to about C - 1", lambda prepared: (0.0, (len(prepared.counts) - 1.0) * prepared.n / (prepared.n - 1))),
    ANY,
    caution=cautions.wide_noise,
    spectrum="centred",
)
