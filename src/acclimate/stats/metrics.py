"""What one model's predictions are worth: numbers from class probabilities and true labels.

A new metric is one function of `Predicted` and one line of `METRICS`: rows, commands and pages show it from then on.

Sources: balanced accuracy, Brodersen et al. (2010); the area under the ROC curve as a rank sum, Hanley &
McNeil (1982); expected calibration error, Guo et al. (2017), equation 3; 15 bins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError

# The smallest probability that the log loss believes: float32 epsilon, 2**-23. A single hopeless image then
# costs at most 15.94 nats, whatever the precision in which the probabilities were computed.
SMALLEST: Final = float(np.finfo(np.float32).eps)
ECE_BINS: Final = 15

Probabilities = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.integer[Any]]
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Predicted:
    """Probabilities (n, C) and labels (n,) with the counts that several metrics need; see `measure`."""

    probabilities: Probabilities
    labels: Labels

    @cached_property
    def classes(self) -> npt.NDArray[np.intp]:
        """The most probable class of each image (n,); of equals, the one with the smallest id."""
        return np.asarray(np.argmax(self.probabilities, axis=1))

    @cached_property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether that class is the true one (n,)."""
        return np.asarray(self.classes == self.labels)

    @cached_property
    def support(self) -> npt.NDArray[np.intp]:
        """Images of each class (C,)."""
        return np.bincount(self.labels, minlength=self.probabilities.shape[1])

    @cached_property
    def hits(self) -> npt.NDArray[np.intp]:
        """Images of each class that are classified rightly (C,)."""
        return np.bincount(self.labels[self.right], minlength=self.probabilities.shape[1])


def measure(probabilities: Probabilities, labels: Labels, *, n_classes: int) -> dict[str, float]:
    """Return the numbers of `METRICS` that have a function, for one set of predictions.

    The predicted class is the most probable one; of equals, the one with the smallest id. Raises `DataError`: wrong
    shapes, a value that is not a probability (with the index of its row), a label outside [0, C).

    Parameters
    ----------
    probabilities : (n, C) floats in [0, 1]
        Each row sums to one within 1e-3.
    labels : (n,) integers in [0, C)
        True classes; every image must be labelled.
    n_classes : int
        C. Classes without an image are fine.

    Examples
    --------
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]])
    >>> numbers = measure(p, np.array([0, 1, 1]), n_classes=2)
    >>> [(name, round(value, 3)) for name, value in numbers.items()][:4]
    [('accuracy', 0.667), ('balanced_accuracy', 0.75), ('log_loss', 0.607), ('macro_f1', 0.667)]
    """
    _check(probabilities, labels, n_classes)
    predicted = Predicted(probabilities, labels)
    return {name: metric.of(predicted) for name, metric in METRICS.items() if metric.of is not None}


def balanced_accuracy(predicted: Predicted) -> float:
    """Return the mean recall over the classes present."""
    present = predicted.support > 0
    return float(np.mean(predicted.hits[present] / predicted.support[present]))


def macro_f1(predicted: Predicted) -> float:
    """Return the mean of 2 hits / (support + called) over the classes that are present or predicted."""
    total = predicted.support + np.bincount(predicted.classes, minlength=predicted.probabilities.shape[1])
    counted = total > 0
    return float(np.mean(2 * predicted.hits[counted] / total[counted]))


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
    below, up_to = (np.searchsorted(negatives, positives, side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(negatives)))


def calibration_error(
    confidence: npt.NDArray[np.floating[Any]], right: npt.NDArray[np.bool_], *, bins: int = ECE_BINS
) -> float:
    """Return the expected calibration error: mean |confidence - accuracy| over bins, weighted by their size.

    `confidence` (n,) is the probability of the predicted class, `right` (n,) whether that class is the true one. The
    bins ((m-1)/bins, m/bins] are equally wide.
    """
    sure = confidence.astype(np.float64)
    # Zero belongs to no half-open bin; it joins the first.
    index = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = np.bincount(index, weights=sure - right, minlength=bins)
    return float(np.abs(gap).sum() / len(sure))


@dataclass(frozen=True)
class Metric:
    """All that is said of a metric anywhere."""

    title: str  # within a sentence
    of: Callable[[Predicted], float] | None = None  # function of predictions; None for one not part of every row
    larger_is_better: bool = True
    digits: int = 3  # decimals in a table
    proportion: bool = True  # whether all values lie in [0, 1]
    short: str = ""  # the title above a column, where `title` is too long for one

    @property
    def heading(self) -> str:
        """The title as it stands above a column."""
        title = self.short or self.title
        return title[:1].upper() + title[1:]


# Name in rows -> what it is, in the order in which rows and pages have them.
METRICS: Final[dict[str, Metric]] = {
    "accuracy": Metric("accuracy", lambda predicted: float(predicted.right.mean())),
    "balanced_accuracy": Metric("balanced accuracy", balanced_accuracy),
    "log_loss": Metric(
        "log loss",
        lambda predicted: float(log_losses(predicted.probabilities, predicted.labels).mean()),
        larger_is_better=False,
        proportion=False,
    ),
    "macro_f1": Metric("macro F1", macro_f1),
    "auc": Metric("AUC", lambda predicted: auc(predicted.probabilities, predicted.labels)),
    "auc_positive": Metric("AUC of positive against negative", short="AUC pos/neg"),
    "ece": Metric(
        "calibration error",
        lambda predicted: calibration_error(predicted.probabilities.max(axis=1), predicted.right),
        larger_is_better=False,
    ),
}


def larger_is_better(name: str) -> bool:
    """Say the direction of a metric; of one that is not in `METRICS` more is taken to be better."""
    return name not in METRICS or METRICS[name].larger_is_better


def title(name: str) -> str:
    """Return what a metric is called within a sentence; one that is not in `METRICS` keeps its name."""
    return METRICS[name].title if name in METRICS else name


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
