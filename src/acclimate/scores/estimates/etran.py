"""ETran's two parts: an energy of the features and the posterior of the nearest class mean.

Gholami et al., "ETran: Energy-Based Transferability Estimation" (ICCV 2023). Energy: ln sum_k exp(f_k),
here of features, and averaged over the lowest 0.5 % of the images, as the authors run it. LDA:
project on eigenvectors U of S_w^-1 S_b and score class c by x U U^T m_c - m_c U U^T m_c / 2 + ln prior. Their code
takes U from a symmetric solver, so U is orthogonal, all of it is kept, and U U^T = I: what they report is a softmax
over x m_c - |m_c|^2 / 2 + ln prior, the nearest class mean. `lda` is that number without the detour;
`sfda.lda_fisher` is the formula with directions normalised by S_w.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import scipy.special  # type: ignore[import-untyped]  # scipy ships no types

from acclimate.scores.base import Float64
from acclimate.scores.estimates import cautions
from acclimate.scores.estimates.member import ANY, ANY_NUMBER, NOTHING, Estimate, between
from acclimate.scores.estimates.prepared import Prepared, float_blocks

LOWEST: Final = 0.005  # share of the images of which the energy is the mean
WEIGHTS: Final = (0.85, 0.15)  # of LDA and energy in the pool


def lda(prepared: Prepared) -> float:
    """Return the mean posterior of the true class under Gaussians of unit variance at the class means, in [0, 1].

    Larger is better. It depends on the scale of the features: large ones make every posterior 0 or 1, small ones make
    it the prior.

    Cost: two passes, n d C.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> x = np.array([[0.0, 1.0], [0.0, 3.0], [4.0, 1.0], [4.0, 3.0]])
    >>> round(lda(prepare(x, np.array([0, 0, 1, 1]))), 4), round(lda(prepare(x, np.array([0, 1, 1, 0]))), 4)
    (0.9997, 0.5)
    """
    means = prepared.means
    offset = np.log(prepared.counts / prepared.n) - 0.5 * (means**2).sum(axis=1)
    total = 0.0
    for part, block in prepared.blocks():
        p = scipy.special.softmax(block @ means.T + offset, axis=1)
        total += float(p[np.arange(len(p)), prepared.labels[part]].sum())
    return total / prepared.n


def energy(prepared: Prepared, *, share: float = LOWEST) -> float:
    """Return the mean of ln sum_k exp(x_k) over the lowest images; larger is said to be better. No labels.

    It lies between the largest feature and that plus ln d, so it is a property of the scale and width of a model first.
    Of the images `share`, in (0, 1], is taken, at least one (the authors' code gives NaN below 200 images).

    Cost: one pass.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> x = np.zeros((4, 8))
    >>> round(energy(prepare(x)) / float(np.log(8)), 12)
    1.0
    """
    energies = np.concatenate([scipy.special.logsumexp(block, axis=1) for _, block in float_blocks(prepared.x)])
    count = max(1, int(round(1000 * share) * prepared.n // 1000))
    return float(np.sort(energies)[:count].mean())


def etran_pool(lda_scores: Sequence[float], energies: Sequence[float]) -> Float64:
    """Return ETran's score of each model of a pool: 0.85 and 0.15 of both parts, each brought to [0, 1] over the pool.

    Relative to the pool: adding a model may change the order of the others.

    Examples
    --------
    >>> etran_pool([0.2, 0.4, 0.6], [5.0, 9.0, 5.0]).round(3).tolist()
    [0.0, 0.575, 0.85]
    """
    return WEIGHTS[0] * to_unit(np.array(lda_scores, float)) + WEIGHTS[1] * to_unit(np.array(energies, float))


def to_unit(scores: Float64) -> Float64:
    """Return scores brought to [0, 1] by their least and largest; equal scores become 0."""
    return np.asarray((scores - scores.min()) / (float(scores.max() - scores.min()) or 1.0))


LDA: Final = Estimate(
    lda,
    "posterior of the nearest class mean (ETran's LDA as its authors compute it)",
    between(0, 1),
    ANY - {"scale"},
    pool_relative=True,
)
ENERGY: Final = Estimate(
    energy,
    "log-sum-exp of the features of the lowest 0.5 % of images: scale and width first",
    ANY_NUMBER,
    frozenset({"order", "labels", "columns"}),
    needs=NOTHING,
    pool_relative=True,
    caution=cautions.lowest_image,
)
