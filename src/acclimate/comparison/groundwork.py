"""What every part of an answer is made from: the columns of proxies and target, the models in common, the cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from acclimate.comparison.cells import Candidate, Pairing, Target, evaluate
from acclimate.comparison.groups import groups_of, settings_of
from acclimate.comparison.notes import NAMED
from acclimate.comparison.question import Question
from acclimate.comparison.references import size_list, static_list
from acclimate.comparison.resamples import ImageDraw, Resamples, make_resamples
from acclimate.comparison.sides import ScoreColumn, nearest, side
from acclimate.errors import DataError
from acclimate.stats.correlations import LEAST_MODELS

if TYPE_CHECKING:
    import pandas as pd

Sides = dict[str, dict[str, ScoreColumn]]  # proxy -> data set -> column


@dataclass(frozen=True, eq=False)
class Groundwork:
    """What every part of the answer is made from: the models in common, and every cell with its resamples."""

    names: list[str]
    proxies: list[str]
    groups: dict[str, str] | None
    tasks: list[Target]
    draws: Resamples
    images: ImageDraw | None
    cells: list[Pairing]
    left_out: list[str]


def make_groundwork(frame: pd.DataFrame, question: Question, images: ImageDraw | None) -> Groundwork:
    """Find the columns and the models in common, draw the resamples, and evaluate every cell on them."""
    groups = groups_of(frame, question.by)
    left_out: list[str] = []
    proxies, targets = _sides(frame, question, settings_of(frame, question, groups), left_out)
    pairs = _pairs(proxies, targets, question)
    models = list(dict.fromkeys(frame["model"]))
    rows = _shared_models(pairs, proxies, targets, models, question)
    names = [models[i] for i in rows]
    proxies = {p: {d: _take(c, rows) for d, c in columns.items()} for p, columns in proxies.items()}
    tasks = _tasks(pairs, proxies, {d: _take(c, rows) for d, c in targets.items()}, size_list(frame, names))
    everything = [c.column for task in tasks for c in task.candidates if c.column] + [task.target for task in tasks]
    images = images if images is not None and any(images.covers(column) for column in everything) else None
    draws = make_resamples(len(rows), everything, images, resamples=question.resamples, seed=question.seed)
    cells = [cell for task in tasks for cell in evaluate(task, draws, question)]
    return Groundwork(names, list(proxies), groups, tasks, draws, images, cells, left_out)


def _sides(
    frame: pd.DataFrame, question: Question, settings: dict[str, Any], left_out: list[str]
) -> tuple[Sides, dict[str, ScoreColumn]]:
    """Return the columns of the proxies and of the target over all models of the table."""
    models = list(dict.fromkeys(frame["model"]))
    targets = side(frame, question.target, question, models, left_out, target=True)
    proxies: Sides = {}
    for spec in question.proxies:
        parts = settings.get(spec, {spec: frame})
        for name, part in parts.items():
            proxies[name] = side(part, spec, question, models, left_out, target=False)
    for which, dataset in (("dataset", question.dataset), ("target data set", question.target_dataset)):
        datasets = {d for columns in proxies.values() for d in columns} if which == "dataset" else set(targets)
        if dataset is not None and dataset not in datasets:
            spec = question.proxies[0] if which == "dataset" else question.target
            raise DataError(nearest(f"{which} of {spec}", dataset, datasets))
    return proxies, targets


def _pairs(proxies: Sides, targets: dict[str, ScoreColumn], question: Question) -> list[tuple[str, str]]:
    """Return (data set of the proxy, data set of the target) of every cell."""
    sources = list(dict.fromkeys(d for columns in proxies.values() for d in columns))
    sources = [question.dataset] if question.dataset is not None else sources
    if question.target_dataset is not None:
        return [(source, question.target_dataset) for source in sources]
    if question.ood:
        return [(source, target) for source in sources for target in targets]
    both = [(source, source) for source in sources if source in targets]
    if not both:
        raise DataError(
            f"'{question.proxies[0]}' is on {', '.join(sources[:10])} and '{question.target}' on "
            f"{', '.join(list(targets)[:10])}: no data set has both; say which with --dataset and --target-dataset"
        )
    return both


def _shared_models(
    pairs: list[tuple[str, str]], proxies: Sides, targets: dict[str, ScoreColumn], models: list[str], question: Question
) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return the rows of models that have a proxy and the target in some cell; every proxy needs a cell of three."""
    shared = np.zeros(len(models), bool)
    for name, columns in proxies.items():
        there = [(t, _both(columns[s], targets[t])) for s, t in pairs if s in columns]
        most = max((int(both.sum()) for _, both in there), default=0)
        if most < LEAST_MODELS:
            where = " or ".join(repr(t) for t, _ in there[:NAMED]) or f"the data sets of '{question.target}'"
            raise DataError(
                f"'{name}' and '{question.target}' share {most} model{'s' * (most != 1)} on {where}; expected at least "
                f"{LEAST_MODELS}: fewer have no correlation to speak of. Add rows of more models"
            )
        shared |= np.any([both for _, both in there], axis=0)
    return np.flatnonzero(shared)


def _both(proxy: ScoreColumn, target: ScoreColumn) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which models (n,) have both."""
    there: np.ndarray[Any, np.dtype[np.bool_]] = np.isfinite(proxy.means) & np.isfinite(target.means)
    return there


def _take(column: ScoreColumn, rows: np.ndarray[Any, np.dtype[np.intp]]) -> ScoreColumn:
    return replace(column, runs=column.runs[rows], keys=column.keys[rows])


def _tasks(
    pairs: list[tuple[str, str]], proxies: Sides, targets: dict[str, ScoreColumn], size: np.ndarray[Any, Any] | None
) -> list[Target]:
    """Return one task for each target, with every proxy that has three models in common, and the lists."""
    tasks = []
    for dataset in dict.fromkeys(target for _, target in pairs):
        target = targets[dataset]
        task = Target(target)
        for name, columns in proxies.items():
            for source in [s for s, t in pairs if t == dataset and s in columns]:
                if _both(columns[source], target).sum() >= LEAST_MODELS:
                    task.candidates.append(Candidate(name, source, column=columns[source]))
        if task.candidates:
            static = static_list(target, list(targets.values()))
            lists = {"static": static, "size": size}
            task.candidates.extend(Candidate(name, "", fixed=v) for name, v in lists.items() if v is not None)
            tasks.append(task)
    return tasks
