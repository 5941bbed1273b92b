"""The sections that obey the reader's filters: leaderboard, trust, domains, changes of rank, cost, every number."""

from __future__ import annotations

from typing import Final

from acclimate.reports.draw import foresight as trusting
from acclimate.reports.draw import tables
from acclimate.reports.draw.blocks import Chart, Column, Control, Section, Table
from acclimate.reports.read.foresight import Trust
from acclimate.reports.read.grid import ALL, Grid
from acclimate.reports.read.leaderboard import Board
from acclimate.reports.read.ranks import headline

SHARED: Final = (
    "Models share the first rank where none is better beyond chance: their order means nothing. “Could be” says from "
    "which to which rank a model could stand."
)
OVER_SETS: Final = (
    " Over all data sets models are compared pair by pair on the same data sets, and a bar shows the interval of the "
    "difference to the best: another choice of data sets could change as much."
)
BARE: Final = "Nothing says how sure this order is: each number was measured once, so there are no intervals."


def leaderboard(grid: Grid, board: Board, target: str | None) -> Section:
    """Return the ranking of any protocol on any data set, that of ``board`` first."""
    known = any(entry.reach for entry in board.entries)
    several = any(column.dataset == ALL for column in grid.columns)
    opening = grid.measures[headline(grid, target).measure].protocol
    title = f"{board.metric[:1].upper()}{board.metric[1:]}"
    return Section(
        key="leaderboard",
        title="Leaderboard",
        words=[(SHARED + (OVER_SETS if several else "")) if known else BARE],
        charts=[Chart("leaderboard-chart", title, "", {}, 480, wide=True, view="board")],
        tables=[tables.viewed(tables.leaderboard(board, "leaderboard-table"), "board")],
        controls=[Control("protocol", "Protocol", protocols(grid, opening))],
        live=True,
        notes=grid.notes,
    )


def sections(grid: Grid, trust: Trust | None, *, listed: bool) -> list[Section]:
    """Return the live sections below the leaderboard; ``listed`` says that all rows have a table elsewhere."""
    last = [] if listed else numbers(grid)
    return [*trusted(trust), *domains(trust), *changes(grid), *cost(grid), *last]


def protocols(grid: Grid, first: str) -> list[tuple[str, str]]:
    """Return the protocols as options, ``first`` first."""
    names = dict.fromkeys([first, *(measure.protocol for measure in grid.measures)])
    return [(name, name) for name in names]


def trusted(trust: Trust | None) -> list[Section]:
    """Return whether cheap protocols foresee the target, drawn and in numbers."""
    if trust is None:
        return []
    proxies = [(str(i), matrix.proxy) for i, matrix in enumerate(trust.matrices)]
    sets = [(str(i), name) for i, name in enumerate(trust.datasets)]
    same = [("", "the same data set"), *sets]
    chart = Chart("trust-chart", "Proxy against target", "", {}, 460, wide=True, view="scatter")
    controls = [Control("proxy", "Proxy", proxies)]
    if len(sets) > 1:
        controls += [Control("at", "Data set", sets), Control("source", "Proxy read on", same)]
    said = [trust.answer["verdict"], trusting.remark(trust)]
    shown = [trusting.proxies(trust), *trusting.groups(trust)]
    title, notes = "Can the cheap numbers be trusted?", trusting.notes(trust)
    return [Section("trust", title, said, [chart], shown, controls=controls, live=True, notes=notes)]


def domains(trust: Trust | None) -> list[Section]:
    """Return how well each data set foretells every other one."""
    if trust is None or len(trust.datasets) < 2:
        return []
    proxies = [(str(i), matrix.proxy) for i, matrix in enumerate(trust.matrices)]
    chart = Chart("domains-chart", "In and out of domain", "", {}, 520, wide=True, view="heat")
    said = (
        f"Rows: where the proxy was read. Columns: where '{trust.target}' is to be predicted. The diagonal, framed, is "
        "in domain. Each number is Spearman's rank correlation over the models that have both."
    )
    control = Control("heat", "Proxy", proxies)
    table = trusting.averages(trust)
    return [Section("domains", "In and out of domain", [said], [chart], [table], controls=[control], live=True)]


def changes(grid: Grid) -> list[Section]:
    """Return how ranks change between protocols or between data sets."""
    options = []
    if len({measure.protocol for measure in grid.measures}) > 1:
        options.append(("protocols", "protocols"))
    if len(grid.datasets) > 1:
        options.append(("datasets", "data sets"))
    if not options:
        return []
    chart = Chart("bump-chart", "Ranks", "", {}, 560, wide=True, view="bump")
    said = "One line a model; where lines cross, the order changes. Ranks are among the models that all columns have."
    controls = [Control("across", "Across", options)]
    return [Section("bump", "How ranks change", [said], [chart], controls=controls, live=True)]


def cost(grid: Grid) -> list[Section]:
    """Return what accuracy costs, and which models nothing else beats at their price."""
    options = [(grid.cost, grid.cost)] if grid.costs else []
    options += [("parameters", "parameters")] if grid.sizes is not None else []
    if not options:
        return []
    names = protocols(grid, grid.measures[0].protocol)
    which = [("", "all protocols"), *names] if grid.costs and len(names) > 1 else names
    chart = Chart("cost-chart", "Cost against what it buys", "", {}, 460, wide=True, view="cost")
    said = "The line is the Pareto front: nothing that was measured is both cheaper and better than a point on it."
    columns = [Column(title) for title in ("Model", "Protocol", "Cost", "Value")]
    table = Table("front-table", "On the Pareto front", columns, [], [], view="front")
    controls = [Control("price", "Cost", options), Control("priced", "Protocol", which)]
    return [Section("cost", "Cost against accuracy", [said], [chart], [table], controls=controls, live=True)]


def numbers(grid: Grid) -> list[Section]:
    """Return every number, page by page."""
    cells = sum(int((column.runs > 0).sum()) for column in grid.columns if column.dataset != ALL)
    table = Table("cells-table", "Every number, averaged over seeds", [], [], [], view="cells")
    said = f"{cells:,} numbers from {grid.rows:,} rows, six digits each; the filters above choose what is listed."
    return [Section("cells", "All numbers", [said], tables=[table], live=True)]


def absent(grid: Grid, trust: Trust | None, why: str) -> list[str]:
    """Return in a line each which live sections are not there, and what would bring them."""
    said = []
    if trust is None:
        said.append(f"Whether a cheap protocol foresees an expensive one: {why}.")
    if not grid.costs and grid.sizes is None:
        said.append("Cost against accuracy: no column seconds, cost or parameters.")
    if len(grid.datasets) < 2:
        said.append("In and out of domain: there is one data set.")
    return said
