"""What the page's script draws: the sections of it, and the grid as compact columns of numbers.

Sections are changes of rank, cost, and every number. Each number is there once, with six significant digits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from acclimate.comparison import Matrix
from acclimate.reports.draw.blocks import Chart, Control, DataTable, Section, TableColumn
from acclimate.reports.read.foresight import Foresight
from acclimate.reports.read.grid import ALL, Float64, Grid, RankColumn
from acclimate.reports.read.material import Material
from acclimate.reports.read.ranks import headline, ranks_of
from acclimate.stats import LEVEL

Numbers = list[float | None]


def protocol_options(grid: Grid, first: str) -> list[tuple[str, str]]:
    """Return the protocols as options, ``first`` first."""
    names = dict.fromkeys([first, *(measure.protocol for measure in grid.measures)])
    return [(name, name) for name in names]


def changes(material: Material) -> list[Section]:
    """Return how ranks change between protocols or between data sets."""
    grid = material.grid
    if grid is None:
        return []
    options = []
    if len({measure.protocol for measure in grid.measures}) > 1:
        options.append(("protocols", "protocols"))
    if len(grid.datasets) > 1:
        options.append(("datasets", "data sets"))
    if not options:
        return []
    chart = Chart("bump-chart", "Ranks", "", {}, 560, wide=True, view="bump")
    sentence = (
        "One line a model; where lines cross, the order changes. Ranks are among the models that all columns have."
    )
    controls = [Control("across", "Across", options)]
    return [Section("bump", "How ranks change", [sentence], [chart], controls=controls, live=True)]


def cost(material: Material) -> list[Section]:
    """Return what accuracy costs, and which models nothing else beats at their price."""
    grid = material.grid
    if grid is None:
        return []
    options = [(grid.cost, grid.cost)] if grid.costs else []
    options += [("parameters", "parameters")] if grid.sizes is not None else []
    if not options:
        return []
    names = protocol_options(grid, grid.measures[0].protocol)
    which = [("", "all protocols"), *names] if grid.costs and len(names) > 1 else names
    chart = Chart("cost-chart", "Cost against what it buys", "", {}, 460, wide=True, view="cost")
    sentence = "The line is the Pareto front: nothing that was measured is both cheaper and better than a point on it."
    columns = [TableColumn(title) for title in ("Model", "Protocol", "Cost", "Value")]
    table = DataTable("front-table", "On the Pareto front", columns, [], [], view="front")
    controls = [Control("price", "Cost", options), Control("priced", "Protocol", which)]
    return [Section("cost", "Cost against accuracy", [sentence], [chart], [table], controls=controls, live=True)]


def numbers(material: Material) -> list[Section]:
    """Return every number, page by page, where no table lists all rows."""
    grid = material.grid
    if grid is None or (material.listed and not material.contents.tables):
        return []
    cells = sum(int((column.runs > 0).sum()) for column in grid.columns if column.dataset != ALL)
    table = DataTable("cells-table", "Every number, averaged over seeds", [], [], [], view="cells")
    sentence = f"{cells:,} numbers from {grid.rows:,} rows, six digits each; the filters above choose what is listed."
    return [Section("cells", "All numbers", [sentence], tables=[table], live=True)]


def absent(material: Material) -> list[str]:
    """Return in a line each which live sections are not there, and what would bring them."""
    grid, lines = material.grid, []
    if grid is None:
        return []
    if material.foresight is None:
        lines.append(f"Whether a cheap protocol foresees an expensive one: {material.unforeseen}.")
    if not grid.costs and grid.sizes is None:
        lines.append("Cost against accuracy: no column seconds, cost or parameters.")
    if len(grid.datasets) < 2:
        lines.append("In and out of domain: there is one data set.")
    return lines


def payload(grid: Grid, foresight: Foresight | None, target: str | None) -> dict[str, Any]:
    """Return what live sections are drawn from.

    Names are as they are: the script makes text nodes of them, and escapes what it hands to Plotly. Columns hold one
    array each of means, ends of intervals and ranks over the models.
    """
    opening = headline(grid, target)
    return {
        "models": grid.models,
        "datasets": grid.datasets,
        "random": [int(i) for i in np.flatnonzero(grid.random)],
        "groups": [_grouping(name, of) for name, of in grid.groups.items()],
        "measures": [
            {"protocol": m.protocol, "metric": m.metric, "split": m.split, "higher": m.higher} for m in grid.measures
        ],
        "columns": [_column(grid, column) for column in grid.columns],
        "costs": [{"protocol": p, "dataset": d, "values": _rounded(values)} for (p, d), values in grid.costs.items()],
        "cost": grid.cost,
        "level": round(100 * LEVEL),
        "sizes": None if grid.sizes is None else _rounded(grid.sizes),
        "trust": None if foresight is None else _foresight(grid, foresight),
        "opening": {"measure": opening.measure, "dataset": opening.dataset},
    }


def _rounded(values: Iterable[float]) -> Numbers:
    """Return numbers with six significant digits, None for what is not finite."""
    return [float(f"{v:.6g}") if v == v and abs(v) != np.inf else None for v in map(float, values)]


def _grouping(name: str, of: list[str]) -> dict[str, Any]:
    """Return a grouping: its groups, the largest first, and the group of each model by number."""
    sizes = {group: of.count(group) for group in dict.fromkeys(of)}
    groups = sorted(sizes, key=lambda group: (group.startswith("("), -sizes[group], group))
    return {"name": name, "groups": groups, "of": [groups.index(group) for group in of]}


def _column(grid: Grid, column: RankColumn) -> dict[str, Any]:
    ranks = ranks_of(column, grid.measures[column.measure].higher)
    out: dict[str, Any] = {"measure": column.measure, "dataset": column.dataset, "mean": _rounded(column.mean)}
    if ranks.first.any():
        ends = {"low": _rounded(column.low), "high": _rounded(column.high)}
        out |= ends | {"first": ranks.first.tolist(), "last": ranks.last.tolist()}
    runs = column.runs[column.runs > 0]
    same = len(set(runs.tolist())) == 1
    return out | {"rank": ranks.rank.tolist(), "runs": int(runs[0]) if same else column.runs.tolist()}


def _foresight(grid: Grid, foresight: Foresight) -> dict[str, Any]:
    where = {name: i for i, name in enumerate(grid.datasets)}
    sets = [where[name] for name in foresight.datasets]
    return {
        "target": foresight.target,
        "datasets": sets,
        "column": _places(grid, foresight, foresight.target),
        "level": round(100 * foresight.answer["level"]),
        "proxies": [_matrix(grid, foresight, matrix) for matrix in foresight.matrices],
    }


def _places(grid: Grid, foresight: Foresight, protocol: str) -> list[int]:
    """Return the number of the grid's column behind each data set of the matrix; -1 where there is none."""
    places = {
        (own.protocol, own.metric, own.split, grid.datasets[c.dataset]): i
        for i, c in enumerate(grid.columns)
        if c.dataset >= 0 and (own := grid.measures[c.measure])
    }
    sides = foresight.sides[protocol]
    return [
        places.get((protocol, sides[d].metric, sides[d].split, d), -1) if d in sides else -1 for d in foresight.datasets
    ]


def _matrix(grid: Grid, foresight: Foresight, matrix: Matrix) -> dict[str, Any]:
    def flat(values: Float64) -> Numbers:
        return [None if v is None else round(v, 4) for v in _rounded(values.ravel())]

    return {
        "proxy": matrix.proxy,
        "column": _places(grid, foresight, matrix.proxy),
        "spearman": flat(matrix.spearman),
        "low": flat(matrix.low),
        "high": flat(matrix.high),
        "models": [int(n) for n in matrix.models.ravel()],
        "regret": _rounded(matrix.regret.ravel()),
    }
