"""LogME: how probable the labels are under a linear model whose weights are averaged out.

You et al., "LogME: Practical Assessment of Pre-trained Models for Transfer Learning" (ICML 2021); the
fixed point of "Ranking and Tuning Pre-trained Models" (arXiv 2110.10545) has the same maximum.

For a one-hot target y, weights w ~ N(0, 1/alpha) and noise 1/beta, the log evidence is (over all d directions)
    d/2 ln alpha + n/2 ln beta - 1/2 ln |alpha I + beta X^T X| - beta/2 |y - Xm|^2 - alpha/2 |m|^2 - n/2 ln 2 pi.
With t = alpha / beta and R(t) = t y^T (X X^T + t I)^-1 y, the best beta is n / R(t), which leaves one unknown:
    L(t) = -1/2 sum_i ln(1 + s_i / t) - n/2 ln(R(t) / n) - n/2 (1 + ln 2 pi),
s_i the squared singular values. The log-determinant over the d - n directions without data is in the first term: that
is what the widely copied code leaves out when n < d, and why its numbers grow with d. L is maximised over
24 decades of t (`evidence`), so no start and no count of iterations enters, and no epsilon: the number does not change
when the features are multiplied by a constant.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from acclimate.scores.estimates.evidence import Evidence
from acclimate.scores.estimates.member import ANY, ANY_NUMBER, Estimate
from acclimate.scores.estimates.prepared import Prepared, columns_of, float_blocks
from acclimate.scores.estimates.spectrum import SMALL, Spectrum, spectrum_of


def logme(prepared: Prepared, *, intercept: bool = False, standardise: bool = False) -> float:
    """Return the mean over classes of the largest log evidence for each image, in nats.

    Unbounded; larger is better. Only differences between models on the same images mean something: 0.01 more is
    e^(0.01 n) times the evidence for n images. The zero point depends on the number and the balance of classes.

    Parameters
    ----------
    prepared
        (n, d) features and labels; n < d is right.
    intercept
        Give the model a free offset, so that a constant added to a feature changes nothing: features and targets are
        centred, and n - 1 degrees of freedom are left. The published model has none.
    standardise
        Bring every column to unit variance first (and centre, as `intercept`): then the units of single columns change
        nothing either.

    Cost: a Gram matrix, n d^2, its reduction, 4/3 d^3, and some 25 solves of O(d) a class.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> x = np.array([[0.0, 1.0], [0.2, 0.9], [1.0, 0.1], [0.8, 0.0]])
    >>> y = np.array([0, 0, 1, 1])
    >>> logme(prepare(x, y)) > logme(prepare(x[[0, 2, 1, 3]], y))
    True
    """
    if standardise:
        return _mean_evidence(_standardised(prepared), prepared.n - 1, prepared)
    if intercept:
        return _mean_evidence(prepared.centred, prepared.n - 1, prepared)
    return _mean_evidence(prepared.uncentred, prepared.n, prepared)


def _mean_evidence(spectrum: Spectrum, dof: int, prepared: Prepared) -> float:
    best = Evidence(spectrum, dof).largest()
    return (float(best.mean()) - dof / 2 * (1 + float(np.log(2 * np.pi)))) / prepared.n


def _standardised(prepared: Prepared) -> Spectrum:
    x = prepared.x
    mean, deviation = columns_of(x)
    if prepared.n > prepared.d and x.size > SMALL:
        indicators = prepared.indicators(centred=True) / deviation[:, None]
        return spectrum_of(x, mean, indicators, prepared.labels, deviation)
    scaled = np.empty(x.shape)
    for part, block in float_blocks(x):
        scaled[part] = (block - mean) / deviation
    return Prepared(scaled, prepared.y, None, None, prepared.seed).centred


LOGME: Final = Estimate(
    logme,
    "log evidence of a linear model for each image, in nats; compare models on the same images",
    ANY_NUMBER,
    ANY - {"shift"},
    spectrum="uncentred",
)
LOGME_INTERCEPT: Final = Estimate(
    partial(logme, intercept=True), "LogME of a linear model with a free offset", ANY_NUMBER, ANY, spectrum="centred"
)
LOGME_STANDARDISED: Final = Estimate(
    partial(logme, standardise=True),
    "LogME with an offset, of columns brought to unit variance",
    ANY_NUMBER,
    ANY - {"rotation"},
)
