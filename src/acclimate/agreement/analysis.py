"""The whole answer: does one protocol predict another, how sure is that, and what would a fixed list have done."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from acclimate.agreement.baseline import size_list, static_list
from acclimate.agreement.ceiling import ceiling, mean_ceiling
from acclimate.agreement.cells import NUMBERS, Candidate, Cell, Task, bounds, evaluate, mean_drawn, summary
from acclimate.agreement.chance import benjamini_hochberg, holm
from acclimate.agreement.domains import domains, shifts_of
from acclimate.agreement.draws import make_draws
from acclimate.agreement.groups import by_group, groups_of, settings_of
from acclimate.agreement.images import ImageDraw
from acclimate.agreement.influence import influence
from acclimate.agreement.measures import LEAST_MODELS
from acclimate.agreement.notes import NAMED, missing_cells, notes
from acclimate.agreement.question import Question
from acclimate.agreement.sides import Column, nearest, side
from acclimate.agreement.words import words
from acclimate.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Sides = dict[str, dict[str, Column]]  # proxy -> data set -> column
LISTS: Final = ("static", "size")


def analyse(frame: pd.DataFrame, question: Question, images: ImageDraw | None = None) -> dict[str, Any]:
    """Return the answer as a JSON-able document; see ``docs/compare.md`` for its keys.

    Parameters
    ----------
    frame
        A table as `read_table` returns it.
    images
        Draws values again over test images, where predictions are kept.

    Raises
    ------
    DataError
        Unknown names, choices left open, rows that disagree, fewer than three models with both protocols.
    """
    groups = groups_of(frame, question.by)
    left_out: list[str] = []
    proxies, targets = _sides(frame, question, settings_of(frame, question, groups), left_out)
    pairs = _pairs(proxies, targets, question)
    models = list(dict.fromkeys(frame["model"]))
    rows = _shared_models(pairs, proxies, targets, models, question)
    names = [models[i] for i in rows]
    proxies = {p: {d: _take(c, rows) for d, c in columns.items()} for p, columns in proxies.items()}
    targets = {d: _take(c, rows) for d, c in targets.items()}
    tasks = _tasks(pairs, proxies, targets, size_list(frame, names))
    everything = [c.column for task in tasks for c in task.candidates if c.column] + [task.target for task in tasks]
    images = images if images is not None and any(images.covers(column) for column in everything) else None
    draws = make_draws(len(rows), everything, images, resamples=question.resamples, seed=question.seed)
    cells = [cell for task in tasks for cell in evaluate(task, draws, question)]
    main = _main(cells, question)
    of = {name: [cell for cell in main if cell.candidate.name == name] for name in (*proxies, *LISTS)}
    first = next(iter(proxies))
    asked = [cell for cell in cells if cell.candidate.column is not None]
    corrected = _corrected(asked)
    document = {
        "proxy": first,
        "target": question.target,
        "dataset": question.dataset,
        "target_dataset": question.target_dataset,
        "metric": sorted({cell.target.metric for cell in main}),
        "proxy_metric": sorted({c.candidate.column.metric for c in of[first] if c.candidate.column}),
        "splits": _splits(of[first]),
        "top": question.top,
        "level": question.level,
        "resamples": question.resamples,
        "drawn": ["models", *(["seeds"] if draws.seeds else []), *(["images"] if images is not None else [])],
        **summary(of[first], question),
        "p": _lowest(of[first], corrected),
        "ceiling": _ceiling(of[first], question),
        "static_baseline": _list(of["static"], of[first], question),
        "size_baseline": _list(of["size"], of[first], question),
        "influence": influence(of[first], names),
        "models": names,
        "proxies": [_proxy(name, of[name], of[first], question) for name in proxies],
        "comparisons": len(asked),
        "datasets": [_line(cell, corrected, question) for name in proxies for cell in of[name]],
        "groups": by_group(tasks, main, draws, groups, names, question),
        "ood": domains(cells, corrected, shifts_of(frame, question), question) if question.ood else None,
        "missing": missing_cells(main, names),
        "regret_unit": _unit(of[first], question),
    }
    document["notes"] = [*notes(document, main), *(f"left out: {why}" for why in dict.fromkeys(left_out))]
    return {**document, **words(document)}


def _sides(
    frame: pd.DataFrame, question: Question, settings: dict[str, Any], left_out: list[str]
) -> tuple[Sides, dict[str, Column]]:
    """Return the columns of the proxies and of the target over all models of the table."""
    models = list(dict.fromkeys(frame["model"]))
    targets = side(frame, question.target, question, models, left_out, target=True)
    proxies: Sides = {}
    for spec in question.proxies:
        parts = settings.get(spec, {spec: frame})
        for name, part in parts.items():
            proxies[name] = side(part, spec, question, models, left_out, target=False)
    for which, asked in (("dataset", question.dataset), ("target data set", question.target_dataset)):
        known = {d for columns in proxies.values() for d in columns} if which == "dataset" else set(targets)
        if asked is not None and asked not in known:
            spec = question.proxies[0] if which == "dataset" else question.target
            raise DataError(nearest(f"{which} of {spec}", asked, known))
    return proxies, targets


def _pairs(proxies: Sides, targets: dict[str, Column], question: Question) -> list[tuple[str, str]]:
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
    pairs: list[tuple[str, str]], proxies: Sides, targets: dict[str, Column], models: list[str], question: Question
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


def _both(proxy: Column, target: Column) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which models (n,) have both."""
    there: np.ndarray[Any, np.dtype[np.bool_]] = np.isfinite(proxy.means) & np.isfinite(target.means)
    return there


def _take(column: Column, rows: np.ndarray[Any, np.dtype[np.intp]]) -> Column:
    return replace(column, runs=column.runs[rows], keys=column.keys[rows])


def _tasks(
    pairs: list[tuple[str, str]], proxies: Sides, targets: dict[str, Column], size: np.ndarray[Any, Any] | None
) -> list[Task]:
    """Return one task for each target, with every proxy that has three models in common, and the lists."""
    tasks = []
    for dataset in dict.fromkeys(target for _, target in pairs):
        target = targets[dataset]
        task = Task(target)
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


def _main(cells: list[Cell], question: Question) -> list[Cell]:
    """Return the cells that the headline is about: in domain, unless another target was asked for."""
    proxies = [cell for cell in cells if cell.candidate.column is not None]
    if question.target_dataset is not None or not any(cell.in_domain for cell in proxies):
        return cells
    kept = {cell.target.dataset for cell in proxies if cell.in_domain}
    return [c for c in cells if c.in_domain or (c.candidate.column is None and c.target.dataset in kept)]


def _corrected(cells: list[Cell]) -> dict[int, dict[str, float | None]]:
    """Return p-values of each cell, by its id, with their corrections over all cells asked about."""
    linear, raw = np.array([cell.p[0] for cell in cells]), np.array([cell.p[1] for cell in cells])
    columns = {"pearson": linear, "spearman": raw, "holm": holm(raw), "bh": benjamini_hochberg(raw)}
    return {
        id(cell): {name: float(v[i]) if np.isfinite(v[i]) else None for name, v in columns.items()}
        for i, cell in enumerate(cells)
    }


def _lowest(cells: list[Cell], corrected: dict[int, dict[str, float | None]]) -> dict[str, float | None] | None:
    """Return the p-values of the only cell; a mean over several has intervals, and p-values for each."""
    return corrected[id(cells[0])] if len(cells) == 1 else None


def _ceiling(cells: list[Cell], question: Question) -> dict[str, Any]:
    return mean_ceiling([ceiling(c.target, c.models, top=question.top, seed=question.seed) for c in cells])


def _list(cells: list[Cell], first: list[Cell], question: Question) -> dict[str, Any] | None:
    """Return a fixed list's numbers, and how far the proxy is ahead of it; None where there is no list."""
    if not cells:
        return None
    return {**summary(cells, question), "ahead": _ahead(first, cells, question)}


def _proxy(name: str, cells: list[Cell], first: list[Cell], question: Question) -> dict[str, Any]:
    ahead = None if cells is first or not cells else _ahead(cells, first, question)
    return {"proxy": name, **summary(cells, question), "ahead": ahead, "ceiling": _ceiling(cells, question)}


def _ahead(a: list[Cell], b: list[Cell], question: Question) -> dict[str, Any]:
    """Return paired differences a - b over the targets that both have, with intervals over the same resamples."""
    by_target = {cell.target.dataset: cell for cell in b}
    pairs = [(cell, by_target[cell.target.dataset]) for cell in a if cell.target.dataset in by_target]
    if not pairs:
        return dict.fromkeys(NUMBERS)
    left, right = [p[0] for p in pairs], [p[1] for p in pairs]
    least = min(cell.n for cell in (*left, *right))
    x, y = summary(left, question), summary(right, question)
    return {
        name: None
        if x[name] is None or y[name] is None
        else {
            "difference": x[name] - y[name],
            **(bounds(mean_drawn(left, name) - mean_drawn(right, name), least, question.level) or {}),
        }
        for name in NUMBERS
    }


def _unit(cells: list[Cell], question: Question) -> str:
    """Return what the regret is in: fraction, percent, or the metric itself."""
    metrics = sorted({cell.target.metric for cell in cells})
    if question.unit == "other" or not all(cell.target.proportion for cell in cells):
        return ", ".join(metrics)
    percent = {cell.target.percent(question.unit) for cell in cells}
    return ", ".join(metrics) if len(percent) > 1 else "percent" if percent.pop() else "fraction"


def _splits(cells: list[Cell]) -> dict[str, list[str]]:
    return {
        "proxy": sorted({c.candidate.column.split for c in cells if c.candidate.column}),
        "target": sorted({c.target.split for c in cells}),
    }


def _line(cell: Cell, corrected: dict[int, dict[str, float | None]], question: Question) -> dict[str, Any]:
    return {
        "proxy": cell.candidate.name,
        "source": cell.candidate.source,
        "dataset": cell.target.dataset,
        **summary([cell], question),
        "p": corrected[id(cell)],
    }
