"""The whole answer: does one protocol predict another, how sure is that, and what would a fixed list have done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from acclimate.comparison.cells import NUMBERS, Pairing, lead, proxied, summary
from acclimate.comparison.domains import domains, shifts_of
from acclimate.comparison.groundwork import Groundwork, make_groundwork
from acclimate.comparison.groups import by_group
from acclimate.comparison.notes import missing_cells, notes, words
from acclimate.comparison.question import Question
from acclimate.comparison.references import ceiling, mean_ceiling
from acclimate.comparison.resamples import ImageDraw
from acclimate.comparison.sides import mean_or_none
from acclimate.stats.resampling import benjamini_hochberg, holm

if TYPE_CHECKING:
    import pandas as pd


SHOWN: Final = 10  # models whose influence is told, in these numbers
MOVED: Final = ("pearson", "spearman", "regret")
Corrected = dict[int, dict[str, float | None]]  # id of a cell -> its p-values


def analyse(frame: pd.DataFrame, question: Question, images: ImageDraw | None = None) -> dict[str, Any]:
    """Return the answer as a JSON-able document; see ``docs/compare.md`` for its keys.

    The frame is a table as `read_table` returns it; ``images`` resamples values again over test images, where
    predictions are kept. Raises `DataError` for unknown names, choices left open, rows that disagree, or fewer than
    three models with both protocols.
    """
    groundwork = make_groundwork(frame, question, images)
    main = _main(groundwork.cells, question)
    corrected = _corrected(proxied(groundwork.cells))
    document = {
        **_asked(question, main, groundwork),
        **_headline(main, groundwork, corrected, question),
        **_breakdown(frame, main, groundwork, corrected, question),
    }
    document["notes"] = [*notes(document, main), *(f"left out: {why}" for why in dict.fromkeys(groundwork.left_out))]
    return {**document, **words(document)}


def _asked(question: Question, main: list[Pairing], groundwork: Groundwork) -> dict[str, Any]:
    """Return what was asked, and what the numbers are of."""
    first = proxied(_cells_of(main, groundwork.proxies[0]))
    resampled = {"models": True, "seeds": bool(groundwork.draws.seeds), "images": groundwork.images is not None}
    return {
        "proxy": groundwork.proxies[0],
        "target": question.target,
        "dataset": question.dataset,
        "target_dataset": question.target_dataset,
        "metric": sorted({cell.target.metric for cell in main}),
        "proxy_metric": sorted({cell.proxy.metric for cell in first}),
        "splits": {
            "proxy": sorted({cell.proxy.split for cell in first}),
            "target": sorted({cell.target.split for cell in first}),
        },
        "top": question.top,
        "level": question.level,
        "resamples": question.resamples,
        "drawn": [name for name, there in resampled.items() if there],
    }


def _headline(main: list[Pairing], groundwork: Groundwork, corrected: Corrected, question: Question) -> dict[str, Any]:
    """Return the first proxy's numbers beside its ceiling and the lists that know nothing of the data."""
    first = _cells_of(main, groundwork.proxies[0])
    return {
        **summary(first, question),
        # A mean over several cells has intervals, and p-values for each.
        "p": corrected[id(first[0])] if len(first) == 1 else None,
        "ceiling": _ceiling(first, question),
        "static_baseline": _list(_cells_of(main, "static"), first, question),
        "size_baseline": _list(_cells_of(main, "size"), first, question),
        "influence": _influence(first, groundwork.names),
        "regret_unit": _unit(first, question),
    }


def _breakdown(
    frame: pd.DataFrame, main: list[Pairing], groundwork: Groundwork, corrected: Corrected, question: Question
) -> dict[str, Any]:
    """Return the numbers by proxy, data set, group and pair of data sets."""
    of = {name: _cells_of(main, name) for name in groundwork.proxies}
    first = of[groundwork.proxies[0]]
    return {
        "models": groundwork.names,
        "proxies": [_proxy(name, cells, first, question) for name, cells in of.items()],
        "comparisons": len(corrected),
        "datasets": [_line(cell, corrected, question) for cells in of.values() for cell in cells],
        "groups": by_group(groundwork.tasks, main, groundwork.draws, groundwork.groups, groundwork.names, question),
        "ood": domains(groundwork.cells, corrected, shifts_of(frame, question), question) if question.ood else None,
        "missing": missing_cells(main, groundwork.names),
    }


def _cells_of(cells: list[Pairing], name: str) -> list[Pairing]:
    return [cell for cell in cells if cell.candidate.name == name]


def _main(cells: list[Pairing], question: Question) -> list[Pairing]:
    """Return the cells that the headline is about: in domain, unless another target was asked for."""
    datasets = {cell.target.dataset for cell in proxied(cells) if cell.in_domain}
    if question.target_dataset is not None or not datasets:
        return cells
    return [c for c in cells if c.in_domain or (c.candidate.column is None and c.target.dataset in datasets)]


def _corrected(cells: list[Pairing]) -> Corrected:
    """Return p-values of each cell, by its id, with their corrections over all cells asked about."""
    linear, raw = np.array([cell.p[0] for cell in cells]), np.array([cell.p[1] for cell in cells])
    columns = {"pearson": linear, "spearman": raw, "holm": holm(raw), "bh": benjamini_hochberg(raw)}
    return {
        id(cell): {name: float(v[i]) if np.isfinite(v[i]) else None for name, v in columns.items()}
        for i, cell in enumerate(cells)
    }


def _ceiling(cells: list[Pairing], question: Question) -> dict[str, Any]:
    return mean_ceiling([ceiling(c.target, c.models, top=question.top, seed=question.seed) for c in cells])


def _list(cells: list[Pairing], first: list[Pairing], question: Question) -> dict[str, Any] | None:
    """Return a fixed list's numbers, and how far the proxy is ahead of it; None where there is no list."""
    return {**summary(cells, question), "ahead": _ahead(first, cells, question)} if cells else None


def _proxy(name: str, cells: list[Pairing], first: list[Pairing], question: Question) -> dict[str, Any]:
    ahead = None if cells is first or not cells else _ahead(cells, first, question)
    return {"proxy": name, **summary(cells, question), "ahead": ahead, "ceiling": _ceiling(cells, question)}


def _ahead(a: list[Pairing], b: list[Pairing], question: Question) -> dict[str, Any]:
    """Return paired differences a - b over the targets that both have, with intervals over the same resamples."""
    by_target = {cell.target.dataset: cell for cell in b}
    pairs = [(cell, by_target[cell.target.dataset]) for cell in a if cell.target.dataset in by_target]
    if not pairs:
        return dict.fromkeys(NUMBERS)
    first, second = [p[0] for p in pairs], [p[1] for p in pairs]
    return {name: lead(first, second, name, question) for name in NUMBERS}


def _unit(cells: list[Pairing], question: Question) -> str:
    """Return what the regret is in: fraction, percent, or the metric itself."""
    metrics = sorted({cell.target.metric for cell in cells})
    if question.unit == "other" or not all(cell.target.proportion for cell in cells):
        return ", ".join(metrics)
    percent = {cell.target.percent(question.unit) for cell in cells}
    return ", ".join(metrics) if len(percent) > 1 else "percent" if percent.pop() else "fraction"


def _line(cell: Pairing, corrected: Corrected, question: Question) -> dict[str, Any]:
    return {
        "proxy": cell.candidate.name,
        "source": cell.candidate.source,
        "dataset": cell.target.dataset,
        **summary([cell], question),
        "p": corrected[id(cell)],
    }


def _influence(cells: Sequence[Pairing], names: Sequence[str]) -> dict[str, Any]:
    """Return the range of Spearman's correlation without one model, and the models that move it most.

    Of several cells the mean is meant. `most` is ordered by the size of `change`: without the model less with it.
    """
    empty: dict[str, Any] = {"spearman_low": None, "spearman_high": None, "most": []}
    defined = [cell for cell in cells if np.isfinite(cell.point["spearman"])]
    if not defined or min(cell.n for cell in defined) < 4:  # of two models left nothing can be said
        return empty
    without = {name: np.mean([cell.alone[name] for cell in defined], axis=0) for name in MOVED}
    change = without["spearman"] - np.mean([cell.point["spearman"] for cell in defined])
    moved = np.where(np.isfinite(change), np.abs(change), -1)
    order = np.argsort(-moved, kind="stable")[:SHOWN]
    rows = without["spearman"][np.isfinite(without["spearman"])]
    if rows.size == 0:
        return empty
    return {
        "spearman_low": float(rows.min()),
        "spearman_high": float(rows.max()),
        "most": [
            {"model": names[i], "change": float(change[i]), **{name: mean_or_none(without[name][i]) for name in MOVED}}
            for i in order
            if moved[i] >= 0
        ],
    }
