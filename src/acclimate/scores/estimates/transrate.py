"""TransRate: the mutual information of features and labels, by coding rates.

Huang et al., "Frustratingly Easy Transferability Estimation" (ICML 2022, arXiv 2106.09362):
TrR = R(Z) - R(Z | Y), R(Z) = 1/2 ln |I + Z^T Z / (n eps)|, with Z centred and R(Z | Y) the mean over classes of
R(Z_c) = 1/2 ln |I + Z_c^T Z_c / (n_c eps)|, each class weighing n_c / n.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
import scipy.linalg as sl  # type: ignore[import-untyped]  # scipy ships no types

from acclimate.scores.estimates import cautions
from acclimate.scores.estimates.member import ANY, ANY_NUMBER, Estimate, between
from acclimate.scores.estimates.prepared import Prepared

DISTORTION = 1e-4  # eps of the paper's experiments


def transrate(prepared: Prepared, *, weighted: bool = True, eps: float = DISTORTION, normalise: bool = False) -> float:
    """Return TransRate in nats; larger is better.

    At least 0 when weighted (the rate is concave). Grows with the scale of the features and with d, so only models
    whose features have one scale and one width compare, unless `normalise`.

    Parameters
    ----------
    weighted
        Weigh classes by n_c / n, as the formula; False is the plain mean over classes of the paper's listing. For
        balanced classes they are equal.
    eps
        The squared distortion.
    normalise
        Divide the centred features by the square root of their total variance times n first (sum of squares 1).

    Cost: the values of a Gram matrix, n d^2 + 4/3 d^3, and for each class min(n_c, d)^2 max(n_c, d).

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> x = np.repeat(np.eye(3), 2, axis=0)
    >>> apart, mixed = (transrate(prepare(x, np.array(y))) for y in ([0, 0, 1, 1, 2, 2], [0, 1, 2, 0, 1, 2]))
    >>> apart > mixed
    True
    """
    values = prepared.centred.values
    total = float(values.sum())
    eps = eps * total if normalise and total > 0 else eps
    whole = 0.5 * float(np.log1p(values / (prepared.n * eps)).sum())
    rates = np.array([_class_rate(prepared, label, eps) for label in range(len(prepared.counts))])
    weights = prepared.counts / prepared.n if weighted else np.full(len(rates), 1 / len(rates))
    return whole - float(weights @ rates)


def _class_rate(prepared: Prepared, label: int, eps: float) -> float:
    z = prepared.rows[prepared.labels == label] - prepared.mean
    gram = (z @ z.T if len(z) < z.shape[1] else z.T @ z) / (len(z) * eps)
    gram.flat[:: len(gram) + 1] += 1
    factor = sl.cholesky(gram, lower=True, overwrite_a=True, check_finite=False)
    return float(np.log(np.diag(factor)).sum())


TRANSRATE: Final = Estimate(
    transrate,
    "coding rate of all features less that of the classes, in nats; grows with scale and width",
    between(0, np.inf),
    ANY - {"scale"},
    caution=cautions.wide_noise,
    spectrum="centred",
)
TRANSRATE_UNWEIGHTED: Final = replace(
    TRANSRATE,
    function=partial(transrate, weighted=False),
    meaning="TransRate with the plain mean over classes of the paper's listing",
    extent=ANY_NUMBER,
)
