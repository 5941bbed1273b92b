"""How far two columns of numbers agree, for many resamples of the models at once.

A resample is a row of counts: how often each of n models was drawn. One function then does for the point estimate (all
ones), for the bootstrap (multinomial counts), for leaving one model out (a zero) and for one family alone (zeros).
Nothing is resorted: with c the counts, ranks are cumulative counts along an order made once, and a sum over pairs of
drawn models is c' S c with a matrix S of signs made once.

Sources: Kendall's tau-b, Kendall (1945); weighted tau with additive hyperbolic weights, averaged over both rankings,
Vigna (2015), as in scipy; the rest as written in `STATISTICS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Index = npt.NDArray[np.intp]
Signs = dict[tuple[int, int], Float32]

# What each number is; all but regret are larger when the proxy is better. Of equals the first in the table comes first.
STATISTICS: Final = {
    "pearson": "linear correlation",
    "spearman": "correlation of midranks",
    "kendall": "tau-b: pairs in the same order less pairs in the opposite order, ties corrected",
    "weighted_tau": "tau with hyperbolic weights: mistakes at the top cost more",
    "agreement": "share of the pairs that differ in the target which the proxy orders alike; its ties count half",
    "top_k_overlap": "how many of the proxy's first k are among the target's first k",
    "regret": "best target value less that of the proxy's first choice",
}
LEAST_MODELS: Final = 3  # two models correlate at +1 or -1, whatever they are
_BLOCK: Final = 2**14  # numbers in one (resamples, models) array: what a core's cache holds


@dataclass(frozen=True, eq=False)
class _PreparedColumn:
    """One column of n values with what is done to it once; arrays (n,)."""

    values: Float64
    scaled: Float64  # centred and of unit variance, for the moments
    order: Index  # indices by decreasing value
    place: Index  # each model's place among them
    first: Index  # where its ties begin
    last: Index  # where they end
    tied: bool  # whether any two models tie


class _Sides(NamedTuple):
    """The columns of proxies and targets, and what all resamples share."""

    xs: list[_PreparedColumn]
    ys: list[_PreparedColumn]
    signs: Signs  # by the columns' places; empty: made again for each block
    harmonic: Float64  # sums of the first weights 1 / (1 + rank)


@dataclass(frozen=True, eq=False)
class _Ranked:
    """A column in each of b resamples; arrays (b, n) where nothing else is said."""

    above: Float64  # drawn models above each
    group: Float64  # drawn models in its tie, itself included
    rank: Float64  # midrank less the mean rank, so that sums of products are exact
    top: Float64  # share of its copies among the first k
    first: npt.NDArray[np.bool_]  # whether it comes first
    untied: Float64  # (b,) twice the number of pairs of drawn models that differ
    constant: npt.NDArray[np.bool_]  # (b,)


def correlate(x: Float64, y: Float64, counts: Float64, *, top: int = 3, pairs: bool = True) -> dict[str, Float64]:
    """Return every statistic of `STATISTICS` for each resample and pair of columns.

    Parameters
    ----------
    x, y : (n, p) and (n, t) floats
        Proxies and targets of n models, larger is better. NaN is a missing cell: a pair of columns is measured on
        the models that have both.
    counts : (b, n) floats
        How often each model is drawn; whole numbers.
    top : int
        The k of the overlap.
    pairs : bool
        False leaves out (NaN) what looks at pairs of models, which takes n times as long as the rest.

    Returns
    -------
    dict
        Name -> (b, p, t); NaN where it is undefined: a column that is constant in the resample (correlations; agreement
        if it is the target's), or no model at all.

    Examples
    --------
    >>> x, y = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([[1.0], [3.0], [2.0], [4.0]])
    >>> values = correlate(x, y, np.ones((1, 4)), top=2)
    >>> [(name, round(values[name].item(), 3)) for name in ("kendall", "agreement", "top_k_overlap", "regret")]
    [('kendall', 0.667), ('agreement', 0.833), ('top_k_overlap', 1.0), ('regret', 0.0)]
    """
    out = {name: np.full((len(counts), x.shape[1], y.shape[1]), np.nan) for name in STATISTICS}
    for columns, targets, both in _whole(x, y):
        numbers = _complete(x[np.ix_(both, columns)], y[np.ix_(both, targets)], counts[:, both], top, pairs)
        for name, values in numbers.items():
            out[name][:, columns[:, None], targets] = values
    return out


def pearson(x: Float64, y: Float64, counts: Float64) -> Float64:
    """Return only the linear correlations (b, p, t); arguments and missing cells as in `correlate`."""
    out = np.full((len(counts), x.shape[1], y.shape[1]), np.nan)
    for columns, targets, both in _whole(x, y):
        xs, ys = ([_column(v) for v in side[np.ix_(both, at)].T] for side, at in ((x, columns), (y, targets)))
        n = (c := counts[:, both]).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            constant = [np.stack([_ranked(v, c, n, 1).constant for v in side], 1) for side in (xs, ys)]
            values = _bounded(_pearson(xs, ys, c, n), constant[0][:, :, None] | constant[1][:, None])
        out[:, columns[:, None], targets] = values
    return out


def spearman(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Return one rank correlation; None below `LEAST_MODELS` or where one side is constant."""
    if len(x) < LEAST_MODELS:
        return None
    a, b = (np.asarray(values, dtype=np.float64)[:, None] for values in (x, y))
    rho = float(correlate(a, b, ones(len(a)), pairs=False)["spearman"].item())
    return rho if np.isfinite(rho) else None


def midranks(values: Float64) -> Float64:
    """Return 1-based ranks (n,), the smallest first; equals share the mean of their ranks, NaN stays.

    It is scipy.stats.rankdata, whose import takes longer than that of pandas.
    """
    ordered = np.sort(values[np.isfinite(values)])
    low, high = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    return np.where(np.isfinite(values), (low + high + 1) / 2, np.nan)


def ones(n: int) -> Float64:
    """Return the counts (1, n) of the models as they are."""
    return np.ones((1, n))


def logit(values: Float64, *, percent: bool) -> Float64 | None:
    """Return ln(v / (1 - v)) of proportions, or None where one is 0, 1 or outside: there it does not exist."""
    share = values / (100.0 if percent else 1.0)
    finite = share[np.isfinite(share)]
    if finite.size == 0 or finite.min() <= 0 or finite.max() >= 1:
        return None
    return np.log(share) - np.log1p(-share)


def _whole(x: Float64, y: Float64) -> Iterator[tuple[Index, Index, Index]]:
    """Yield groups of columns of `x` and of `y` that have the same cells, and the models that have both, if any."""
    for columns, present in _patterns(x):
        for targets, there in _patterns(y):
            if (both := np.flatnonzero(present & there)).size:
                yield columns, targets, both


def _patterns(values: Float64) -> list[tuple[Index, npt.NDArray[np.bool_]]]:
    """Return groups of columns that have the same cells: their indices, and which rows (n,) are there."""
    present = np.isfinite(values)
    patterns, which = np.unique(present, axis=1, return_inverse=True)
    return [(np.flatnonzero(which.ravel() == i), patterns[:, i]) for i in range(patterns.shape[1])]


def _complete(x: Float64, y: Float64, counts: Float64, top: int, pairs: bool) -> dict[str, Float64]:
    """Return the statistics of columns without missing cells, in blocks of resamples."""
    xs, ys = [_column(v) for v in x.T], [_column(v) for v in y.T]
    out = {name: np.empty((len(counts), len(xs), len(ys))) for name in STATISTICS}
    few = pairs and len(x) * len(xs) * len(ys) < 10**5
    signs = {(i, j): _signs(a, b) for i, a in enumerate(xs) for j, b in enumerate(ys)} if few else {}
    step = max(256, _BLOCK // len(x)) if few or not pairs else 2048  # otherwise signs are made again for each block
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1.0, counts.sum(axis=1).max() + 1))])
    sides = _Sides(xs, ys, signs, harmonic)
    for start in range(0, len(counts), step):
        rows = slice(start, start + step)
        # What cannot be computed is NaN, and said to be; it is no reason to warn.
        with np.errstate(invalid="ignore", divide="ignore"):
            for name, values in _block(sides, np.ascontiguousarray(counts[rows]), top, pairs).items():
                out[name][rows] = values
    return out


def _column(values: Float64) -> _PreparedColumn:
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    ends = np.concatenate([starts[1:], [len(values)]])
    group = np.searchsorted(starts, np.arange(len(values)), side="right") - 1
    place, first, last = (np.empty(len(values), np.intp) for _ in range(3))
    place[order], first[order], last[order] = np.arange(len(values)), starts[group], ends[group]
    centred = values - values.mean()
    scale = float(np.abs(centred).max())
    return _PreparedColumn(values, centred / (scale or 1.0), order, place, first, last, len(starts) < len(values))


def _signs(a: _PreparedColumn, b: _PreparedColumn) -> Float32:
    """Return (n, n): +1 where two models stand in the same order in both columns, -1 opposite, 0 where they tie."""
    sign = np.sign(a.values[:, None] - a.values[None]) * np.sign(b.values[:, None] - b.values[None])
    return sign.astype(np.float32)


def _block(sides: _Sides, c: Float64, top: int, pairs: bool) -> dict[str, Float64]:
    """Return the statistics of one block of resamples, each (b, p, t)."""
    xs, ys, n = sides.xs, sides.ys, c.sum(axis=1)
    p, q = [_ranked(v, c, n, top) for v in xs], [_ranked(v, c, n, top) for v in ys]
    constant = np.stack([r.constant for r in p], 1)[:, :, None] | np.stack([r.constant for r in q], 1)[:, None]
    out = {name: np.full((len(c), len(xs), len(ys)), np.nan) for name in STATISTICS}
    out["pearson"] = _bounded(_pearson(xs, ys, c, n), constant)
    out["spearman"] = _bounded(_spearman(p, q, c), constant)
    out["regret"] = _regret(p, ys, c)
    if pairs:
        _paired(sides, p, q, c, out)
        for name in ("kendall", "weighted_tau"):
            out[name] = _bounded(out[name], constant)
    return out


def _paired(sides: _Sides, p: list[_Ranked], q: list[_Ranked], c: Float64, out: dict[str, Float64]) -> None:
    """Fill in the statistics of pairs of models, and the overlap."""
    xs, ys, signs, harmonic = sides
    n, whole = c.sum(axis=1), c.astype(np.float32)  # exact: counts and signs sum to small whole numbers
    own_x, own_y = [_weights(r.above, c, harmonic) for r in p], [_weights(r.above, c, harmonic) for r in q]
    for i, a in enumerate(xs):
        for j, b in enumerate(ys):
            sign = signs[i, j] if signs else _signs(a, b)
            linked = (whole @ sign).astype(np.float64)  # (b, n): drawn models alike less opposite
            difference = np.einsum("bn,bn->b", c, linked)
            out["kendall"][:, i, j] = difference / np.sqrt(p[i].untied * q[j].untied)
            out["agreement"][:, i, j] = (1 + difference / q[j].untied) / 2
            by_x = own_x[i] if not a.tied else _weights(_broken(a, b, c), c, harmonic)
            by_y = own_y[j] if not b.tied else _weights(_broken(b, a, c), c, harmonic)
            taus = [_tau(w, linked, p[i], q[j], n) for w in (by_x, by_y)]
            out["weighted_tau"][:, i, j] = (taus[0] + taus[1]) / 2
            out["top_k_overlap"][:, i, j] = np.einsum("bn,bn->b", c, np.minimum(p[i].top, q[j].top))


def _ranked(column: _PreparedColumn, c: Float64, n: Float64, top: int) -> _Ranked:
    """Return a column's ranks in resamples `c` (b, n) of `n` (b,) models."""
    running = np.zeros((len(c), c.shape[1] + 1))
    np.cumsum(c[:, column.order], axis=1, out=running[:, 1:])
    above = running[:, column.first]
    group = running[:, column.last] - above if column.tied else c
    before = running[:, column.place] if column.tied else above  # ties in the order of the table
    share = np.clip((top - before) / c, 0, 1)
    share[c == 0] = 0
    untied = n * n - np.einsum("bn,bn->b", c, group)
    first = (before == 0) & (c > 0)
    return _Ranked(above, group, above + (group - n[:, None]) / 2, share, first, untied, untied == 0)


def _pearson(xs: list[_PreparedColumn], ys: list[_PreparedColumn], c: Float64, n: Float64) -> Float64:
    """Return weighted linear correlations (b, p, t) from moments."""
    x, y = np.stack([v.scaled for v in xs], 1), np.stack([v.scaled for v in ys], 1)
    w = c / n[:, None]
    mean_x, mean_y = w @ x, w @ y
    cross = (w @ (x[:, :, None] * y[:, None]).reshape(len(x), -1)).reshape(len(c), len(xs), len(ys))
    spread = (w @ x**2 - mean_x**2)[:, :, None] * (w @ y**2 - mean_y**2)[:, None]
    return np.asarray((cross - mean_x[:, :, None] * mean_y[:, None]) / np.sqrt(spread))


def _spearman(p: list[_Ranked], q: list[_Ranked], c: Float64) -> Float64:
    """Return rank correlations (b, p, t); ranks are halves of whole numbers, so every sum is exact."""
    x = np.stack([r.rank for r in p], 1) * c[:, None]  # (b, p, n)
    y = np.stack([r.rank for r in q], 2)  # (b, n, t)
    own_x = np.stack([np.einsum("bn,bn,bn->b", c, r.rank, r.rank) for r in p], 1)
    own_y = np.stack([np.einsum("bn,bn,bn->b", c, r.rank, r.rank) for r in q], 1)
    return np.asarray((x @ y) / np.sqrt(own_x[:, :, None] * own_y[:, None]))


def _regret(p: list[_Ranked], ys: list[_PreparedColumn], c: Float64) -> Float64:
    """Return (b, p, t): the best drawn target value less that of the proxy's first."""
    y = np.stack([v.values for v in ys], 1)
    best = np.stack([np.where(c > 0, v.values, -np.inf).max(axis=1) for v in ys], 1)
    winners = np.stack([r.first * c for r in p], 1)  # (b, p, n)
    result: Float64 = best[:, None] - winners @ y / winners.sum(axis=2)[:, :, None]
    return np.where(np.isfinite(result), np.maximum(result, 0), np.nan)


def _weights(above: Float64, c: Float64, harmonic: Float64) -> Float64:
    """Return (b, n): the summed weights 1 / (1 + rank) of each model's copies, ranks from 0 at `above` on."""
    start = above.astype(np.intp)
    return np.asarray(harmonic[start + c.astype(np.intp)] - harmonic[start])


def _broken(column: _PreparedColumn, other: _PreparedColumn, c: Float64) -> Float64:
    """Return the drawn models above each (b, n) where ties of `column` are broken by `other`."""
    order = np.lexsort((other.values, column.values))[::-1]
    above = np.empty_like(c)
    above[:, order] = np.cumsum(c[:, order], axis=1) - c[:, order]
    return above


def _tau(w: Float64, linked: Float64, p: _Ranked, q: _Ranked, n: Float64) -> Float64:
    """Return the weighted tau (b,) of one ranking: a pair weighs the sum of its two models' weights."""
    total = n * w.sum(axis=1)
    untied_x = total - np.einsum("bn,bn->b", w, p.group)
    untied_y = total - np.einsum("bn,bn->b", w, q.group)
    return np.asarray(np.einsum("bn,bn->b", w, linked) / np.sqrt(untied_x * untied_y))


def _bounded(values: Float64, constant: npt.NDArray[Any]) -> Float64:
    """Return correlations within [-1, 1], NaN where a column is constant: rounding must not make one up."""
    return np.where(constant, np.nan, np.clip(values, -1, 1))
