"""Time the bootstrap of `compare` against a loop over scipy, on a table of the size of a published study.

26 models, 11 data sets, every pair of them (121), 10,000 resamples of the models, seven statistics: 1.2 million times
seven numbers. The loop does what a notebook does: draw models with replacement, call scipy for the four correlations
and numpy for the rest. It would take most of an hour, so a stated number of its steps is timed and scaled; both sides
take turns, so that another program's busy moment hits both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from measure import Options, Row
from scipy import stats

from acclimate.stats import correlate

Float64 = npt.NDArray[np.float64]

MODELS, DATASETS, RESAMPLES, TOP = 26, 11, 10_000, 3
TURNS, STEPS = 5, 80  # of the loop, in each turn
TARGET, LIMIT = 50.0, 10.0


def table(seed: int = 0) -> tuple[Float64, Float64]:
    """Return proxies and targets (26, 11): percent with two decimals, as tables print them, so that some tie."""
    rng = np.random.default_rng(seed)
    skill = rng.normal(size=(MODELS, 1))
    proxy, target = (70 + 5 * (skill + rng.normal(size=(MODELS, DATASETS))) for _ in range(2))
    return proxy.round(2), target.round(2)


def ours(x: Float64, y: Float64, resamples: int, seed: int) -> dict[str, Float64]:
    """Return 90 % intervals (2, 11, 11) of every statistic."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(MODELS, np.full(MODELS, 1 / MODELS), size=resamples).astype(np.float64)
    return {name: np.quantile(v, [0.05, 0.95], axis=0) for name, v in correlate(x, y, counts, top=TOP).items()}


def loop(x: Float64, y: Float64, steps: int, seed: int) -> list[tuple[float, ...]]:
    """Return the seven statistics of `steps` resamples of pairs of columns, one after the other."""
    rng = np.random.default_rng(seed)
    found = []
    for step in range(steps):
        drawn = rng.integers(0, MODELS, MODELS)
        found.append(one(x[drawn, step % DATASETS], y[drawn, step // DATASETS % DATASETS]))
    return found


def one(a: Float64, b: Float64) -> tuple[float, ...]:
    """Return what `measure` does for one resample of one pair, by scipy where it has it."""
    first, second = (set(np.argsort(-v, kind="stable")[:TOP]) for v in (a, b))
    i, j = np.triu_indices(len(a), 1)
    p, t = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
    return (
        stats.pearsonr(a, b).statistic,
        stats.spearmanr(a, b).statistic,
        stats.kendalltau(a, b).statistic,
        stats.weightedtau(a, b).statistic,
        float((1 + p * t)[t != 0].mean() / 2),
        float(len(first & second)),
        float(b.max() - b[np.argmax(a)]),
    )


def seconds(work: Callable[..., object], *arguments: object) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def run(options: Options) -> list[Row]:
    """Return the ratio to the loop, and the seconds against their limit."""
    x, y = table()
    ours(x, y, 100, 0)
    loop(x, y, 5, 0)
    turns = [(seconds(ours, x, y, RESAMPLES, turn), seconds(loop, x, y, STEPS, turn)) for turn in range(TURNS)]
    steps = RESAMPLES * DATASETS**2
    ratios = [steps / STEPS * theirs / mine for mine, theirs in turns]
    took, scaled = (statistics.median(column) for column in zip(*turns, strict=True))
    times = [mine for mine, _ in turns]
    notes = (
        f"{MODELS} models x {DATASETS} x {DATASETS} data sets, {RESAMPLES:,} resamples, seven statistics; the loop was "
        f"timed on {TURNS * STEPS} of {steps:,} steps and scaled; turns {min(ratios):.0f} to {max(ratios):.0f}"
    )
    limit = f"the limit; turns {min(times):.2f} to {max(times):.2f} s"
    return [
        Row("bootstrap", statistics.median(ratios), TARGET, took, scaled * steps / STEPS, "s", notes),
        Row("bootstrap_time", LIMIT / took, 1.0, took, LIMIT, "s", limit),
    ]
