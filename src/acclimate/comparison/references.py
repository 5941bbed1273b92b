"""What a proxy is measured against: a perfect one, and lists that need no look at the data set at all.

The noise ceiling is what a perfect proxy would reach, as reruns of the target differ among themselves. The true values
are taken to be the observed means, pulled together by the share of their spread that is noise (James & Stein 1961); the
target is then run again, with the noise of its seeds.

The lists are the mean rank on the other data sets, and the order by size. On the usual benchmarks such a fixed list
beats most scores of transferability, so it stands beside every proxy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from acclimate.comparison.sides import ScoreColumn, mean_or_none, mean_over
from acclimate.stats.correlations import LEAST_MODELS, STATISTICS, Float64, correlate, midranks, ones

if TYPE_CHECKING:
    import pandas as pd

RERUNS: Final = 200
SIZES: Final = ("parameters", "params", "n_params", "param_count", "param_count_M", "params_M", "total", "size")


def ceiling(column: ScoreColumn, rows: np.ndarray[Any, np.dtype[np.intp]], *, top: int, seed: int) -> dict[str, Any]:
    """Return what the true values of the models in `rows` would score against one more rerun of the target.

    It has every statistic's mean over `RERUNS` reruns, `noise` (standard deviation of one run, in the target's unit),
    `seeds` (most runs of one model) and `reason`, which says why the statistics are None if they are.
    """
    runs = column.runs[rows] * column.sign
    several = np.isfinite(runs).sum(axis=1)
    if several.max(initial=0) < 2:
        return unknown_ceiling(f"'{column.protocol}' on '{column.dataset}' was run with one seed only")
    if len(rows) < LEAST_MODELS:
        return unknown_ceiling(f"only {len(rows)} models")
    spread = np.nanvar(runs[several > 1], axis=1) * several[several > 1]
    variance = float(spread.sum() / (several[several > 1] - 1).sum())
    means = np.nanmean(runs, axis=1)
    errors = np.sqrt(variance / several)
    truth = _shrunk(means, errors)
    rng = np.random.default_rng([seed, 3])
    reruns = truth[:, None] + errors[:, None] * rng.standard_normal((len(rows), RERUNS))
    statistics = correlate(truth[:, None], reruns, ones(len(rows)), top=top)
    scores = {name: mean_or_none(statistics[name]) for name in STATISTICS}
    return {**scores, "noise": math.sqrt(variance), "seeds": int(several.max()), "reason": None}


def unknown_ceiling(reason: str) -> dict[str, Any]:
    """Return the ceiling that cannot be known."""
    return {**dict.fromkeys(STATISTICS), "noise": None, "seeds": None, "reason": reason}


def mean_ceiling(ceilings: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean over data sets; unknown as soon as one is, since the others say nothing about that one."""
    lacking = [one for one in ceilings if one["reason"] is not None]
    if lacking or not ceilings:
        return lacking[0] if lacking else unknown_ceiling("no target")
    scores = {name: mean_or_none([one[name] for one in ceilings]) for name in (*STATISTICS, "noise")}
    return {**scores, "seeds": max(one["seeds"] for one in ceilings), "reason": None}


def _shrunk(means: Float64, errors: Float64) -> Float64:
    observed = float(means.var(ddof=1))
    true = max(0.0, observed - float((errors**2).mean()))
    centre = means.mean()
    result: Float64 = centre + (means - centre) * math.sqrt(true / observed if observed > 0 else 0.0)
    return result


def static_list(target: ScoreColumn, others: Sequence[ScoreColumn]) -> Float64 | None:
    """Return each model's mean rank (n,) in the target protocol on the other data sets, best first: larger is better.

    Ranks are scaled to (0, 1), so that data sets with missing models count the same. None without another data set.
    """
    elsewhere = [column for column in others if column.dataset != target.dataset]
    if not elsewhere:
        return None
    values = [column.means * column.sign for column in elsewhere]
    return mean_over(np.stack([(midranks(v) - 0.5) / max(1, int(np.isfinite(v).sum())) for v in values], axis=1))


def size_list(frame: pd.DataFrame, models: Sequence[str]) -> Float64 | None:
    """Return each model's number of parameters (n,) from the first column of `SIZES`; None where there is none."""
    import pandas as pd

    name = next((name for name in SIZES if name in frame.columns), None)
    if name is None:
        return None
    numbers = pd.to_numeric(frame[name], errors="coerce").groupby(frame["model"]).first()
    sizes = numbers.reindex([*models]).to_numpy(dtype=np.float64)
    return sizes if np.isfinite(sizes).any() else None
