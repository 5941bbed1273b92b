"""Within and across groups of models (backbones, families, discriminative and generative), and settings of a proxy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from acclimate.comparison.cells import Candidate, Numbers, Pairing, Target, bounds, means, numbers
from acclimate.comparison.question import Question
from acclimate.comparison.resamples import Resamples
from acclimate.comparison.sides import mean_or_none, mean_over, nearest
from acclimate.comparison.table import columns
from acclimate.errors import DataError
from acclimate.stats.correlations import LEAST_MODELS, Float64, ones

if TYPE_CHECKING:
    import pandas as pd

NO_GROUP: Final = "(none)"


def groups_of(frame: pd.DataFrame, by: str | None) -> dict[str, str] | None:
    """Return model -> group where every model has one value of the column ``by``; else None.

    Raises `DataError` for no such column; the nearest is named.
    """
    if by is None:
        return None
    if by not in columns(frame) or by in ("model", "value"):
        raise DataError(nearest("column", by, [c for c in columns(frame) if c != "model"]))
    pairs = frame[["model", by]].drop_duplicates()
    pairs = pairs[(pairs[by] != "") | ~pairs["model"].isin(pairs.loc[pairs[by] != "", "model"])]
    if pairs["model"].duplicated().any():
        return None
    return {model: group or NO_GROUP for model, group in zip(pairs["model"], pairs[by], strict=True)}


def settings_of(
    frame: pd.DataFrame, question: Question, groups: dict[str, str] | None
) -> dict[str, dict[str, pd.DataFrame]]:
    """Return proxy -> name with its setting -> rows, where ``by`` tells rows of one model apart; else nothing.

    So ``--by normalise`` compares a proxy with and without feature normalisation. Raises `DataError` for a column that
    does neither.
    """
    by = question.by
    if by is None or groups is not None:
        return {}
    import pandas as pd

    by_setting: dict[str, dict[str, pd.DataFrame]] = {}
    for spec in question.proxies:
        own = frame[frame["protocol"].isin([spec, spec.rpartition("@")[0]])]
        values = sorted(set(own[by]))
        if len(values) > 1:
            rest = frame[~frame.index.isin(own.index)]
            by_setting[spec] = {f"{spec} [{by}={v or 'none'}]": pd.concat([own[own[by] == v], rest]) for v in values}
    if not by_setting:
        raise DataError(
            f"the column '{by}' neither groups models nor tells settings of '{question.proxies[0]}' apart: a model has "
            "several values of it, and the proxy one; expected a column such as family, or a setting of the proxy"
        )
    return by_setting


def by_group(
    tasks: Sequence[Target],
    main: Sequence[Pairing],
    draws: Resamples,
    groups: dict[str, str] | None,
    names: Sequence[str],
    question: Question,
) -> dict[str, Any] | None:
    """Return every number within each group, and how pairs within and across groups are ordered; None without groups.

    A group needs three models; smaller ones only count in pairs.
    """
    if groups is None:
        return None
    member = np.array([groups.get(name, NO_GROUP) for name in names])
    identities = {(cell.target.dataset, cell.candidate.name, cell.candidate.source) for cell in main}
    compared = []
    for task in tasks:
        own = [c for c in task.candidates if c.column and (task.target.dataset, c.name, c.source) in identities]
        compared += [Target(task.target, own)] if own else []
    sizes = {str(group): int((member == group).sum()) for group in dict.fromkeys(member)}
    large = [group for group, n in sizes.items() if n >= LEAST_MODELS]
    lines = [line for group in large for line in _lines(compared, draws, member == group, group, question)]
    same = member[:, None] == member[None]
    pairs = {"within": _pairs(compared, draws, same, question), "across": _pairs(compared, draws, ~same, question)}
    return {"by": question.by, "sizes": sizes, "groups": lines, "pairs": pairs}


def pair_agreement(x: Float64, y: Float64, counts: Float64, allowed: Float64) -> Float64:
    """Return the share (b,) of the allowed pairs of drawn models that x orders as y does; x's ties count half.

    ``x`` and ``y`` are ``(n,)``, NaN a missing cell; ``counts`` ``(b, n)`` how often each model is drawn; ``allowed``
    ``(n, n)`` 1 for pairs that count, else 0.
    """
    there = np.isfinite(x) & np.isfinite(y)
    x, y, c, allowed = x[there], y[there], counts[:, there], allowed[np.ix_(there, there)]
    order = np.sign(y[:, None] - y[None])
    alike = np.sign(x[:, None] - x[None]) * order * allowed
    pairs = np.einsum("bn,bn->b", c, c @ (np.abs(order) * allowed))
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Float64 = (1 + np.einsum("bn,bn->b", c, c @ alike) / pairs) / 2
    return result


def _lines(
    tasks: Sequence[Target], draws: Resamples, inside: np.ndarray[Any, Any], group: str, question: Question
) -> list[dict[str, Any]]:
    """Return one line for each proxy: its mean over data sets within one group."""
    by_proxy: dict[str, list[Numbers]] = {}
    for task in tasks:
        for candidate, own in zip(task.candidates, numbers(task, draws, question, inside.astype(float)), strict=True):
            by_proxy.setdefault(candidate.name, []).append(own)
    n = int(inside.sum())
    return [
        {"group": group, "proxy": proxy, "n_models": n, **means(cells, n, question.level)}
        for proxy, cells in by_proxy.items()
    ]


def _pairs(
    tasks: Sequence[Target], draws: Resamples, allowed: np.ndarray[Any, Any], question: Question
) -> list[dict[str, Any]]:
    """Return for each proxy the share of the allowed pairs that it orders as the target does."""
    by_proxy: dict[str, list[tuple[float, Float64]]] = {}
    for task in tasks:
        for candidate in task.candidates:
            cell = _pair_cell(task, candidate, draws, allowed.astype(np.float64))
            by_proxy.setdefault(candidate.name, []).append(cell)
    lines = []
    for proxy, cells in by_proxy.items():
        resampled = mean_over(np.stack([values for _, values in cells]), axis=0)
        interval = bounds(resampled, draws.counts.shape[1], question.level)
        lines.append({"proxy": proxy, "agreement": mean_or_none([p for p, _ in cells]), "interval": interval})
    return lines


def _pair_cell(task: Target, candidate: Candidate, draws: Resamples, allowed: Float64) -> tuple[float, Float64]:
    def at(k: int, counts: Float64) -> Float64:
        y = draws.values(task.target, k) * task.target.sign
        return pair_agreement(candidate.values(draws, k), y, counts, allowed)

    point = float(at(-1, ones(len(allowed)))[0])
    return point, np.concatenate([at(k, counts) for k, counts in draws.blocks()])
