"""How sure a score may be: one factor that turns distances or margins into probabilities.

Temperature scaling (Guo et al. 2017): p = softmax(factor * value), with the factor that minimises the log
loss on images the score was not fitted on. One image more, whose class is spread evenly, keeps the factor finite when
all those images are right: the target of every image is (v * its class + even) / (v + 1).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from acclimate.scores.base import Float64
from acclimate.stats.metrics import Labels

STEPS: Final = 60
PRECISION: Final = 1e-9
LARGEST: Final = 2.0**20  # times the root mean square of the values


def softmax(logits: Float64) -> Float64:
    """Return exp(logits) with each row divided by its sum; -inf gives 0."""
    p: Float64 = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return p


def factor(values: Float64, labels: Labels, *, own: bool = False) -> float:
    """Return the factor >= 0 for values (v, K), larger for likelier classes, of images with labels (v,).

    With ``own`` the image more is spread as the values themselves say, for logits that mean something: few images leave
    them as they are.

    A label outside 0..K-1 (a class that training never saw) leaves its image out. No image left, or values that do not
    differ: 1. The loss is convex in the factor. Values that speak against the labels give 0.
    """
    usable = (labels >= 0) & (labels < values.shape[1])
    values, labels = values[usable], labels[usable]
    values = values - values.mean(axis=1, keepdims=True)
    size = float(np.sqrt((values**2).mean())) if values.size else 0.0
    if size == 0:
        return 1.0
    values = values / size
    # The mean of the even target is 0, as each row's values have mean 0.
    extra = float((softmax(size * values) * values).sum(axis=1).mean()) if own else 0.0
    target = (float(values[np.arange(len(labels)), labels].sum()) + extra) / (len(labels) + 1)
    return _root(values, target) / size if target > 0 else 0.0


def _root(values: Float64, target: float) -> float:
    """Return the f > 0 at which the mean over rows of sum_k p_k value_k is `target`: Newton's method in a bracket."""
    low, high, f = 0.0, LARGEST, 1.0
    for _ in range(STEPS):
        p = softmax(f * values)
        expected = (p * values).sum(axis=1)
        slope = float((p * values**2).sum(axis=1).mean() - (expected**2).mean())
        gap = target - float(expected.mean())
        low, high = (f, high) if gap > 0 else (low, f)
        step = f + gap / slope if slope > 0 else high
        middle = float(np.sqrt(low * high)) if low > 0 else high / 16
        before, f = f, step if low < step < high else middle
        if abs(f - before) <= PRECISION * f:
            break
    return f


def positions(present: Labels, labels: Labels) -> Labels:
    """Return the place of each label among the classes that occur, -1 for one that does not."""
    place = np.searchsorted(present, labels)
    there = present[np.minimum(place, len(present) - 1)] == labels
    return np.where(there, place, -1)
