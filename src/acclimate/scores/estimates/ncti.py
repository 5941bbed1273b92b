"""NCTI: how near the features are to what training converges to, in three parts.

Wang et al., "How Far Pre-trained Models Are from Neural Collapse on the Target Dataset Informs their Transferability"
(ICCV 2023). After a PCA to 64 dimensions and a shrunk linear discriminant on those: the nuclear
norm of all projected features (how many directions the classes take up), the mean posterior of the true class, and
the log of the summed nuclear norms of each class's posteriors (how little a class varies). Over a pool of models the
parts are brought to [0, 1] each and added, the third with a minus: a single model has the parts and no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from acclimate.errors import DataError
from acclimate.scores.base import Float64
from acclimate.scores.estimates import cautions
from acclimate.scores.estimates.etran import to_unit
from acclimate.scores.estimates.member import ANY, Estimate, Extent
from acclimate.scores.estimates.prepared import Prepared

DIMENSIONS: Final = 64
LEADING: Final = 32  # dimensions whose variance sets the shrinkage
LEAST: Final = 1e-10  # shrinkage; at it the discriminant is solved without any


def ncti(prepared: Prepared) -> tuple[float, float, float]:
    """Return the three parts: nuclear norm of all features, posterior in [0, 1], log nuclear norm of the classes.

    The first two are better when larger, the third when smaller. Relative to the pool: `ncti_pool` makes scores of
    them, and adding a model may change the order of the others.

    Cost: a Gram matrix and 64 of its vectors, n d^2 + 4/3 d^3; n C^2 for the nuclear norms. Raises `DataError` when
    there are no more images than classes: a discriminant needs some spread within a class.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> x = np.random.default_rng(0).normal(size=(60, 5)) + 2 * np.eye(3, 5)[np.arange(60) % 3]
    >>> nuclear, posterior, spread = ncti(prepare(x, np.arange(60) % 3))
    >>> nuclear > 0, 0.8 < posterior < 1
    (True, True)
    """
    n, classes = prepared.n, len(prepared.counts)
    if n <= classes:
        raise DataError(
            f"ncti got {n} images of {classes} classes; expected more images than classes: label more of them"
        )
    scores, variance = principal(prepared, DIMENSIONS)
    if not scores.shape[1]:
        raise DataError("ncti got features that are the same for all images; expected features that vary")
    # Directions without variance count in the mean variance of the shrinkage, as in the authors' code.
    scores = np.pad(scores, ((0, 0), (0, min(DIMENSIONS, prepared.d, n) - scores.shape[1])))
    fitted = _discriminant(max(float(np.exp(-variance[:LEADING].sum())), LEAST)).fit(scores, prepared.labels)
    projected: Float64 = fitted.transform(scores)
    posteriors: Float64 = fitted.predict_proba(scores)
    posterior = float(posteriors[np.arange(n), prepared.labels].mean())
    spread = sum(_nuclear(posteriors[prepared.labels == label]) for label in range(classes))
    return _nuclear(projected - projected.mean(axis=0)), posterior, float(np.log(spread))


def ncti_pool(parts: Sequence[tuple[float, float, float]]) -> Float64:
    """Return the score of each model of a pool from its three parts.

    Examples
    --------
    >>> ncti_pool([(10.0, 0.5, 3.0), (20.0, 0.7, 2.0), (15.0, 0.6, 4.0)]).tolist()
    [-0.5, 2.0, 0.0]
    """
    table = np.asarray(parts, dtype=np.float64)
    return to_unit(table[:, 0]) + to_unit(table[:, 1]) - to_unit(table[:, 2])


def principal(prepared: Prepared, k: int) -> tuple[Float64, Float64]:
    """Return the first k principal scores (n, k), of the dtype of x if that is float32, and all variances (d',)."""
    spectrum, n = prepared.centred, prepared.n
    k = min(k, int(np.count_nonzero(spectrum.values)))
    vectors = spectrum.vectors(k)
    scores = np.empty((n, k), np.float64 if prepared.rows.size < 2**20 else prepared.x.dtype)
    for part, block in prepared.blocks():
        scores[part] = (block - prepared.mean) @ vectors
    return scores, spectrum.values / (n - 1)


def _discriminant(shrinkage: float) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # a slow import, needed only here

    if shrinkage == LEAST:
        return LinearDiscriminantAnalysis(solver="svd")
    return LinearDiscriminantAnalysis(solver="eigen", shrinkage=shrinkage)


def _nuclear(matrix: Float64) -> float:
    return float(np.linalg.svd(matrix, compute_uv=False).sum())


NCTI: Final = Estimate(
    ncti,
    "three parts: directions the classes take up, posterior of the true class (both larger), spread (smaller)",
    Extent("three numbers"),
    ANY - {"scale"},
    better="neither",
    pool_relative=True,
    caution=cautions.pool_of_64,
    spectrum="centred",
)
