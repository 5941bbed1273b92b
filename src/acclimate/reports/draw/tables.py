"""Tables of a report: what is read, rounded, and beside it the unrounded records for the CSV file."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from acclimate.reports.draw.blocks import Badge, Cell, Column, Table, Value
from acclimate.reports.read import runs
from acclimate.reports.read.collect import Doc, Run, part, words
from acclimate.reports.read.leaderboard import Board, Entry, group, mean_of, metric_estimate, random_start
from acclimate.reports.text import LEVEL_TEXT, count, duration, figure, fixed, number, percent, span
from acclimate.stats import METRICS

RANDOM = Badge("random", "randomly initialised")
TIE = Badge("tie", "cannot be told apart from the best")
FIRST = ("accuracy", "log_loss")  # of the metrics in a table


def metrics() -> list[str]:
    """Return the metrics that every row has, those of `FIRST` first."""
    return [*FIRST, *(name for name, metric in METRICS.items() if metric.of is not None and name not in FIRST)]


def figure_cell(value: object, digits: int = 3, note: str = "") -> Cell:
    """Return a cell with a rounded number and the number it sorts by."""
    return Cell(fixed(value, digits), number(value), note)


def leaderboard(board: Board, key: str) -> Table:
    """Return the leaderboard; entries that share a rank show it with an equals sign."""
    proxies = list(dict.fromkeys(name for entry in board.entries for name in entry.proxies))
    reach = any(entry.reach for entry in board.entries)
    shared = Counter(entry.rank for entry in board.entries)
    return Table(
        key=key,
        caption=f"Leaderboard by {board.metric}" + (f" on {board.dataset}" if board.dataset else ""),
        columns=[
            Column("Rank", True),
            *([Column("Could be", True, "the ranks that the intervals leave open")] if reach else []),
            Column("Model"),
            Column(board.metric[:1].upper() + board.metric[1:], True),
            Column(f"{LEVEL_TEXT} interval", True),
            *(Column(name, True, "a cheap proxy, from cached features") for name in proxies),
            Column("Time", True),
        ],
        rows=[_leader_row(entry, shared[entry.rank] > 1, proxies, reach) for entry in board.entries],
        records=[_leader_record(entry, board, proxies) for entry in board.entries],
    )


def viewed(table: Table, view: str) -> Table:
    """Return the table as one that the page's script fills; its rows are for Markdown."""
    return replace(table, view=view, records=[])


def _leader_row(entry: Entry, shared: bool, proxies: list[str], reach: bool) -> list[Cell]:
    best = entry.rank == 1 and not shared
    marks = [Badge("best", "best")] if best else [TIE] if entry.tied else []
    rank = "–" if entry.rank is None else f"{entry.rank}{'=' if shared else ''}"
    note = "proxies only" if entry.final is None else f"{entry.seeds} seeds" if entry.seeds > 1 else ""
    return [
        Cell(rank, entry.rank),
        *([_reach(entry)] if reach else []),
        Cell(entry.name, entry.name, badges=(*marks, *([RANDOM] if entry.random else []))),
        Cell(figure(entry.final), entry.final, note),
        Cell(_interval(entry), entry.low),
        *(figure_cell(entry.proxies.get(name)) for name in proxies),
        Cell(duration(entry.seconds), entry.seconds),
    ]


def _interval(entry: Entry) -> str:
    return "–" if entry.low is None or entry.high is None else f"{figure(entry.low)} to {figure(entry.high)}"


def _reach(entry: Entry) -> Cell:
    if entry.reach is None:
        return Cell("–")
    first, last = entry.reach
    return Cell(f"{first} to {last}" if last > first else str(first), first)


def _leader_record(entry: Entry, board: Board, proxies: list[str]) -> dict[str, Value]:
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


def recipes(found: list[Run]) -> Table:
    """Return runs side by side, with the share of parameters that each one trained beside its name."""
    labels = runs.labels_of(found)
    splits = [split for split in ("val", "test") if any(part(run.document, split) for run in found)]
    wanted = [(s, m) for s in splits for m in (metrics() if s == splits[-1] else FIRST)]
    shown = [(s, m) for s, m in wanted if any(m in part(run.document, s) for run in found)]
    return Table(
        key="recipes-table",
        caption="Recipes, with the share of parameters that each stage trained",
        columns=[
            Column("Recipe"),
            Column("Model"),
            Column("Labels", True, "labels per class, or share of all labels, that training saw"),
            *(Column(f"{_split(s)} {METRICS[m].title}", True) for s, m in shown),
            Column("Trained", True, "the largest number of parameters that a stage trained"),
            Column("Time", True),
        ],
        rows=[_recipe_row(run, labels[run.name], shown) for run in found],
        records=[_recipe_record(run, labels[run.name], [(s, m) for s in splits for m in metrics()]) for run in found],
    )


def _split(name: str) -> str:
    return {"val": "Validation", "test": "Test"}[name]


def _recipe_row(run: Run, label: str, shown: list[tuple[str, str]]) -> list[Cell]:
    share = runs.largest_share(run)
    model = words(run.document, "model", "–")
    return [
        Cell(runs.recipe(run), label, note=runs.fractions(run)),
        Cell(model, model, badges=(RANDOM,) if random_start(run.document) else ()),
        Cell(words(run.document, "labels", "all"), words(run.document, "labels", "all")),
        *(_measured(run, split, metric) for split, metric in shown),
        Cell(count(share[0]) if share else "–", share[0] if share else None),
        Cell(duration(runs.seconds(run)), runs.seconds(run)),
    ]


def _measured(run: Run, split: str, metric: str) -> Cell:
    ends = runs.interval(run, split) if metric == "accuracy" else None
    note = span(*ends) if ends else ""
    return figure_cell(part(run.document, split).get(metric), METRICS[metric].digits, note)


def _recipe_record(run: Run, label: str, shown: list[tuple[str, str]]) -> dict[str, Value]:
    share = runs.largest_share(run)
    return {
        "recipe": label,
        "run": run.name,
        "model": words(run.document, "model"),
        "labels": words(run.document, "labels", "all"),
        **{f"{split} {metric}": number(part(run.document, split).get(metric)) for split, metric in shown},
        "stages": runs.fractions(run),
        "trainable": share[0] if share else None,
        "total": share[1] if share else None,
        "seconds": runs.seconds(run),
        "random_start": "yes" if random_start(run.document) else "no",
    }


def result_rows(rows: list[Doc]) -> Table:
    """Return the result rows, averaged over seeds; the CSV file has every row by itself."""
    groups = group(rows, ("dataset", "model", "protocol", "labels"))
    splits = [s for s in ("val", "test") if any(part(part(row, "metrics"), s) for row in rows)]
    shown = [(s, m) for s in splits for m in FIRST]
    columns = [
        *(Column(title) for title in ("Data", "Model", "Protocol")),
        Column("Labels", True),
        Column("Seeds", True),
        *(Column(f"{_split(s)} {METRICS[m].title}", True) for s, m in shown),
        Column("Trained", True),
        Column("Time", True),
    ]
    body = [_group_row(key, members, shown) for key, members in groups.items()]
    return Table("rows-table", "Every measurement, averaged over seeds", columns, body, [flat(r) for r in rows], True)


def _group_row(key: tuple[str, ...], members: list[Doc], shown: list[tuple[str, str]]) -> list[Cell]:
    first, seconds = members[0], mean_of(members, "seconds")
    cells = []
    for split, metric in shown:
        got = metric_estimate(members, split, metric)
        cells.append(
            Cell("–") if got is None else figure_cell(got.mean, METRICS[metric].digits, span(got.low, got.high))
        )
    share = percent(first.get("trainable"), first.get("total"))
    return [
        Cell(key[0], key[0]),
        Cell(key[1], key[1], badges=(RANDOM,) if any(random_start(row) for row in members) else ()),
        Cell(key[2], key[2], note=share),
        Cell(key[3] or "–", number(first.get("labels")) or key[3]),
        Cell(str(len(members)), len(members)),
        *cells,
        Cell(count(first.get("trainable")), number(first.get("trainable"))),
        Cell(duration(seconds), seconds),
    ]


def flat(document: Doc, before: str = "") -> dict[str, Value]:
    """Return a document with its inner objects spelt as ``outer.inner`` keys, for one line of CSV."""
    out: dict[str, Value] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            out |= flat(value, f"{before}{key}.")
        elif isinstance(value, list):
            out[before + key] = " ".join(str(item) for item in value)
        else:
            out[before + key] = value
    return out
