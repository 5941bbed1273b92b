"""Whether cheap protocols foresee the target: each proxy, groups of models, in domain and out of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import Any

from acclimate.reports.draw.blocks import Chart, Control, DataTable, Section, TableCell, TableColumn, Value
from acclimate.reports.draw.tables import ends_cell, figure_cell, share_cell, text_cell
from acclimate.reports.read.collect import Doc, part, parts, words
from acclimate.reports.read.foresight import Foresight
from acclimate.reports.read.material import Material
from acclimate.reports.text import LEVEL_TEXT, number, signed, span, visible

NUMBERS = ("spearman", "kendall", "weighted_tau", "pearson", "agreement", "top_k_overlap", "regret")
LISTS = (("static_baseline", "a list by mean rank on the other data sets"), ("size_baseline", "a list by size"))


PART, GROUP = ("proxy", "part"), ("group", "proxy")  # what a line of correlations is of


def sections(material: Material) -> list[Section]:
    """Return whether cheap protocols foresee the target, drawn and in numbers."""
    foresight = material.foresight
    if foresight is None:
        return []
    options = [(str(i), matrix.proxy) for i, matrix in enumerate(foresight.matrices)]
    sets = [(str(i), name) for i, name in enumerate(foresight.datasets)]
    controls = [Control("proxy", "Proxy", options)]
    if len(sets) > 1:
        same = [("", "the same data set"), *sets]
        controls += [Control("at", "Data set", sets), Control("source", "Proxy read on", same)]
    remark = (
        f"Intervals ({LEVEL_TEXT}) resample the models {foresight.answer['resamples']:,} times. The filters hide dots; "
        "every correlation is over all models."
    )
    caption = f"Proxies of '{foresight.target}', each on its own data sets"
    return [
        Section(
            "trust",
            "Can the cheap numbers be trusted?",
            [foresight.answer["verdict"], remark],
            [Chart("trust-chart", "Proxy against target", "", {}, 460, wide=True, view="scatter")],
            [_proxies(foresight.answer, caption, "trust-table"), *groups(foresight)],
            controls=controls,
            live=True,
            notes=notes(foresight),
        )
    ]


def domains(material: Material) -> list[Section]:
    """Return how well each data set foretells every other one."""
    foresight = material.foresight
    if foresight is None or len(foresight.datasets) < 2:
        return []
    proxies = [(str(i), matrix.proxy) for i, matrix in enumerate(foresight.matrices)]
    chart = Chart("domains-chart", "In and out of domain", "", {}, 520, wide=True, view="heat")
    sentence = (
        f"Rows: where the proxy was read. Columns: where '{foresight.target}' is to be predicted. The diagonal, "
        "framed, is in domain. Each number is Spearman's rank correlation over the models that have both."
    )
    control = Control("heat", "Proxy", proxies)
    table = _correlations(foresight.averages, PART, "cells", "Averages in and out of domain", "domains-table")
    return [Section("domains", "In and out of domain", [sentence], [chart], [table], controls=[control], live=True)]


def notes(foresight: Foresight) -> list[str]:
    """Return what else a reader may want to know beside the numbers."""
    lines = dict.fromkeys([*foresight.notes, *(visible(str(note)) for note in foresight.answer["notes"])])
    return [f"{note[:1].upper()}{note[1:].rstrip('.')}." for note in lines]


def _proxies(answer: Doc | dict[str, Any], caption: str, key: str) -> DataTable:
    """Return each proxy against the target, averaged over data sets, and what a fixed list would have done."""
    lines = [(words(one, "proxy"), one, False) for one in parts(answer, "proxies")]
    lines += [(title, baseline, True) for name, title in LISTS if (baseline := part(answer, name))]
    unit = words(answer, "regret_unit") or "the metric"
    columns = [
        TableColumn("Proxy"),
        TableColumn("Spearman", True, "rank correlation, mean over data sets"),
        TableColumn("Interval", True, "bootstrap over the models"),
        TableColumn("Kendall", True),
        TableColumn("Pairs alike", True, "share of the pairs of models that the proxy orders as the target does"),
        TableColumn("Regret", True, f"best target value less that of the proxy's first choice, in {unit}"),
        TableColumn("Against the first", True, "Spearman less that of the first proxy, paired"),
        TableColumn("Models", True),
    ]
    rows = [_proxy(*line) for line in lines]
    return DataTable(key, caption, columns, rows, [_record(name, one) for name, one, _ in lines])


def _proxy(name: str, one: Doc, listed: bool) -> list[TableCell]:
    return [
        text_cell(name),
        figure_cell(one.get("spearman"), 2),
        ends_cell(part(part(one, "intervals"), "spearman"), 2),
        figure_cell(one.get("kendall"), 2),
        share_cell(one.get("agreement")),
        figure_cell(one.get("regret")),
        _lead(part(part(one, "ahead"), "spearman"), listed),
        TableCell(words(one, "n_models"), number(one.get("n_models"))),
    ]


def _lead(ahead: Doc, listed: bool) -> TableCell:
    """Return how far a line is ahead of the first proxy; of a list it is the proxy's lead that the document has."""
    sign = -1.0 if listed else 1.0
    numbers = (number(ahead.get(key)) for key in ("difference", "low", "high"))
    change, low, high = (None if value is None else sign * value for value in numbers)
    if change is None:
        return TableCell("–")
    return TableCell(signed(change, 2), change, span(high, low, 2) if listed else span(low, high, 2))


def _record(name: str, one: Doc) -> dict[str, Value]:
    out: dict[str, Value] = {"proxy": name}
    for key in NUMBERS:
        interval = part(part(one, "intervals"), key)
        ends = {f"{key} {end}": number(interval.get(end)) for end in ("low", "high")}
        out |= {key: number(one.get(key)), **ends}
    return out | {"models": number(one.get("n_models"))}


def groups(foresight: Foresight) -> list[DataTable]:
    """Return each proxy within each group of models; nothing where none were asked for."""
    grouped = part(foresight.answer, "groups")
    lines = [_flat(line, GROUP) | {"models": number(line.get("n_models"))} for line in parts(grouped, "groups")]
    table = _correlations(lines, GROUP, "models", f"Within groups by {words(grouped, 'by')}", "groups-table")
    return [replace(table, folded=True)] if lines else []


def compared(material: Material) -> list[Section]:
    """Return words and tables of a ``compare.json``, which may be of another table than lies here."""
    document, tables = material.contents.compare, []
    sentences = [verdict] if (verdict := words(document, "verdict")) else []
    if parts(document, "proxies"):
        source = PurePath(words(document, "results", "a table")).name
        caption = f"Proxies of '{words(document, 'target')}', as asked of {source}"
        tables = [_proxies(document, caption, "compare-table")]
        averages = parts(part(document, "ood"), "averages")
        lines = [_flat(line, PART) | {"cells": int(number(line.get("cells")) or 0)} for line in averages]
        caption = "In and out of domain, as asked"
        tables += [_correlations(lines, PART, "cells", caption, "compare-ood-table")] if lines else []
    return [Section("compare", "What was asked of compare", sentences, tables=tables)] if sentences or tables else []


def _flat(line: Doc, named: tuple[str, str]) -> dict[str, Any]:
    """Return the names of a line of `comparison` and its correlation, as `Foresight.averages` has them."""
    ends = part(part(line, "intervals"), "spearman")
    numbers = {"spearman": line.get("spearman"), "low": ends.get("low"), "high": ends.get("high")}
    return {name: visible(words(line, name)) for name in named} | {key: number(v) for key, v in numbers.items()}


def _correlations(lines: list[dict[str, Any]], named: tuple[str, str], size: str, caption: str, key: str) -> DataTable:
    """Return mean correlations with intervals, by the two names of each line, and the ``size`` that each is over."""
    numbers = (TableColumn(title, True) for title in ("Spearman", "Interval", size.capitalize()))
    rows = [
        [
            *(text_cell(line[name]) for name in named),
            figure_cell(line["spearman"], 2),
            ends_cell(line, 2),
            TableCell(f"{line[size]:.0f}", line[size]),
        ]
        for line in lines
    ]
    return DataTable(key, caption, [*(TableColumn(name.capitalize()) for name in named), *numbers], rows, [*lines])
