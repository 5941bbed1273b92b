"""Nearest class mean: the class whose mean training image is nearest (Mensink et al. 2013; Snell et al. 2017).

- euclidean: value of class c is -|x - mean_c|^2;
- cosine: value is cos(x, mean_c), with mean_c the mean of the L2-normalised training images.

Probabilities are softmax(factor * value), the factor as in `temper`; it moves no prediction. The metric is chosen on
validation: the highest accuracy, then the lowest log loss.

Cost: one pass over the features; memory is the class means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from pydantic import Field

from acclimate.scores.base import Features, Float64, Probe, ProbeData, ProbeSettings, blocks, check_features, judge
from acclimate.scores.probes.neighbours import METRICS, Metric
from acclimate.scores.probes.normalise import NORMALISERS, Normalise, Normaliser, inverse_lengths, mean_of
from acclimate.scores.probes.temper import factor, positions, softmax
from acclimate.stats.metrics import Labels


class NcmSettings(ProbeSettings):
    """Settings of `ncm`.

    Attributes
    ----------
    metric
        Metrics to choose from on validation; of equals the first is taken.
    temper
        What the factor of the probabilities is learned on: ``validation``; ``loo``: every training image, judged by
        class means without it (classes of one image are left out).
    normalise
        A name in ``NORMALISERS``.
    """

    metric: tuple[Metric, ...] = Field(default=METRICS, min_length=1)
    temper: Literal["validation", "loo"] = "validation"
    normalise: Normalise = "none"


@dataclass(frozen=True, eq=False)
class Means:
    """Sums and counts of the K classes that occur, as one metric takes them."""

    metric: Metric
    normaliser: Normaliser
    centre: Float64  # (d,), the mean of all, taken off first; zeros for cosine
    sums: Float64  # (K, d), of the centred (cosine: L2-normalised) images of a class
    counts: Float64  # (K,)

    def values(self, x: Features, scaler: Normaliser) -> Float64:
        """Return values (m, K), larger for nearer classes; `scaler` transforms the rows of `x`."""
        z, means = self.rows(x, scaler), self.sums / self.counts[:, None]
        if self.metric == "cosine":
            means = means * inverse_lengths(means)[:, None]
            return np.asarray(z @ means.T)
        return np.asarray(2 * z @ means.T - (means**2).sum(axis=1) - (z**2).sum(axis=1, keepdims=True))

    def values_without(self, x: Features, labels: Labels, scaler: Normaliser) -> Float64:
        """Return values (m, K) of training images, each by means that leave it out; its class must have another."""
        values, rows, z = self.values(x, scaler), np.arange(len(x)), self.rows(x, scaler)
        if self.metric == "euclidean":
            # x - (n mean - x) / (n - 1) = (x - mean) n / (n - 1)
            n = self.counts[labels]
            values[rows, labels] *= (n / (n - 1)) ** 2
            return values
        sums = self.sums[labels] - z
        values[rows, labels] = np.einsum("ij,ij->i", z, sums) * inverse_lengths(sums)
        return values

    def rows(self, x: Features, scaler: Normaliser) -> Float64:
        """Return normalised rows (m, d) as they are averaged."""
        z = scaler.transform(x).astype(np.float64)
        return z * inverse_lengths(z)[:, None] if self.metric == "cosine" else z - self.centre


@dataclass(frozen=True, eq=False)
class Ncm:
    """Nearest class mean with the metric that validation chose."""

    means: Means
    factor: float
    present: Labels  # (K,)
    n_classes: int
    settings: dict[str, Any]
    name: str = "ncm"

    def predict_proba(self, x: Features) -> Float64:
        """Return class probabilities (m, C) of features (m, d)."""
        check_features(x, "features", width=self.means.sums.shape[1])
        p = np.zeros((len(x), self.n_classes))
        scaler = self.means.normaliser.of(x)
        for rows in blocks(len(x), 32 * x.shape[1]):
            p[rows, self.present] = softmax(self.factor * self.means.values(x[rows], scaler))
        return p


def fitted(data: ProbeData, settings: NcmSettings) -> Ncm:
    """Take the class means and choose the metric on validation.

    Examples
    --------
    >>> x, y = np.array([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0]]), np.array([0, 0, 1])
    >>> probe = fit(x, y, x, y, n_classes=2, seed=0, settings=NcmSettings(metric=("euclidean",)))
    >>> probe.predict_proba(np.array([[0.2, 2.0], [3.0, 0.0]])).argmax(axis=1)
    array([0, 1])
    """
    present, index = np.unique(data.y, return_inverse=True)
    normaliser = NORMALISERS[settings.normalise].fit(data.x)
    candidates = []
    for metric in settings.metric:
        means = class_means(data.x, index, normaliser, metric)
        values = _values(means, data.x_val)
        multiplier = _leave_one_out(means, data.x, index) if settings.temper == "loo" else None
        multiplier = factor(values, positions(present, data.y_val)) if multiplier is None else multiplier
        p = np.zeros((len(values), data.n_classes))
        p[:, present] = softmax(multiplier * values)
        candidates.append((judge(p, data.y_val), means, multiplier))
    (accuracy, loss), means, multiplier = min(candidates, key=lambda entry: (-round(entry[0][0], 12), entry[0][1]))
    description = {
        "metric": means.metric,
        "factor": multiplier,
        "temper": settings.temper,
        "normalise": settings.normalise,
        "val_accuracy": accuracy,
        "val_log_loss": loss,
    }
    return Ncm(means, multiplier, present, data.n_classes, description)


def class_means(x: Features, index: Labels, normaliser: Normaliser, metric: Metric) -> Means:
    """Return the means of training images whose classes are numbered 0..K-1 without a gap."""
    scaler, d, k = normaliser.of(x), x.shape[1], int(index.max()) + 1
    centre = mean_of(x, scaler) if metric == "euclidean" else np.zeros(d)
    means = Means(metric, normaliser, centre, np.zeros((k, d)), np.bincount(index).astype(np.float64))
    for rows in blocks(len(x), 32 * d + 8 * k):
        one_hot = (index[rows] == np.arange(k)[:, None]).astype(np.float64)  # (K, b)
        means.sums[:] += one_hot @ means.rows(x[rows], scaler)
    return means


def _values(means: Means, x: Features) -> Float64:
    scaler, result = means.normaliser.of(x), np.empty((len(x), len(means.counts)))
    for rows in blocks(len(x), 32 * x.shape[1]):
        result[rows] = means.values(x[rows], scaler)
    return result


def _leave_one_out(means: Means, x: Features, index: Labels) -> float | None:
    """Return the factor learned on the training images of classes that have two or more; None without any."""
    several = np.flatnonzero(means.counts[index] > 1)
    if not len(several):
        return None
    scaler, values = means.normaliser.of(x), np.empty((len(several), len(means.counts)))
    for rows in blocks(len(several), 48 * x.shape[1]):
        part = several[rows]
        values[rows] = means.values_without(x[part], index[part], scaler)
    return factor(values, index[several])


NCM: Final = Probe(
    fitted,
    NcmSettings,
    "Accuracy of the nearest class mean: how well each class forms one cluster, with hardly anything fitted.",
    laws=frozenset({"order", "labels", "columns", "rotation", "scale"}),
)
fit: Final = NCM.fit
