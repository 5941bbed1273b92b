"""PACTran with the source model's own predictions: Dirichlet and Gamma priors of a table of source and target classes.

Ding et al., "PACTran" (ECCV 2022), as in the authors' code. With p(z | x) the source
predictions and prior counts a_c = a n_c / n, ten rounds of: counts A = a + Y^T q (C, z); q proportional to p
exp(digamma(A_y) - digamma(sum_c A)) (Dirichlet) or p exp(digamma(A_y)) (Gamma). The bounds follow from A and q; q is
computed anew from A for each block of images, so nothing of size n z is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import scipy.special  # type: ignore[import-untyped]  # scipy ships no types

from acclimate.scores.base import Float64
from acclimate.scores.estimates.leep import predictions
from acclimate.scores.estimates.member import BOTH, OF_PREDICTIONS, Estimate, Extent
from acclimate.scores.estimates.prepared import Prepared, float_blocks

ROUNDS = 10
TINY = 1e-10  # added to a probability before its log, and to prior counts, as by the authors


def pactran_dirichlet(prepared: Prepared, *, alpha: float = 1.0) -> float:
    """Return the Dirichlet bound for each image and class, in nats; SMALLER is better. Needs `p`.

    Cost: eleven passes over p, n z C.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]])
    >>> apart, mixed = (prepare(p, np.array(y), p=p) for y in ([0, 0, 1, 1], [0, 1, 1, 0]))
    >>> pactran_dirichlet(apart) < pactran_dirichlet(mixed)
    True
    """
    prior, counts, preference = _rounds(prepared, alpha, dirichlet=True)
    gain = scipy.special.gammaln(prior.sum()) - scipy.special.gammaln(prior).sum()
    terms = gain - scipy.special.gammaln(counts.sum(axis=0)) + scipy.special.gammaln(counts).sum(axis=0)
    bound = float(terms.sum()) - sum(kl.sum() for _, kl in _posteriors(prepared, preference))
    return -float(bound) / (prepared.n * len(prior))


def pactran_gamma(prepared: Prepared, *, alpha: float = 1.0) -> float:
    """Return the Gamma bound for each image and class, in nats; SMALLER is better. Needs `p`.

    Cost: as `pactran_dirichlet`.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]])
    >>> apart, mixed = (prepare(p, np.array(y), p=p) for y in ([0, 0, 1, 1], [0, 1, 1, 0]))
    >>> pactran_gamma(apart) < pactran_gamma(mixed)
    True
    """
    prior, counts, preference = _rounds(prepared, alpha, dirichlet=False)
    price = float((scipy.special.gammaln(prior)[:, None] - scipy.special.gammaln(counts)).sum())
    rate = counts.sum(axis=0)
    losses = sum(float((kl.sum(axis=1) + np.log(p @ rate) - 1).sum()) for p, kl in _posteriors(prepared, preference))
    return (price + losses) / (prepared.n * len(prior)) + 1


def _rounds(prepared: Prepared, alpha: float, *, dirichlet: bool) -> tuple[Float64, Float64, Float64]:
    """Return prior counts (C,), counts (C, z) of the last round, and the logits (C, z) that they add to ln p."""
    prior = alpha * prepared.counts / prepared.n + TINY
    counts = prior[:, None] + _joint(prepared, None)  # the first round takes the predictions as they are
    for _ in range(ROUNDS - 1):
        counts = prior[:, None] + _joint(prepared, _preference(counts, dirichlet))
    return prior, counts, _preference(counts, dirichlet)


def _preference(counts: Float64, dirichlet: bool) -> Float64:
    of_all = scipy.special.digamma(counts.sum(axis=0)) if dirichlet else 0.0
    return np.asarray(scipy.special.digamma(counts) - of_all)


def _joint(prepared: Prepared, preference: Float64 | None) -> Float64:
    """Return Y^T q (C, z), q proportional to p exp(preference of the class), or p itself."""
    joint = np.zeros((len(prepared.counts), predictions(prepared).shape[1]))
    factor = None if preference is None else np.exp(preference - preference.max(axis=1, keepdims=True))
    for part, q in float_blocks(predictions(prepared)):
        if factor is not None:
            q += TINY
            q *= factor[prepared.labels[part]]
            q /= q.sum(axis=1, keepdims=True)
        joint += (prepared.labels[part] == np.arange(len(joint))[:, None]).astype(np.float64) @ q
    return joint


def _posteriors(prepared: Prepared, preference: Float64) -> Iterator[tuple[Float64, Float64]]:
    """Yield (p, q ln(q / p)), each (b, z), of all images in order."""
    for part, p in float_blocks(predictions(prepared)):
        log_p = np.log(p + TINY)
        log_q = log_p + preference[prepared.labels[part]]
        log_q -= scipy.special.logsumexp(log_q, axis=1, keepdims=True)
        yield p, np.exp(log_q) * (log_q - log_p)


PACTRAN_DIRICHLET: Final = Estimate(
    pactran_dirichlet,
    "the same bound from source predictions, Dirichlet prior",
    Extent("any number, mostly above 0"),
    OF_PREDICTIONS,
    needs=BOTH,
    better="smaller",
)
PACTRAN_GAMMA: Final = replace(
    PACTRAN_DIRICHLET, function=pactran_gamma, meaning="the same bound from source predictions, Gamma prior"
)
