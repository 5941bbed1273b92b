"""RankMe and alpha-ReQ: how many directions the features use, without a label.

`rankme`: Garrido et al., "RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised Representations by
Their Rank" (ICML 2023, arXiv 2210.02885): exp of the entropy of p_k = s_k / sum(s) + 1e-7, s the singular values of the
features as they are. `alpha_req`: Agrawal et al., "alpha-ReQ: Assessing Representation Quality in Self-Supervised
Learning by Measuring Eigenspectrum Decay" (NeurIPS 2022): minus the slope of ln variance against ln rank of the
principal components, fitted with weights 1 / rank after Stringer et al. (Nature 2019).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from acclimate.errors import DataError
from acclimate.scores.estimates import cautions
from acclimate.scores.estimates.member import ANY, NOTHING, Estimate, Extent, between, dimensions
from acclimate.scores.estimates.prepared import Prepared

EPSILON: Final = 1e-7
RANKS: Final = (11, 60)  # the window of the slope
FEWEST: Final = 10  # points of a slope


def rankme(prepared: Prepared, *, centred: bool = False) -> float:
    """Return the effective rank, in [1, min(n, d)] (to about 1e-4); larger is said to be better.

    Compare models of one width on the same images only: fewer images than about 10 d hold it down, and one large
    common offset makes it 1. It measures spread and not usefulness: whitened noise has the largest.

    If `centred` the mean is subtracted first; the paper does not.

    Cost: the values of a Gram matrix, n d^2 + 4/3 d^3.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> round(rankme(prepare(np.eye(4))), 3), round(rankme(prepare(np.ones((4, 4)))), 3)
    (4.0, 1.0)
    """
    s = np.sqrt((prepared.centred if centred else prepared.uncentred).values)
    if not s[0] > 0:
        return 1.0
    p = s / s.sum() + EPSILON
    return float(np.exp(-(p * np.log(p)).sum()))


def alpha_req(prepared: Prepared, *, ranks: tuple[int, int] = RANKS) -> float:
    """Return the exponent a of a spectrum that falls as rank^-a, at least 0; near 1 is said to be best.

    Neither larger nor smaller is better: below 1 the spectrum is flat (noise), well above 1 few directions are used.
    The exponent depends on the window, so compare numbers of one window only. Raises `DataError` when fewer than ten
    components of the window have any variance.

    `ranks` are the first and the last principal component of the fit, counted from 1; the window ends where the
    variance does.

    Cost: as `rankme`.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> x = np.random.default_rng(0).normal(size=(2000, 80)) / np.arange(1, 81)
    >>> round(alpha_req(prepare(x)))
    2
    """
    values = prepared.centred.values
    last = min(ranks[1], int(np.count_nonzero(values)))
    rank = np.arange(ranks[0], last + 1)
    if len(rank) < FEWEST:
        raise DataError(
            f"alpha-req got {int(np.count_nonzero(values))} components with variance; "
            f"expected {ranks[0] + FEWEST - 1} or more: use more images, or wider features"
        )
    weights = 1 / rank
    logs = np.log(rank)
    design = logs - weights @ logs / weights.sum()
    return -float((weights * design) @ np.log(values[rank - 1]) / ((weights * design) @ design))


RANKME: Final = Estimate(
    rankme,
    "effective number of directions that the features use",
    Extent("1 to min(n, d)", dimensions),
    ANY - {"shift"},
    needs=NOTHING,
    caution=cautions.few_for_rank,
    spectrum="uncentred",
)
ALPHA_REQ: Final = Estimate(
    alpha_req,
    "how fast the variance of principal components falls, as rank^-a; near 1 is said to be best",
    between(0, np.inf),
    ANY,
    needs=NOTHING,
    better="neither",
    caution=cautions.few_for_rank,
    spectrum="centred",
)
