"""The leaderboard: a table of who leads and who cannot be told apart, its chart, and the proxies beside it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Final

from acclimate.reports.draw import plot, summary
from acclimate.reports.draw.blocks import Chart, Control, DataTable, Figure, Section, TableCell, TableColumn, Value
from acclimate.reports.draw.live import protocol_options
from acclimate.reports.draw.plot import box, layout, scatter, whiskers
from acclimate.reports.draw.tables import BEST, TIE, figure_cell, model_cell, time_cell
from acclimate.reports.read.grid import ALL, Grid
from acclimate.reports.read.leaderboard import Board, BoardEntry
from acclimate.reports.read.material import Material
from acclimate.reports.read.ranks import headline
from acclimate.reports.text import LEVEL_TEXT, figure, fixed, plotly, short, signed, span
from acclimate.stats import spearman

DRAWN: Final = 60  # entries with a dot
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
    chart = _drawn(board, f"{tag}-chart")
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
        charts = [_foreseen(board, name, f"proxy{i}-{j}") for j, name in enumerate(board.proxies)]
        drawings += [chart for chart in charts if chart]
    note = "How well the cheap scores foresaw the final numbers. With few models a perfect order can be luck."
    return [Section("proxies", "Proxies against final numbers", [note], drawings)] if drawings else []


def table(board: Board, key: str) -> DataTable:
    """Return the leaderboard; entries that share a rank show it with an equals sign."""
    proxies = board.proxies
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
    marks = (BEST,) if best else (TIE,) if entry.tied else ()
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


def _drawn(board: Board, key: str) -> Chart | None:
    """Draw every entry as a dot with its interval; a band shows the interval of the best."""
    entries = board.measured[:DRAWN]
    if not entries:
        return None
    shape = layout(board.metric, "")
    shape["yaxis"] |= {
        "tickvals": list(range(len(entries))),
        "ticktext": [plotly(short(entry.name, 24)) for entry in entries],
        "range": [len(entries) - 0.4, -0.6],
        "showgrid": False,
        "tickfont": {"size": 12, "color": "@ink"},
    }
    top = entries[0]
    if top.low is not None and top.high is not None:
        band = box("rect", ("x", "paper"), (top.low, top.high), (0, 1), {"width": 0})
        shape["shapes"] = [band | {"layer": "below", "fillcolor": "@band"}]
    traces = [_dots(entries, tied=True), _dots(entries, tied=False)]
    better = "further right is better" if board.higher else "further left is better"
    return Chart(
        key=key,
        title=f"{board.metric[:1].upper()}{board.metric[1:]}, with intervals",
        caption=f"Dots are the measured values, bars their {LEVEL_TEXT} intervals; {better}. Blue is "
        "the top set, whose members cannot be told apart from the best; hollow: from random weights; "
        "the band is the interval of the best.",
        figure=plot.figure(traces, shape),
        height=84 + 32 * len(entries),
        wide=True,
    )


def _dots(entries: list[BoardEntry], tied: bool) -> Figure:
    dots = [(i, e, e.final) for i, e in enumerate(entries) if e.tied is tied and e.final is not None]
    mids = [final for _, _, final in dots]
    tint = "@c1" if tied else "@muted"
    symbols = ["circle-open" if e.random else "circle" for _, e, _ in dots]
    marker = {"size": 10, "color": tint, "symbol": symbols, "line": {"width": 2, "color": tint}}
    bars = whiskers([e.low for _, e, _ in dots], mids, [e.high for _, e, _ in dots]) | {"color": tint}
    trace = scatter("markers", mids, [i for i, _, _ in dots], marker, [_tell(e) for _, e, _ in dots])
    return trace | {"error_x": bars}


def _tell(entry: BoardEntry) -> str:
    interval = span(entry.low, entry.high)
    mark = "<br>randomly initialised" if entry.random else ""
    return f"{plotly(entry.name)}<br>{fixed(entry.final)}{f' ({interval})' if interval else ''}{mark}"


def _foreseen(board: Board, name: str, key: str) -> Chart | None:
    """Draw one cheap proxy against the final number, if two models have both; the dots carry ranks."""
    models = [(e, x, y) for e in board.entries if (x := e.proxies.get(name)) is not None and (y := e.final) is not None]
    if len(models) < 2:
        return None
    numbers, finals = [x for _, x, _ in models], [y for _, _, y in models]
    marker = {"size": 19, "color": ["@c1" if e.tied else "@grey" for e, _, _ in models], "opacity": 1}
    texts = [f"{_tell(e)}<br>{plotly(name)} {fixed(x)}" for e, x, _ in models]
    trace = scatter("markers+text", numbers, finals, marker, texts) | {
        "error_y": whiskers([e.low for e, _, _ in models], finals, [e.high for e, _, _ in models])
        | {"color": "@rule", "thickness": 1.5},
        "text": [str(e.rank or "") for e, _, _ in models],
        "textfont": {"size": 11, "color": "@onaccent"},
    }
    rho = spearman(numbers, finals)
    correlation = "" if rho is None else f" Spearman's rank correlation over {len(models)} models: {signed(rho, 2)}."
    return Chart(
        key=key,
        title=f"{short(name, 40)} against {board.metric}",
        caption=f"Each dot is a model and carries its rank; blue is the top set.{correlation}",
        figure=plot.figure([trace], layout(name, board.metric)),
    )
