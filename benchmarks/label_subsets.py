"""Processor seconds of logistic regression on 30 label subsets at once, against one after another.

Features of 1,000 validation images and 3,000 others in 384 columns and 10 classes from `clouds.py`; budgets of 5, 20
and 100 images a class, each drawn with 10 seeds, which all choose C on the same validation images. Both sides are ours
and give the same answers, which is checked: the same C, and probabilities that differ by at most 1e-6; otherwise the
ratio is 0. The notes give each budget. What is saved is what Python and numpy spend between products, so the
ratio falls with the size of a subset.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from clouds import features
from measure import Options, Row

from acclimate.scores import Logistic, fit_many
from acclimate.scores.probes.logistic import probe as logistic

TARGET = 1.0
CLASSES, HELD, WIDTH = 10, 1000, 384
BUDGETS = (5, 20, 100)  # images a class
DRAWS = 10
TURNS = 2
CLOSE = 1e-6

Index = npt.NDArray[np.intp]


def run(options: Options) -> list[Row]:
    """Measure 3,000 training images, or one and a half times ``--images``."""
    x, y = features(HELD + 3 * options.images // 2, WIDTH, CLASSES)
    ours, theirs, notes, same = 0.0, 0.0, [], True
    for budget in BUDGETS:
        one, other, equal = _compare(x, y, [_draw(y[HELD:], budget, seed) for seed in range(DRAWS)])
        ours, theirs, same = ours + one, theirs + other, same and equal
        notes.append(f"{budget} a class {other / one:.2f} ({one:.2f} against {other:.2f})")
    said = (
        f"{DRAWS} draws of each budget, d = {WIDTH}; " + ", ".join(notes) + ("" if same else "; not the same answers")
    )
    return [Row("label_subsets", theirs / ours if same else 0.0, TARGET, ours, theirs, "s", said)]


def _draw(y: npt.NDArray[np.int64], budget: int, seed: int) -> Index:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.choice(np.flatnonzero(y == c), budget, replace=False) for c in range(CLASSES)])


def _compare(x: npt.NDArray[np.float32], y: npt.NDArray[np.int64], rows: Sequence[Index]) -> tuple[float, float, bool]:
    """Return processor seconds at once and one by one, the least of the turns, and whether the answers are the same."""
    (x_val, x), (y_val, y) = np.split(x, [HELD]), np.split(y, [HELD])
    ours, theirs = [], []
    for _ in range(TURNS):
        started = time.process_time()
        many = fit_many(x, rows, y, x_val, y_val, n_classes=CLASSES)
        between = time.process_time()
        single = [logistic.fit(x[own], y[own], x_val, y_val, n_classes=CLASSES, seed=0) for own in rows]
        ours.append(between - started)
        theirs.append(time.process_time() - between)
    return min(ours), min(theirs), all(_same(a, b, x_val) for a, b in zip(many, single, strict=True))


def _same(one: Logistic, other: Logistic, x: npt.NDArray[np.float32]) -> bool:
    apart = np.abs(one.predict_proba(x) - other.predict_proba(x)).max()
    return one.settings["C"] == other.settings["C"] and bool(apart <= CLOSE)
