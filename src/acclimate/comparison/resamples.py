"""What is drawn again in a resample: the models, the seeds of their runs, and the test images behind a number.

Models are what would differ in another zoo, so they are always drawn. Seeds and images change the numbers themselves;
up to `OUTER` draws of them are shared by the model draws, which is the two-way bootstrap at a fraction of its cost.
Images are drawn where a results folder keeps predictions, by the Poisson bootstrap: each image counts 0, 1, 2, ...
times, as often in one model's number as in another's, so that what a hard image does to all of them cancels.

Source: bootstrap of crossed factors, Owen (2007).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from acclimate.comparison.sides import ScoreColumn, mean_over
from acclimate.errors import DataError
from acclimate.stats.correlations import Float64
from acclimate.stats.metrics import log_losses
from acclimate.stats.resampling import bootstrap_counts, poisson_counts
from acclimate.storage.results import PARTS, Predictions, Result, Results
from acclimate.storage.store import digest

OUTER: Final = 40
MEANS: Final = ("accuracy", "log_loss", "balanced_accuracy")  # metrics that are means over images
_SAME: Final = 1e-5  # two log losses of float32 probabilities that are one number

Part = slice | npt.NDArray[np.bool_]


class ImageDraw(Protocol):
    """What can draw the images behind a column again."""

    def covers(self, column: ScoreColumn) -> bool:
        """Whether predictions are kept for every run of the column and its metric is a mean over images."""

    def draw(self, column: ScoreColumn, k: int) -> Float64 | None:
        """Return the runs (n, s) of the column in image draw `k`; None where it is not covered."""


@dataclass(frozen=True, eq=False)
class _ImageRun:
    """One run's images: which, and what each adds to the metric; `group` is the class where classes weigh the same."""

    index: npt.NDArray[np.int64]
    values: Float64
    group: npt.NDArray[np.int64]

    def mean(self, counts: npt.NDArray[np.int64]) -> float:
        """Return the metric when image i counts `counts[i]` times; NaN when none is left."""
        weight = counts[self.index].astype(np.float64)
        total = np.bincount(self.group, weights=weight)
        summed = np.bincount(self.group, weights=weight * self.values)
        return float(np.mean(summed[total > 0] / total[total > 0])) if (total > 0).any() else float("nan")


class StoredImages:
    """The images of a results folder; see `ImageDraw`."""

    def __init__(self, results: Results, seed: int) -> None:
        self._results = results
        self._seed = seed
        self._runs: dict[tuple[str, str, str], _ImageRun | None] = {}

    @cached_property
    def _rows(self) -> Mapping[str, Result]:
        return {row.key: row for row in self._results.rows()}

    def covers(self, column: ScoreColumn) -> bool:
        """See `ImageDraw`."""
        there = np.argwhere(np.isfinite(column.runs))
        return column.metric in MEANS and all(self._run(column, i, j) is not None for i, j in there)

    def draw(self, column: ScoreColumn, k: int) -> Float64 | None:
        """See `ImageDraw`."""
        if not self.covers(column):
            return None
        runs = np.full(column.runs.shape, np.nan)
        for i, j in np.argwhere(np.isfinite(column.runs)):
            run = self._run(column, i, j)
            assert run is not None
            fingerprint = self._rows[str(column.keys[i, j])].fingerprint
            runs[i, j] = run.mean(self._counts(fingerprint, k, int(run.index.max()) + 1))
        return np.where(np.isfinite(runs), runs, column.runs)

    def _counts(self, fingerprint: str, k: int, n: int) -> npt.NDArray[np.int64]:
        """Return how often each of the first n images is drawn: the same for every run on this data in draw `k`."""
        words = [int(digest("image draw", fingerprint)[i : i + 8], 16) for i in (0, 8)]
        return poisson_counts(n, np.random.default_rng([self._seed, k, *words]))

    def _run(self, column: ScoreColumn, i: int, j: int) -> _ImageRun | None:
        key = (str(column.keys[i, j]), column.split, column.metric)
        if key not in self._runs:
            self._runs[key] = self._loaded(*key)
        return self._runs[key]

    def _loaded(self, key: str, split: str, metric: str) -> _ImageRun | None:
        if key not in self._rows:
            return None
        try:
            stored = self._results.predictions(key)
        except DataError:
            return None
        part = _part(stored, self._rows[key].metrics, split)
        return None if part is None else _run_of(stored, part, metric)


def _part(stored: Predictions, metrics: Mapping[str, Mapping[str, Any]], split: str) -> Part | None:
    """Return where a split's images lie among the stored ones; None when that cannot be told."""
    if stored.part is None:
        return _guessed_part(stored, metrics, split)
    if split not in PARTS:
        return None
    there = stored.part == PARTS.index(split)
    return there if there.any() else None


def _guessed_part(stored: Predictions, metrics: Mapping[str, Mapping[str, Any]], split: str) -> slice | None:
    """Return where a split's images lie in a file of an older program, which does not say so.

    Parts follow each other in the order of the metrics, but their sizes are not there: the cut is where both log losses
    come out as the row has them.
    """
    names = list(metrics)
    m = len(stored.labels)
    if names == [split]:
        return slice(0, m)
    if len(names) != 2 or split not in names:
        return None
    losses = np.cumsum(log_losses(stored.probabilities, stored.labels))
    size = np.arange(1, m)
    first, second = losses[:-1] / size, (losses[-1] - losses[:-1]) / (m - size)
    stored_losses = [float(metrics[name].get("log_loss", np.nan)) for name in names]
    cuts = size[(np.abs(first - stored_losses[0]) < _SAME) & (np.abs(second - stored_losses[1]) < _SAME)]
    if len(cuts) != 1:
        return None
    return slice(0, int(cuts[0])) if split == names[0] else slice(int(cuts[0]), m)


def _run_of(stored: Predictions, part: Part, metric: str) -> _ImageRun:
    probabilities, labels = stored.probabilities[part], stored.labels[part]
    right = (np.argmax(probabilities, axis=1) == labels).astype(np.float64)
    values = log_losses(probabilities, labels) if metric == "log_loss" else right
    group = labels if metric == "balanced_accuracy" else np.zeros_like(labels)
    return _ImageRun(stored.index[part], values, group)


@dataclass(frozen=True, eq=False)
class Resamples:
    """The resamples of one question, shared by every number of the answer so that differences are paired."""

    counts: Float64  # (r, n): how often each model is drawn
    seeds: tuple[str, ...]  # labels of all seeds
    seed_counts: Float64  # (k, seeds): how often each is drawn; k is 0 where no protocol was run twice
    images: ImageDraw | None  # resamples the values again over test images; None without predictions

    def blocks(self) -> Iterator[tuple[int, Float64]]:
        """Yield (outer draw, counts of its resamples); one block when only models are drawn."""
        if len(self.seed_counts) == 0:
            yield -1, self.counts
            return
        for k, rows in enumerate(np.array_split(np.arange(len(self.counts)), len(self.seed_counts))):
            yield k, self.counts[rows]

    def values(self, column: ScoreColumn, k: int) -> Float64:
        """Return the column's mean of each model (n,) in outer draw `k`; -1 is as measured."""
        if k < 0:
            return column.means
        runs = self.images.draw(column, k) if self.images is not None else None
        return self._seeded(column, column.runs if runs is None else runs, k)

    def _seeded(self, column: ScoreColumn, runs: Float64, k: int) -> Float64:
        """Return means over drawn seeds, deviations stretched by sqrt(s / (s - 1)): s runs show less than there is."""
        means = mean_over(runs)
        if runs.shape[1] < 2:
            return means
        at = [self.seeds.index(seed) for seed in column.seeds]
        weight = np.where(np.isfinite(runs), self.seed_counts[k, at], 0.0)
        total, several = weight.sum(axis=1), np.isfinite(runs).sum(axis=1)
        resampled = (np.where(weight > 0, runs, 0) * weight).sum(axis=1) / np.maximum(total, 1)
        stretch = np.sqrt(several / np.maximum(several - 1, 1))
        return np.where(total > 0, means + stretch * (resampled - means), means)


def make_resamples(
    n: int, columns: Sequence[ScoreColumn], images: ImageDraw | None, *, resamples: int, seed: int
) -> Resamples:
    """Return the resamples for columns of `n` models."""
    counts = bootstrap_counts(n, resamples, np.random.default_rng([seed, 1]))
    several = [column for column in columns if column.runs.shape[1] > 1]
    seeds = tuple(dict.fromkeys(s for column in several for s in column.seeds))
    # Over many models the noise of seeds and images averages out, while an outer draw costs n squared.
    enough = min(OUTER, max(10, 4000 // n))
    outer = min(enough, resamples) if several or images is not None else 0
    s = max(1, len(seeds))
    return Resamples(counts, seeds, bootstrap_counts(s, outer, np.random.default_rng([seed, 2])), images)
