"""The leaderboard: a table of who leads and who cannot be told apart, its chart, and the proxies beside it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Final

from acclimate.reports.draw import charts, summary
from acclimate.reports.draw.blocks import Badge, Chart, Control, DataTable, Section, TableCell, TableColumn, Value
from acclimate.reports.draw.live import protocol_options
from acclimate.reports.draw.tables import figure_cell, model_cell, time_cell
from acclimate.reports.read.grid import ALL, Grid
from acclimate.reports.read.leaderboard import Board, BoardEntry
from acclimate.reports.read.material import Material
from acclimate.reports.read.ranks import headline
from acclimate.reports.text import LEVEL_TEXT, figure
from acclimate.stats import spearman

TIE: Final = Badge("tie", "cannot be told apart from the best")
SAME_RANK: Final = "Those that share a rank cannot be told apart with the images at hand; their order means nothing."
FROM_ROWS: Final = " Made from the result rows: intervals are over seeds, and two that meet count as a tie."
SHARED: Final = (
    "Models share the first rank where none is better beyond chance: their order means nothing. “Could be” says from "
    "which to which rank a model could stand."
)
OVER_SETS: Final = (
    " Over all data sets models are compared pair by pair on the same data sets, and a bar shows the interval of the "
    "difference to the best: another choice of data sets could change as much."
)
BARE: Final = "Nothing says how sure this order is: each number was measured once, so there are no intervals."


def sections(material: Material) -> list[Section]:
    """Return one section per leaderboard: the chart, then the table."""
    boards = material.boards
    if material.live and material.grid:
        return [_live(material.grid, boards[0], material.target)]
    return [_still(board, i, len(boards) > 1, material.summarised) for i, board in enumerate(boards)]


def _still(board: Board, i: int, several: bool, summarised: bool) -> Section:
    tag = f"leaderboard{i or ''}"
    chart = charts.leaderboard(board, f"{tag}-chart")
    heading = "Leaderboard" + (f": {board.dataset}" if several else "")
    sentences = [" ".join(summary.leader(board))] if summarised else []
    sentences.append(SAME_RANK + (FROM_ROWS if board.basis == "rows" else ""))
    return Section(tag, heading, sentences, [chart] if chart else [], [table(board, f"{tag}-table")])


def _live(grid: Grid, board: Board, target: str | None) -> Section:
    """Return the ranking of any protocol on any data set, that of ``board`` first."""
    reaches = any(entry.reach for entry in board.entries)
    several = any(column.dataset == ALL for column in grid.columns)
    opening = grid.measures[headline(grid, target).measure].protocol
    title = f"{board.metric[:1].upper()}{board.metric[1:]}"
    return Section(
        key="leaderboard",
        title="Leaderboard",
        words=[(SHARED + (OVER_SETS if several else "")) if reaches else BARE],
        charts=[Chart("leaderboard-chart", title, "", {}, 480, wide=True, view="board")],
        # The page's script fills the table; its rows are for Markdown.
        tables=[replace(table(board, "leaderboard-table"), view="board", records=[])],
        controls=[Control("protocol", "Protocol", protocol_options(grid, opening))],
        live=True,
        notes=grid.notes,
    )


def proxies(material: Material) -> list[Section]:
    """Return the cheap proxies of a ranking drawn against the final numbers, where at least two models have both."""
    drawings: list[Chart] = []
    for i, board in enumerate(material.boards if material.contents.rank else []):
        names = dict.fromkeys(name for entry in board.entries for name in entry.proxies)
        for j, name in enumerate(names):
            pairs = [
                (x, entry.final)
                for entry in board.entries
                if (x := entry.proxies.get(name)) is not None and entry.final is not None
            ]
            if len(pairs) > 1:
                rho = spearman([x for x, _ in pairs], [y for _, y in pairs])
                drawings.append(charts.proxy(board, name, f"proxy{i}-{j}", rho))
    note = "How well the cheap scores foresaw the final numbers. With few models a perfect order can be luck."
    return [Section("proxies", "Proxies against final numbers", [note], drawings)] if drawings else []


def table(board: Board, key: str) -> DataTable:
    """Return the leaderboard; entries that share a rank show it with an equals sign."""
    proxies = list(dict.fromkeys(name for entry in board.entries for name in entry.proxies))
    reach = any(entry.reach for entry in board.entries)
    shared = Counter(entry.rank for entry in board.entries)
    return DataTable(
        key=key,
        caption=f"Leaderboard by {board.metric}" + (f" on {board.dataset}" if board.dataset else ""),
        columns=[
            TableColumn("Rank", True),
            *([TableColumn("Could be", True, "the ranks that the intervals leave open")] if reach else []),
            TableColumn("Model"),
            TableColumn(board.metric[:1].upper() + board.metric[1:], True),
            TableColumn(f"{LEVEL_TEXT} interval", True),
            *(TableColumn(name, True, "a cheap proxy, from cached features") for name in proxies),
            TableColumn("Time", True),
        ],
        rows=[_leader_row(entry, shared[entry.rank] > 1, proxies, reach) for entry in board.entries],
        records=[_leader_record(entry, board, proxies) for entry in board.entries],
    )


def _leader_row(entry: BoardEntry, shared: bool, proxies: list[str], reach: bool) -> list[TableCell]:
    best = entry.rank == 1 and not shared
    marks = (Badge("best", "best"),) if best else (TIE,) if entry.tied else ()
    rank = "–" if entry.rank is None else f"{entry.rank}{'=' if shared else ''}"
    ends = entry.low, entry.high
    note = "proxies only" if entry.final is None else f"{entry.seeds} seeds" if entry.seeds > 1 else ""
    return [
        TableCell(rank, entry.rank),
        *([_reach(entry)] if reach else []),
        model_cell(entry.name, random=entry.random, badges=marks),
        TableCell(figure(entry.final), entry.final, note),
        TableCell("–" if None in ends else f"{figure(entry.low)} to {figure(entry.high)}", entry.low),
        *(figure_cell(entry.proxies.get(name)) for name in proxies),
        time_cell(entry.seconds),
    ]


def _reach(entry: BoardEntry) -> TableCell:
    if entry.reach is None:
        return TableCell("–")
    first, last = entry.reach
    return TableCell(f"{first} to {last}" if last > first else str(first), first)


def _leader_record(entry: BoardEntry, board: Board, proxies: list[str]) -> dict[str, Value]:
    return {
        "rank": entry.rank,
        "model": entry.name,
        board.metric: entry.final,
        "low": entry.low,
        "high": entry.high,
        "cannot_be_told_apart": "yes" if entry.tied else "no",
        **{f"proxy {name}": entry.proxies.get(name) for name in proxies},
        "seconds": entry.seconds,
        "seeds": entry.seeds,
        "random_start": "yes" if entry.random else "no",
    }
