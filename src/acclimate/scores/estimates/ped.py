"""PED: a score of the features after overlapping classes have pushed one another apart, as finetuning would push them.

Li et al., "Exploring Model Transferability through the Lens of Potential Energy" (ICCV 2023). Class
i is a ball at its mean of radius r_i, the root of its total variance. Two balls that overlap by f = max(k (r_i + r_j)
- |m_i - m_j|, 0) are moved apart by min(dt^2 f / 2, f) each along the line of their means; this is done up to six
times while a step moves at least half as much as the first. Then SFDA (or another score) is taken.

A class moves as a whole, along differences of class means: the motion of C means is a C x C matrix, and no feature is
changed before the score looks at it. Distances are in units of each column's deviation on a reference set, ImageNet's
validation images in the paper. Without such features the images' own statistics are used, so `ped` in a table is
PED-style, not the published number.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from acclimate.scores.base import Features, Float64
from acclimate.scores.estimates import cautions
from acclimate.scores.estimates.gbc import with_columns
from acclimate.scores.estimates.logme import logme
from acclimate.scores.estimates.member import ANY, Estimate, between
from acclimate.scores.estimates.prepared import Prepared, moments_of
from acclimate.scores.estimates.sfda import sfda

STEPS: Final = 6
LEAST_DEVIATION: Final = 1e-3


def ped(
    prepared: Prepared,
    *,
    reference: Features | None = None,
    radius: float = 0.6,
    time_step: float = 0.1,
    exit_ratio: float = 0.5,
    then: Literal["sfda", "logme"] = "sfda",
) -> float:
    """Return SFDA (or LogME) of the pushed features; their range and remarks hold. Larger is better.

    Parameters
    ----------
    reference
        (m, d) features of the same model on images of its source, for the units of each column.
    radius
        k above; the paper's candidates are 0.3 and 0.6, without a rule between them.
    time_step, exit_ratio
        dt above, and the share of the first motion below which it ends.
    then
        The score of the pushed features; ``logme`` copies them.

    Cost: one pass, C^2 d a step, and the score.

    Examples
    --------
    >>> from acclimate.scores.estimates.prepared import prepare
    >>> x = np.random.default_rng(0).normal(size=(60, 3))
    >>> prepared = prepare(x, np.arange(60) % 3)
    >>> sfda(prepared) < ped(prepared) <= 1
    True
    """
    plain = with_columns(prepared)
    deviation = np.maximum(moments_of(prepared.x if reference is None else reference)[1], LEAST_DEVIATION)
    radii = _radii(plain, deviation)
    mixing = push(plain.means / deviation, radius * radii, time_step, exit_ratio)  # (C, C)
    if then == "sfda":
        return sfda(prepared, shift=mixing @ prepared.means - prepared.means)
    shift = (mixing @ plain.means - plain.means).astype(prepared.x.dtype)
    return logme(Prepared(prepared.x + shift[prepared.labels], prepared.y, None, None, prepared.seed))


def push(means: Float64, radii: Float64, time_step: float, exit_ratio: float) -> Float64:
    """Return the matrix (C, C) that takes the class means (C, d) to where the motion ends."""
    mixing, first = np.eye(len(means)), 0.0
    for step in range(STEPS):
        now = mixing @ means
        strength = _strength(now, radii, time_step)  # (C, C), how much of m_i - m_j is added to m_i
        moved = np.abs(strength.sum(axis=1)[:, None] * now - strength @ now).sum()
        first = moved if step == 0 else first
        if not moved > exit_ratio * first:
            break
        mixing += (np.diag(strength.sum(axis=1)) - strength) @ mixing
    return mixing


def _strength(means: Float64, radii: Float64, time_step: float) -> Float64:
    distance = np.stack([np.sqrt(((means - mean) ** 2).sum(axis=1)) for mean in means])
    overlap = np.maximum(radii[:, None] + radii - distance, 0)
    np.fill_diagonal(overlap, 0)
    step = overlap * min(time_step**2 / 2, 1.0)
    return np.asarray(np.divide(step, distance, out=np.zeros_like(step), where=distance > 0))


def _radii(prepared: Prepared, deviation: Float64) -> Float64:
    """Return the root of the total variance of each class (C,), in units of the deviation."""
    squares = np.zeros(len(prepared.means))
    for part, block in prepared.blocks():
        label = prepared.labels[part]
        squares += np.bincount(label, (((block - prepared.means[label]) / deviation) ** 2).sum(axis=1), len(squares))
    return np.sqrt(squares / prepared.counts)


PED: Final = Estimate(
    ped,
    "SFDA after overlapping classes pushed one another apart",
    between(0, 1),
    ANY - {"rotation", "scale"},
    caution=cautions.own_units,
)
