"""Where the numbers come from: versions, seeds, data, weights, devices."""

from __future__ import annotations

from collections.abc import Iterator

from acclimate.reports.draw.blocks import DataTable, Section, TableCell, TableColumn
from acclimate.reports.draw.tables import text_cell
from acclimate.reports.read.collect import Contents, Doc, part, parts, words
from acclimate.reports.read.grid import Grid
from acclimate.reports.read.leaderboard import random_start
from acclimate.reports.read.material import Material
from acclimate.reports.text import Json, count, duration, joined, number

LISTED = 24  # values of one fact
# What a document may say about its origin, and how a reader calls it.
FACTS = {
    "command": "Command",
    "version": "Version",
    "versions": "Versions",
    "dataset": "Data",
    "data": "Data",
    "fingerprint": "Data fingerprint",
    "counts": "Data counts",
    "images": "Images",
    "classes": "Classes",
    "seed": "Seeds",
    "device": "Device",
    "precision": "Precision",
    "machine": "Machine",
    "weights": "Weights",
    "model_hash": "Weights",
    "bn_stats": "Batch-norm statistics",
}


def documents(contents: Contents) -> Iterator[Doc]:
    """Yield every document that says where numbers come from."""
    yield from filter(None, (contents.rank, contents.curve, contents.map))
    yield from (run.document for run in contents.runs)
    yield from contents.rows


def sections(material: Material) -> list[Section]:
    """Return the provenance as a table of facts, one line each, with all values that occur."""
    contents, grid = material.contents, material.grid
    facts: dict[str, dict[str, None]] = {}
    for document in documents(contents):
        for key, title in FACTS.items():
            for value in _values(document.get(key), key):
                facts.setdefault(title, {})[value] = None
    started = (*parts(contents.rank, "models"), *documents(contents))
    if random := dict.fromkeys(words(document, "model") for document in started if random_start(document)):
        facts["Randomly initialised"] = random
    if contents.tables and grid:
        facts["Results tables"] = dict.fromkeys(name for name, _ in contents.tables)
        facts["Rows with a number"] = {count(grid.rows): None}
    if not facts:
        return []
    rows = []
    for title, values in facts.items():
        more = f" … and {len(values) - LISTED} more" if len(values) > LISTED else ""
        rows.append([text_cell(title), TableCell("; ".join(list(values)[:LISTED]) + more, "")])
    records = [{"fact": title, "value": value} for title, values in facts.items() for value in values]
    columns = [TableColumn("Fact"), TableColumn("Value")]
    table = DataTable("provenance-table", "Provenance", columns, rows, [dict(record) for record in records])
    return [Section("provenance", "Provenance", tables=[table])]


def _values(value: Json, key: str) -> list[str]:
    if isinstance(value, list):
        return [joined([str(item) for item in value], 12)] if value else []
    if isinstance(value, dict):
        return [f"{name}: {text}" for name, inner in value.items() for text in _values(inner, name)]
    return [] if value is None or value == "" else [str(value)]


def subtitle(contents: Contents, grid: Grid | None = None) -> str:
    """Return one line below the title: the data, the command, the version, the time it took."""
    every = list(documents(contents))
    names = [words(d, "data") or words(d, "dataset") or words(part(d, "data"), "name") for d in every]
    versions = [f"acclimate {version}" for document in every if (version := words(document, "version"))]
    pieces = [*[name for name in names if name][:1], *versions[:1]]
    seconds = number(contents.rank.get("seconds"))
    pieces += [f"ranked in {duration(seconds)}"] if seconds else []
    if grid and contents.tables:
        sizes = ((grid.rows, "row"), (len(grid.models), "model"), (len(grid.datasets), "data set"))
        pieces += [f"{count(n)} {name}{'' if n == 1 else 's'}" for n, name in sizes]
    return " · ".join(pieces)
