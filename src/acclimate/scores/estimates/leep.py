"""LEEP and NCE: how well the source model's own predictions tell the target classes apart.

`leep`: Nguyen et al., "LEEP: A New Measure to Evaluate Transferability" (ICML 2020): the mean of ln sum_z P(y_i | z)
p(z | x_i), P(y | z) from the joint sums of y and p. `nce`: Tran, Nguyen & Hassner, "Transferability and Hardness of
Supervised Classification Tasks" (ICCV 2019): -H(Y | Z) with z_i the most probable source class of image i.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from acclimate.errors import DataError
from acclimate.scores.base import Features, Float64
from acclimate.scores.estimates import cautions
from acclimate.scores.estimates.member import BOTH, OF_PREDICTIONS, Estimate, Extent, between
from acclimate.scores.estimates.prepared import Prepared, float_blocks
from acclimate.scores.estimates.spectrum import Codes

Posteriors = Callable[[], Iterator[tuple[slice, Float64]]]


def leep(prepared: Prepared) -> float:
    """Return the mean log probability (nats) of the labels under the source classes, in [-ln C', 0].

    Larger is better; -H(Y), at least -ln C, is what predictions that say nothing give. Needs `p`: a self-supervised
    model has no source classes. A source class that is never predicted has no part in it (elsewhere it gives NaN).

    Cost: two passes over p, n z C.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> p = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    >>> leep(prepare(p, np.array([0, 0, 1, 1]), p=p)), round(leep(prepare(p, np.array([0, 1, 1, 0]), p=p)), 4)
    (0.0, -0.6931)
    """
    return expected_prediction(lambda: float_blocks(predictions(prepared)), prepared.labels)


def nce(prepared: Prepared) -> float:
    """Return minus the entropy (nats) of the label given the predicted source class, in [-ln C, 0].

    Larger is better. It rises when there are more source classes than images can fill: a source class with one image
    has no entropy.

    Cost: one pass over p.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    >>> nce(prepare(p, np.array([0, 0, 1, 1]), p=p)), round(nce(prepare(p, np.array([0, 1, 1, 0]), p=p)), 4)
    (0.0, -0.6931)
    """
    p = predictions(prepared)
    joint = np.zeros((len(prepared.counts), p.shape[1]))
    np.add.at(joint, (prepared.labels, p.argmax(axis=1)), 1 / prepared.n)
    conditional = joint / np.maximum(joint.sum(axis=0), np.finfo(float).tiny)
    occurs = joint > 0
    return min(float((joint[occurs] * np.log(conditional[occurs])).sum()), 0.0)


def predictions(prepared: Prepared) -> Features:
    """Return the source predictions (n, z)."""
    if prepared.p is None:
        raise DataError(
            "got no source predictions; expected p (n, z): a model without a classifier of its own has none"
        )
    return prepared.p


def expected_prediction(posteriors: Posteriors, labels: Codes) -> float:
    """Return the LEEP of posteriors (n, z) that come in blocks, twice: once to count, once to predict."""
    joint: Float64 | None = None
    for part, block in posteriors():
        hot = (labels[part] == np.arange(labels.max() + 1)[:, None]).astype(np.float64)
        joint = hot @ block if joint is None else joint + hot @ block
    assert joint is not None
    conditional = joint / np.maximum(joint.sum(axis=0), np.finfo(float).tiny)  # P(y | z) (C, z)
    total = 0.0
    for part, block in posteriors():
        total += float(np.log(np.einsum("iz,iz->i", conditional[labels[part]], block)).sum())
    return total / len(labels)


LEEP: Final = Estimate(
    leep,
    "mean log probability of the labels under the source classes, in nats",
    between(-np.inf, 0),
    OF_PREDICTIONS,
    needs=BOTH,
)
NCE: Final = Estimate(
    nce,
    "minus the entropy of the label given the predicted source class, in nats",
    Extent("-ln C to 0", lambda prepared: (-float(np.log(len(prepared.counts))), 0.0)),
    OF_PREDICTIONS,
    needs=BOTH,
    caution=cautions.many_sources,
)
