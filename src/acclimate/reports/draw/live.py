"""The sections that the page's script draws from the grid: changes of rank, cost, every number."""

from __future__ import annotations

from acclimate.reports.draw.blocks import Chart, Control, DataTable, Section, TableColumn
from acclimate.reports.read.grid import ALL, Grid
from acclimate.reports.read.material import Material


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
