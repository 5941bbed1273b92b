"""Seconds of logistic regression over 13 values of C, chosen on validation, against scikit-learn looped over them.

20,000 x 512 float32 features and 50 classes from `clouds.py`, 5,000 more for validation; C is each power of ten from
1e-6 to 1e6. Theirs is `LogisticRegression(C=C, max_iter=1000)`, lbfgs, with each C's accuracy and log loss on
validation. Ours is the score `logistic` as `acclimate score` runs it. `linear_path` gives both the features as they are
(ours standardises them itself); `linear_path_scaled` gives scikit-learn the standardised ones, so that both minimise
the same function.

A ratio counts only when ours is as good: the best validation accuracy at most 0.1 points lower, the lowest log loss at
most 1% higher; otherwise it is 0. Ours runs once between every few values of C of theirs; its median is taken.

The floor: one evaluation of loss and gradient is two products of 2 n d K operations, 2 GFLOP in all. On one core with
AVX-512 that is 28 ms of the 43 ms that an iteration takes; the path needs about 50 of them, and the covariance and
its axes 0.3 s. What was tried is in README.md.
"""

from __future__ import annotations

import statistics
import time
import warnings

import numpy as np
import numpy.typing as npt
from clouds import features
from measure import Options, Row, cores
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from acclimate.scores import PROBES
from acclimate.scores.probes.logistic.paths import GRID
from acclimate.stats.metrics import log_losses

TARGET = 25.0
LOWER, HIGHER = 0.001, 1.01
HELD = 5000
EVERY = 4  # values of C of theirs between two runs of ours

Arrays = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.int64]]


def run(options: Options) -> list[Row]:
    """Measure 20,000 x 512 with 50 classes, or ten times ``--images`` rows."""
    data = _data(10 * options.images, 512, 50)
    return [_compare("linear_path", data, data, 50), _compare("linear_path_scaled", data, _scaled(data), 50)]


def run_large(options: Options) -> list[Row]:
    """Measure 50,000 x 768 with 100 classes, or 25 times ``--images`` rows: ten times the work."""
    data = _data(25 * options.images, 768, 100)
    return [_compare("linear_path_large", data, data, 100)]


def _data(n: int, d: int, classes: int) -> Arrays:
    x, y = features(n + HELD, d, classes)
    return x[:n], y[:n], x[n:], y[n:]


def _scaled(data: Arrays) -> Arrays:
    x, y, x_val, y_val = data
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    return (x - mean) / deviation, y, (x_val - mean) / deviation, y_val


def _compare(name: str, data: Arrays, theirs: Arrays, classes: int) -> Row:
    seconds, their_seconds, judged = [], 0.0, []
    for i, c in enumerate(GRID):
        if i % EVERY == 0:
            one, best = _ours(data, classes)
            seconds.append(one)
        one, found = _theirs(theirs, c)
        their_seconds += one
        judged.append(found)
    accuracy, loss = max(a for a, _ in judged), min(loss for _, loss in judged)
    good = best[0] >= accuracy - LOWER and best[1] <= HIGHER * loss
    ours = statistics.median(seconds)
    n, d = data[0].shape
    notes = (
        f"{n} x {d}, {classes} classes, {cores()} cores; accuracy {best[0]:.4f} against {accuracy:.4f}, "
        f"log loss {best[1]:.4f} against {loss:.4f}{'' if good else ': not as good'}; "
        f"ours {min(seconds):.2f} to {max(seconds):.2f} s"
    )
    return Row(name, their_seconds / ours if good else 0.0, TARGET, ours, their_seconds, "s", notes)


def _ours(data: Arrays, classes: int) -> tuple[float, tuple[float, float]]:
    """Return seconds, and the accuracy and log loss of what comes of it."""
    started = time.perf_counter()
    fitted = PROBES["logistic"].fit(*data, n_classes=classes, seed=0)
    seconds = time.perf_counter() - started
    return seconds, _judge(fitted.predict_proba(data[2]), data[3])


def _theirs(data: Arrays, c: float) -> tuple[float, tuple[float, float]]:
    x, y, x_val, y_val = data
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is told to stop at 1000
        model = LogisticRegression(C=c, max_iter=1000).fit(x, y)
    p = model.predict_proba(x_val)
    return time.perf_counter() - started, _judge(p, y_val)


def _judge(p: npt.NDArray[np.floating], y: npt.NDArray[np.int64]) -> tuple[float, float]:
    return float((p.argmax(axis=1) == y).mean()), float(log_losses(p, y).mean())
