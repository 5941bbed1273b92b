"""Training-free estimates of how well a model transfers: every one by its name, with what it needs, means and promises.

To add one: a file here with a function of `Prepared`, and a line in `ESTIMATES`; the contract tests then cover it. A
published name carries the published definition; a variant has a name of its own. `docs/scores.md` says where others'
numbers differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

import numpy as np

from acclimate.errors import DataError, unknown
from acclimate.scores.estimates import (
    cautions,
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
from acclimate.scores.estimates.member import (
    ANY,
    BOTH,
    LABELS,
    NOTHING,
    OF_PREDICTIONS,
    Estimate,
    Row,
    Value,
    between,
    classes,
    dimensions,
    missing,
    pairs,
    shrunk_classes,
    unbounded,
)
from acclimate.scores.estimates.prepared import Prepared

ESTIMATES: Final[dict[str, Estimate]] = {
    "logme": Estimate(
        logme.logme,
        LABELS,
        "log evidence of a linear model for each image, in nats; compare models on the same images",
        "any number",
        unbounded,
        ANY - {"shift"},
        spectrum="uncentred",
    ),
    "logme-intercept": Estimate(
        partial(logme.logme, intercept=True),
        LABELS,
        "LogME of a linear model with a free offset",
        "any number",
        unbounded,
        ANY,
        spectrum="centred",
    ),
    "logme-standardised": Estimate(
        partial(logme.logme, standardise=True),
        LABELS,
        "LogME with an offset, of columns brought to unit variance",
        "any number",
        unbounded,
        ANY - {"rotation"},
    ),
    "hscore": Estimate(
        hscore.hscore,
        LABELS,
        "variance between classes in whitened units; C - 1 when a linear map tells all apart",
        "0 to C - 1",
        classes,
        ANY,
        caution=cautions.saturated,
        spectrum="centred",
    ),
    "hscore-reg": Estimate(
        hscore.hscore_reg,
        LABELS,
        "H-score with a shrunk covariance",
        "0 to about C - 1",
        shrunk_classes,
        ANY,
        caution=cautions.wide_noise,
        spectrum="centred",
    ),
    "leep": Estimate(
        leep.leep,
        BOTH,
        "mean log probability of the labels under the source classes, in nats",
        "at most 0",
        between(-np.inf, 0),
        OF_PREDICTIONS,
    ),
    "nce": Estimate(
        leep.nce,
        BOTH,
        "minus the entropy of the label given the predicted source class, in nats",
        "-ln C to 0",
        lambda prepared: (-float(np.log(len(prepared.counts))), 0.0),
        OF_PREDICTIONS,
        caution=cautions.many_sources,
    ),
    "nleep": Estimate(
        nleep.nleep,
        LABELS,
        "LEEP of the clusters of a Gaussian mixture, in nats; seeds differ by a few per cent",
        "at most 0",
        between(-np.inf, 0),
        ANY - {"order", "scale"},
        caution=cautions.few_a_class,
        spectrum="centred",
    ),
    "transrate": Estimate(
        transrate.transrate,
        LABELS,
        "coding rate of all features less that of the classes, in nats; grows with scale and width",
        "at least 0",
        between(0, np.inf),
        ANY - {"scale"},
        caution=cautions.wide_noise,
        spectrum="centred",
    ),
    "transrate-unweighted": Estimate(
        partial(transrate.transrate, weighted=False),
        LABELS,
        "TransRate with the plain mean over classes of the paper's listing",
        "any number",
        unbounded,
        ANY - {"scale"},
        caution=cautions.wide_noise,
        spectrum="centred",
    ),
    "gbc": Estimate(
        gbc.gbc,
        LABELS,
        "minus the overlap of all pairs of classes, as spherical Gaussians; 0 is none",
        "-C (C - 1) to 0",
        pairs,
        ANY - {"rotation", "scale"},
        caution=cautions.few_a_class,
    ),
    "gbc-diagonal": Estimate(
        partial(gbc.gbc, covariance="diagonal"),
        LABELS,
        "minus the overlap of all pairs of classes, as Gaussians with a variance for each column",
        "-C (C - 1) to 0",
        pairs,
        ANY - {"rotation", "scale"},
        caution=cautions.few_a_class,
    ),
    "sfda": Estimate(
        sfda.sfda,
        LABELS,
        "posterior of the true class of a Fisher discriminant, easy images held back",
        "0 to 1",
        between(0, 1),
        ANY - {"rotation", "scale"},
        caution=cautions.saturated,
    ),
    "sfda-exact": Estimate(
        partial(sfda.sfda, exact=True),
        LABELS,
        "SFDA with the exact largest eigenvalue in its shrinkage",
        "0 to 1",
        between(0, 1),
        ANY - {"scale"},
        caution=cautions.saturated,
    ),
    "ncti": Estimate(
        ncti.ncti,
        LABELS,
        "three parts: directions the classes take up, posterior of the true class (both larger), spread (smaller)",
        "three numbers",
        unbounded,
        ANY - {"scale"},
        better="neither",
        pool_relative=True,
        caution=cautions.pool_of_64,
        spectrum="centred",
    ),
    "ped": Estimate(
        ped.ped,
        LABELS,
        "SFDA after overlapping classes pushed one another apart",
        "0 to 1",
        between(0, 1),
        ANY - {"rotation", "scale"},
        caution=cautions.own_units,
    ),
    "parc": Estimate(
        parc.parc,
        LABELS,
        "rank correlation, over pairs of images, of like features with like labels, times 100",
        "-100 to 100",
        between(-100, 100),
        ANY - {"rotation"},
    ),
    "lda": Estimate(
        etran.lda,
        LABELS,
        "posterior of the nearest class mean (ETran's LDA as its authors compute it)",
        "0 to 1",
        between(0, 1),
        ANY - {"scale"},
        pool_relative=True,
    ),
    "lda-fisher": Estimate(
        sfda.lda_fisher,
        LABELS,
        "posterior of the true class of a regularised Fisher discriminant (ETran's LDA by its formula)",
        "0 to 1",
        between(0, 1),
        ANY - {"scale"},
        caution=cautions.saturated,
    ),
    "energy": Estimate(
        etran.energy,
        NOTHING,
        "log-sum-exp of the features of the lowest 0.5 % of images: scale and width first",
        "any number",
        unbounded,
        frozenset({"order", "labels", "columns"}),
        pool_relative=True,
        caution=cautions.lowest_image,
    ),
    "pactran": Estimate(
        pactran.pactran,
        LABELS,
        "bound on the loss of a finetuned classifier, Gaussian prior, in nats",
        "any number, mostly above 0",
        unbounded,
        ANY - {"scale"},
        better="smaller",
        caution=cautions.wide_noise,
    ),
    "pactran-dirichlet": Estimate(
        pactran_source.pactran_dirichlet,
        BOTH,
        "the same bound from source predictions, Dirichlet prior",
        "any number, mostly above 0",
        unbounded,
        OF_PREDICTIONS,
        better="smaller",
    ),
    "pactran-gamma": Estimate(
        pactran_source.pactran_gamma,
        BOTH,
        "the same bound from source predictions, Gamma prior",
        "any number, mostly above 0",
        unbounded,
        OF_PREDICTIONS,
        better="smaller",
    ),
    "rankme": Estimate(
        rank.rankme,
        NOTHING,
        "effective number of directions that the features use",
        "1 to min(n, d)",
        dimensions,
        ANY - {"shift"},
        caution=cautions.few_for_rank,
        spectrum="uncentred",
    ),
    "alpha-req": Estimate(
        rank.alpha_req,
        NOTHING,
        "how fast the variance of principal components falls, as rank^-a; near 1 is said to be best",
        "at least 0",
        between(0, np.inf),
        ANY,
        better="neither",
        caution=cautions.few_for_rank,
        spectrum="centred",
    ),
    "lidar": Estimate(
        lidar.lidar,
        frozenset({"views"}),
        "effective number of directions that tell images apart, in units of augmentation",
        "1 to min(m - 1, d)",
        dimensions,
        ANY - {"scale"},
    ),
    "nc1": Estimate(
        collapse.nc1,
        LABELS,
        "neural collapse: spread within classes in units of that between them; 0 is collapse",
        "at least 0",
        between(0, np.inf),
        ANY,
        better="smaller",
        caution=cautions.saturated,
    ),
    "nc2-lengths": Estimate(
        collapse.nc2_lengths,
        LABELS,
        "neural collapse: variation of the lengths of class means; 0 is collapse",
        "at least 0",
        between(0, np.inf),
        ANY,
        better="smaller",
        caution=cautions.few_a_class,
    ),
    "nc2-angles": Estimate(
        collapse.nc2_angles,
        LABELS,
        "neural collapse: distance of the class means' cosines from -1 / (C - 1); 0 is collapse",
        "0 to 2",
        between(0, 2),
        ANY,
        better="smaller",
        caution=cautions.few_a_class,
    ),
    "nc4": Estimate(
        collapse.nc4,
        LABELS,
        "neural collapse: share of images nearer to another class mean than to their own",
        "0 to 1",
        between(0, 1),
        ANY,
        better="smaller",
        caution=cautions.saturated,
    ),
}


def estimate(name: str, prepared: Prepared) -> Value:
    """Return one estimate.

    Raises
    ------
    DataError
        For an unknown name (the nearest is named), or when something that it needs is missing.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> estimate("hscore", prepare(np.eye(4), np.array([0, 0, 1, 1])))
    1.0
    """
    if name not in ESTIMATES:
        raise DataError(unknown("estimate", name, ESTIMATES))
    lacking = missing(ESTIMATES[name], prepared)
    if lacking:
        raise DataError(f"{name} {lacking}")
    return ESTIMATES[name].function(prepared)


def table(prepared: Prepared, names: Iterable[str] = ESTIMATES) -> list[Row]:
    """Return the estimates of these names in their order; one that cannot be had has no value and says why.

    The members that share a decomposition run one after the other, and it is dropped after them: its memory is needed
    once.
    """
    names = list(names)
    rows: dict[str, Row] = {}
    for shared in ("uncentred", "centred", ""):
        for name in names:
            if ESTIMATES[name].spectrum == shared:
                rows[name] = _row(name, prepared)
        prepared.forget(shared)
    return [rows[name] for name in names]


def _row(name: str, prepared: Prepared) -> Row:
    member = ESTIMATES[name]
    lacking = missing(member, prepared)
    if lacking:
        return Row(name, None, lacking)
    try:
        return Row(name, member.function(prepared), member.caution(prepared))
    except DataError as error:
        return Row(name, None, str(error))
