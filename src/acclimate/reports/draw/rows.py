"""Every result row, averaged over seeds."""

from __future__ import annotations

from acclimate.reports.draw.blocks import DataTable, Section, TableCell, TableColumn
from acclimate.reports.draw.tables import FIRST, figure_cell, flat, model_cell, split_title, text_cell, time_cell
from acclimate.reports.read.collect import Doc, part
from acclimate.reports.read.leaderboard import group, mean_of, metric_estimate, random_start
from acclimate.reports.read.material import Material
from acclimate.reports.text import count, number, percent, span
from acclimate.stats import METRICS


def sections(material: Material) -> list[Section]:
    """Return every result row, averaged over seeds."""
    if not material.listed:
        return []
    note = "The CSV file holds each row by itself, with all its settings."
    return [Section("rows", "All measurements", [note], tables=[table(material.contents.rows)])]


def table(rows: list[Doc]) -> DataTable:
    """Return the result rows, averaged over seeds; the CSV file has every row by itself."""
    groups = group(rows, ("dataset", "model", "protocol", "labels"))
    splits = [s for s in ("val", "test") if any(part(part(row, "metrics"), s) for row in rows)]
    numbers = [(s, m) for s in splits for m in FIRST]
    columns = [
        *(TableColumn(title) for title in ("Data", "Model", "Protocol")),
        TableColumn("Labels", True),
        TableColumn("Seeds", True),
        *(TableColumn(f"{split_title(s)} {METRICS[m].title}", True) for s, m in numbers),
        TableColumn("Trained", True),
        TableColumn("Time", True),
    ]
    body = [_group_row(key, members, numbers) for key, members in groups.items()]
    caption = "Every measurement, averaged over seeds"
    return DataTable("rows-table", caption, columns, body, [flat(row) for row in rows], folded=True)


def _group_row(key: tuple[str, ...], members: list[Doc], numbers: list[tuple[str, str]]) -> list[TableCell]:
    first = members[0]
    return [
        text_cell(key[0]),
        model_cell(key[1], random=any(random_start(row) for row in members)),
        text_cell(key[2], note=percent(first.get("trainable"), first.get("total"))),
        TableCell(key[3] or "–", number(first.get("labels")) or key[3]),
        TableCell(str(len(members)), len(members)),
        *(_estimate(members, split, metric) for split, metric in numbers),
        TableCell(count(first.get("trainable")), number(first.get("trainable"))),
        time_cell(mean_of(members, "seconds")),
    ]


def _estimate(members: list[Doc], split: str, metric: str) -> TableCell:
    mean, low, high, _ = metric_estimate(members, split, metric) or (None,) * 4
    return figure_cell(mean, METRICS[metric].digits, span(low, high))
