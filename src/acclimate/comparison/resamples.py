"""What is drawn again in a resample: the models, the seeds of their runs, and the test images behind a number.

Models are what would differ in another zoo, so they are always drawn. Seeds and images change the numbers themselves;
up to `OUTER` draws of them are shared by the model draws, which is the two-way bootstrap at a fraction of its cost.

Source: bootstrap of crossed factors, Owen (2007).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from acclimate.comparison.images import ImageDraw
from acclimate.comparison.sides import ScoreColumn, mean_over
from acclimate.stats.resampling import Float64, bootstrap_counts

OUTER: Final = 40


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
