"""What one model's predictions are worth: six numbers from class probabilities and true labels.

Sources: balanced accuracy, Brodersen et al. (2010); the area under the ROC curve as a rank sum, Hanley &
McNeil (1982); expected calibration error, Guo et al. (2017), equation 3; 15 bins.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError

METRICS: Final = ("accuracy", "balanced_accuracy", "log_loss", "macro_f1", "auc", "ece")
LARGER_IS_BETTER: Final[dict[str, bool]] = {name: name not in ("log_loss", "ece") for name in METRICS}

# The smallest probability that the log loss believes: float32 epsilon, 2**-23. A single hopeless image then
# costs at most 15.94 nats, whatever the precision in which the probabilities were computed.
SMALLEST: Final = float(np.finfo(np.float32).eps)
ECE_BINS: Final = 15

Probabilities = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.integer[Any]]
Vector = npt.NDArray[np.float64]


def measure(probabilities: Probabilities, labels: Labels, *, n_classes: int) -> dict[str, float]:
    """Return the six numbers of `METRICS` for one set of predictions.

    The predicted class is the most probable one; of equals, the one with the smallest id.

    Parameters
    ----------
    probabilities : (n, C) floats in [0, 1]
        Each row sums to one within 1e-3.
    labels : (n,) integers in [0, C)
        True classes; every image must be labelled.
    n_classes : int
        C. Classes without an image are fine.

    Returns
    -------
    dict
        `accuracy` in [0, 1]; `balanced_accuracy`, mean recall over the classes present, in [0, 1];
        `log_loss` in nats, [0, 15.94], see `log_losses`; `macro_f1`, mean over the classes present or
        predicted, in [0, 1]; `auc` in [0, 1], nan when only one class is present, see `auc`; `ece` in [0, 1],
        see `calibration_error`.

    Raises
    ------
    DataError
        Wrong shapes, a value that is not a probability (with the index of its row), a label outside [0, C).

    Examples
    --------
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]])
    >>> got = measure(p, np.array([0, 1, 1]), n_classes=2)
    >>> [(name, round(value, 3)) for name, value in got.items()][:4]
    [('accuracy', 0.667), ('balanced_accuracy', 0.75), ('log_loss', 0.607), ('macro_f1', 0.667)]
    """
    _check(probabilities, labels, n_classes)
    predicted = np.argmax(probabilities, axis=1)
    right = predicted == labels
    support = np.bincount(labels, minlength=n_classes)
    called = np.bincount(predicted, minlength=n_classes)
    hits = np.bincount(labels[right], minlength=n_classes)
    confidence = probabilities[np.arange(len(labels)), predicted]
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(np.mean(hits[support > 0] / support[support > 0])),
        "log_loss": float(log_losses(probabilities, labels).mean()),
        "macro_f1": _macro_f1(hits, support, called),
        "auc": auc(probabilities, labels),
        "ece": calibration_error(confidence, right),
    }


def log_losses(probabilities: Probabilities, labels: Labels) -> Vector:
    """Return -ln of the true class's probability for each image, shape (n,), in nats.

    Probabilities below 2**-23 (float32 epsilon) count as 2**-23, so that one image costs at most 15.94 nats.
    """
    true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    # Adding zero turns the -0.0 of a certain and right answer into 0.0, which is what people expect to read.
    return -np.log(np.clip(true, SMALLEST, 1.0)) + 0.0


def auc(probabilities: Probabilities, labels: Labels) -> float:
    """Return the area under the ROC curve: the chance that a positive outranks a negative, ties counted half.

    Two columns: class 1 is the positive class. More: one class against the rest, averaged over the classes
    present. Only one class present: nan, since there is no negative image.
    """
    support = np.bincount(labels, minlength=probabilities.shape[1])
    present = np.flatnonzero((support > 0) & (support < len(labels)))
    if present.size == 0:
        return float("nan")
    if probabilities.shape[1] == 2:
        present = np.array([1])
    return float(np.mean([_auc_of(probabilities[:, c], labels == c) for c in present]))


def _auc_of(value: Probabilities, positive: npt.NDArray[np.bool_]) -> float:
    """Return one class's area. Only the negatives are sorted; each positive is then looked up among them."""
    negatives = np.sort(value[~positive])
    positives = np.ascontiguousarray(value[positive])
    below = np.searchsorted(negatives, positives, side="left").astype(np.float64)
    up_to = np.searchsorted(negatives, positives, side="right").astype(np.float64)
    return float((below + up_to).mean() / (2 * len(negatives)))


def calibration_error(
    confidence: npt.NDArray[np.floating[Any]], right: npt.NDArray[np.bool_], *, bins: int = ECE_BINS
) -> float:
    """Return the expected calibration error: mean |confidence - accuracy| over bins, weighted by their size.

    Parameters
    ----------
    confidence : (n,) floats in [0, 1]
        Probability of the predicted class.
    right : (n,) bools
        Whether that class is the true one.
    bins : int
        Number of equal-width bins ((m-1)/bins, m/bins].
    """
    sure = confidence.astype(np.float64)
    # Zero belongs to no half-open bin; it joins the first.
    index = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = np.bincount(index, weights=sure - right, minlength=bins)
    return float(np.abs(gap).sum() / len(sure))


def _macro_f1(hits: npt.NDArray[np.intp], support: npt.NDArray[np.intp], called: npt.NDArray[np.intp]) -> float:
    """Return the mean of 2 hits / (support + called) over the classes that are present or predicted."""
    seen = (support + called) > 0
    return float(np.mean(2 * hits[seen] / (support[seen] + called[seen])))


def _check(probabilities: Probabilities, labels: Labels, n_classes: int) -> None:
    """Raise `DataError` unless each row is a distribution over `n_classes` and each label is one of them."""
    if probabilities.ndim != 2 or probabilities.shape[1] != n_classes:
        raise DataError(f"probabilities have shape {probabilities.shape}; expected (n, {n_classes})")
    if labels.shape != (len(probabilities),):
        raise DataError(f"labels have shape {labels.shape}; expected ({len(probabilities)},) as probabilities")
    if len(labels) == 0:
        raise DataError("there are no predictions to measure; expected at least one image")
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"labels have type {labels.dtype}; expected integers")
    if labels.min() < 0 or labels.max() >= n_classes:
        row = int(np.argmax((labels < 0) | (labels >= n_classes)))
        raise DataError(f"label {labels[row]} of row {row} is outside 0..{n_classes - 1}; measure labelled images only")
    total = probabilities.sum(axis=1, dtype=np.float64)
    # One comparison that is false for nan as well: the cheap test for the usual case.
    if not (probabilities.min() >= 0 and np.abs(total - 1).max() <= 1e-3):
        row = int(np.argmax(~(np.isfinite(total) & (probabilities.min(axis=1) >= 0) & (np.abs(total - 1) <= 1e-3))))
        raise DataError(
            f"row {row} of the probabilities is no distribution (smallest {probabilities[row].min():.3g}, "
            f"sum {total[row]:.6g}); expected values >= 0 that sum to 1 within 1e-3"
        )
