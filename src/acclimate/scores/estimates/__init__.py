"""Training-free estimates of transferability: one number from the features of the training images.

To add one: a file here with a function of `Prepared` and its description (`Estimate`), and a line in `ESTIMATES`; the
contract tests then cover it. A published name carries the published definition; a variant has another name.
`docs/scores.md` says where others' numbers differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from acclimate.errors import DataError, unknown
from acclimate.scores.estimates import (
    collapse,
    etran,
    gbc,
    hscore,
    leep,
    lidar,
    logme,
    ncti,
    nleep,
    pactran,
    pactran_source,
    parc,
    ped,
    rank,
    sfda,
    transrate,
)
from acclimate.scores.estimates.member import Estimate, EstimateRow, Value, missing
from acclimate.scores.estimates.prepared import Prepared, prepare

__all__ = ["ESTIMATES", "Estimate", "EstimateRow", "Prepared", "Value", "estimate", "prepare", "table"]

ESTIMATES: Final[dict[str, Estimate]] = {
    "logme": logme.LOGME,
    "logme-intercept": logme.LOGME_INTERCEPT,
    "logme-standardised": logme.LOGME_STANDARDISED,
    "hscore": hscore.HSCORE,
    "hscore-reg": hscore.HSCORE_REG,
    "leep": leep.LEEP,
    "nce": leep.NCE,
    "nleep": nleep.NLEEP,
    "transrate": transrate.TRANSRATE,
    "transrate-unweighted": transrate.TRANSRATE_UNWEIGHTED,
    "gbc": gbc.GBC,
    "gbc-diagonal": gbc.GBC_DIAGONAL,
    "sfda": sfda.SFDA,
    "sfda-exact": sfda.SFDA_EXACT,
    "ncti": ncti.NCTI,
    "ped": ped.PED,
    "parc": parc.PARC,
    "lda": etran.LDA,
    "lda-fisher": sfda.LDA_FISHER,
    "energy": etran.ENERGY,
    "pactran": pactran.PACTRAN,
    "pactran-dirichlet": pactran_source.PACTRAN_DIRICHLET,
    "pactran-gamma": pactran_source.PACTRAN_GAMMA,
    "rankme": rank.RANKME,
    "alpha-req": rank.ALPHA_REQ,
    "lidar": lidar.LIDAR,
    "nc1": collapse.NC1,
    "nc2-lengths": collapse.NC2_LENGTHS,
    "nc2-angles": collapse.NC2_ANGLES,
    "nc4": collapse.NC4,
}


def estimate(name: str, prepared: Prepared) -> Value:
    """Return one estimate.

    Raises `DataError` for an unknown name (the nearest is named), or when something that it needs is missing.

    Examples
    --------
    >>> import numpy as np
    >>> estimate("hscore", prepare(np.eye(4), np.array([0, 0, 1, 1])))
    1.0
    """
    if name not in ESTIMATES:
        raise DataError(unknown("estimate", name, ESTIMATES))
    if need := missing(ESTIMATES[name], prepared):
        raise DataError(f"{name} {need}")
    return ESTIMATES[name].function(prepared)


def table(prepared: Prepared, names: Iterable[str] = ESTIMATES) -> list[EstimateRow]:
    """Return the estimates of these names in their order; one that cannot be had has no value and says why.

    The members that share a decomposition run one after the other, and it is dropped after them: its memory is needed
    once.
    """
    names = list(names)
    rows: dict[str, EstimateRow] = {}
    for shared in ("uncentred", "centred", ""):
        for name in names:
            if ESTIMATES[name].spectrum == shared:
                rows[name] = _row(name, prepared)
        prepared.forget(shared)
    return [rows[name] for name in names]


def _row(name: str, prepared: Prepared) -> EstimateRow:
    member = ESTIMATES[name]
    if need := missing(member, prepared):
        return EstimateRow(name, None, need)
    try:
        return EstimateRow(name, member.function(prepared), member.caution(prepared))
    except DataError as error:
        return EstimateRow(name, None, str(error))
