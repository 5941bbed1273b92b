"""Neural collapse: how near the features are to one point a class, the points at equal lengths and angles.

Papyan, Han & Donoho, "Prevalence of neural collapse during the terminal phase of deep learning training" (PNAS 2020).
NC1: tr(S_w S_b^+) / C, with S_b of the class means about their mean. NC2: the coefficient of variation of the lengths
of the centred class means, and the mean distance of their cosines from -1 / (C - 1). NC4: the share of images that lie
nearer to another class mean than to their own. (NC3 compares with a classifier's weights, which a backbone has not.)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from acclimate.scores.estimates import cautions
from acclimate.scores.estimates.member import ANY, Estimate, between
from acclimate.scores.estimates.prepared import Prepared


def nc1(prepared: Prepared) -> float:
    """Return the spread within classes in units of that between them, at least 0; smaller is better, 0 is collapse.

    No shift, rotation or scale changes it. In-sample: with n near d, what is small is the sample.

    Cost: two passes, n d C.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> x = np.array([[0.0], [0.2], [9.0], [9.4]])
    >>> nc1(prepare(x, np.array([0, 0, 1, 1]))) < nc1(prepare(x, np.array([0, 1, 0, 1])))
    True
    """
    centred = prepared.means - prepared.means.mean(axis=0)  # (C, r), every class counts once
    _, s, right = np.linalg.svd(centred, full_matrices=False)
    real = s > max(centred.shape) * np.finfo(float).eps * s[0]
    if not real.any():
        return float("inf")
    classes, along = len(centred), right[real].T  # (r, rank)
    squares = np.zeros(along.shape[1])
    for part, block in prepared.blocks():
        squares += (((block - prepared.means[prepared.labels[part]]) @ along) ** 2).sum(axis=0)
    return float((squares / prepared.n * classes / s[real] ** 2).sum() / classes)


def nc2_lengths(prepared: Prepared) -> float:
    """Return the coefficient of variation of the lengths of the centred class means, at least 0; 0 is collapse.

    Cost: one pass, n d C.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> round(nc2_lengths(prepare(np.eye(6), np.array([0, 0, 1, 1, 2, 2]))), 9)
    0.0
    """
    lengths = np.linalg.norm(prepared.means - prepared.means.mean(axis=0), axis=1)
    return float(lengths.std() / lengths.mean()) if lengths.mean() > 0 else 0.0


def nc2_angles(prepared: Prepared) -> float:
    """Return the mean distance of the cosines of centred class means from -1 / (C - 1), in [0, 2]; 0 is collapse.

    Cost: one pass, n d C.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> round(nc2_angles(prepare(np.eye(6), np.array([0, 0, 1, 1, 2, 2]))), 9)
    0.0
    """
    centred = prepared.means - prepared.means.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 1e-12 * lengths.max())
    classes = len(centred)
    cosines = (unit @ unit.T)[~np.eye(classes, dtype=bool)]
    return float(np.abs(cosines + 1 / (classes - 1)).mean())


def nc4(prepared: Prepared) -> float:
    """Return the share of images nearer to another class mean than to their own, in [0, 1]; smaller is better.

    In-sample: an image pulls its own class mean, so few images of a class look better than they are.

    Cost: two passes, n d C.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> x = np.array([[0.0, 1.0], [0.0, 3.0], [9.0, 1.0], [9.0, 3.0]])
    >>> nc4(prepare(x, np.array([0, 0, 1, 1])))
    0.0
    """
    wrong = 0
    means = prepared.means - prepared.mean
    squares = (means**2).sum(axis=1)
    for part, block in prepared.blocks():
        distance = squares - 2 * (block - prepared.mean) @ means.T
        from_own = distance[np.arange(len(block)), prepared.labels[part]]
        wrong += int((distance.min(axis=1) < from_own - 1e-12 * (np.abs(from_own) + squares.max())).sum())
    return wrong / prepared.n


NC1: Final = Estimate(
    nc1,
    "neural collapse: spread within classes in units of that between them; 0 is collapse",
    between(0, np.inf),
    ANY,
    better="smaller",
    caution=cautions.saturated,
)
NC2_LENGTHS: Final = replace(
    NC1,
    function=nc2_lengths,
    meaning="neural collapse: variation of the lengths of class means; 0 is collapse",
    caution=cautions.few_a_class,
)
NC2_ANGLES: Final = replace(
    NC2_LENGTHS,
    function=nc2_angles,
    meaning="neural collapse: distance of the class means' cosines from -1 / (C - 1); 0 is collapse",
    extent=between(0, 2),
)
NC4: Final = replace(
    NC1,
    function=nc4,
    meaning="neural collapse: share of images nearer to another class mean than to their own",
    extent=between(0, 1),
)
