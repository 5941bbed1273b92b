"""Tables of what `agreement` answered: each proxy, groups of models, in domain and out of it."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from acclimate.reports.draw.blocks import Cell, Column, Table, Value
from acclimate.reports.draw.tables import figure_cell
from acclimate.reports.read.collect import Doc, part, parts, words
from acclimate.reports.read.foresight import Trust
from acclimate.reports.text import LEVEL_TEXT, number, percent, signed, span, visible

NUMBERS = ("spearman", "kendall", "weighted_tau", "pearson", "agreement", "top_k_overlap", "regret")
LISTS = (("static_baseline", "a list by mean rank on the other data sets"), ("size_baseline", "a list by size"))


def remark(trust: Trust) -> str:
    """Return how the intervals came about."""
    return (
        f"Intervals ({LEVEL_TEXT}) resample the models {trust.answer['resamples']:,} times. The filters hide dots; "
        "every correlation is over all models."
    )


def notes(trust: Trust) -> list[str]:
    """Return what else a reader may want to know beside the numbers."""
    told = dict.fromkeys([*trust.notes, *(visible(str(note)) for note in trust.answer["notes"])])
    return [f"{note[:1].upper()}{note[1:].rstrip('.')}." for note in told]


def proxies(trust: Trust) -> Table:
    """Return each proxy against the target, averaged over data sets, and what a fixed list would have done."""
    return _proxies(trust.answer, f"Proxies of '{trust.target}', each on its own data sets", "trust-table")


def _proxies(answer: Doc | dict[str, Any], caption: str, key: str) -> Table:
    lines = [(words(one, "proxy"), one, False) for one in parts(answer, "proxies")]
    lines += [(title, found, True) for name, title in LISTS if (found := part(answer, name))]
    unit = words(answer, "regret_unit") or "the metric"
    columns = [
        Column("Proxy"),
        Column("Spearman", True, "rank correlation, mean over data sets"),
        Column("Interval", True, "bootstrap over the models"),
        Column("Kendall", True),
        Column("Pairs alike", True, "share of the pairs of models that the proxy orders as the target does"),
        Column("Regret", True, f"best target value less that of the proxy's first choice, in {unit}"),
        Column("Against the first", True, "Spearman less that of the first proxy, paired"),
        Column("Models", True),
    ]
    rows = [_proxy(*line) for line in lines]
    return Table(key, caption, columns, rows, [_record(name, one) for name, one, _ in lines])


def _proxy(name: str, one: Doc, listed: bool) -> list[Cell]:
    found = part(part(one, "intervals"), "spearman")
    alike = number(one.get("agreement"))
    return [
        Cell(name, name),
        figure_cell(one.get("spearman"), 2),
        Cell(span(found.get("low"), found.get("high"), 2) or "–", number(found.get("low"))),
        figure_cell(one.get("kendall"), 2),
        Cell(percent(alike, 1) or "–", alike),
        figure_cell(one.get("regret")),
        _lead(part(part(one, "ahead"), "spearman"), listed),
        Cell(words(one, "n_models"), number(one.get("n_models"))),
    ]


def _lead(ahead: Doc, listed: bool) -> Cell:
    """Return how far a line is ahead of the first proxy; of a list it is the proxy's lead that the document has."""
    sign = -1.0 if listed else 1.0
    known = (number(ahead.get(key)) for key in ("difference", "low", "high"))
    change, low, high = (None if value is None else sign * value for value in known)
    if change is None:
        return Cell("–")
    return Cell(signed(change, 2), change, span(high, low, 2) if listed else span(low, high, 2))


def _record(name: str, one: Doc) -> dict[str, Value]:
    out: dict[str, Value] = {"proxy": name}
    for key in NUMBERS:
        found = part(part(one, "intervals"), key)
        ends = {f"{key} {end}": number(found.get(end)) for end in ("low", "high")}
        out |= {key: number(one.get(key)), **ends}
    return out | {"models": number(one.get("n_models"))}


def groups(trust: Trust) -> list[Table]:
    """Return each proxy within each group of models; nothing where none were asked for."""
    found = part(trust.answer, "groups")
    lines = parts(found, "groups")
    if not lines:
        return []
    numbers = (Column(title, True) for title in ("Spearman", "Interval", "Models"))
    columns = [Column("Group"), Column("Proxy"), *numbers]
    rows = []
    records: list[dict[str, Value]] = []
    for line in lines:
        ends = part(part(line, "intervals"), "spearman")
        low, high = number(ends.get("low")), number(ends.get("high"))
        group, proxy = visible(words(line, "group")), visible(words(line, "proxy"))
        rho, n = number(line.get("spearman")), number(line.get("n_models"))
        cells = [Cell(group, group), Cell(proxy, proxy), figure_cell(rho, 2), Cell(span(low, high, 2) or "–", low)]
        rows.append([*cells, Cell(words(line, "n_models"), n)])
        records.append({"group": group, "proxy": proxy, "spearman": rho, "low": low, "high": high, "models": n})
    caption = f"Within groups by {words(found, 'by')}"
    return [Table("groups-table", caption, columns, rows, records, folded=True)]


def averages(trust: Trust) -> Table:
    """Return each proxy's mean correlation in domain, out of domain, and by kind of shift."""
    return _parts(trust.averages, "Averages in and out of domain", "domains-table")


def compared(document: Doc) -> tuple[list[str], list[Table]]:
    """Return the words and the tables of a ``compare.json``, which may be of another table than lies here."""
    said = [verdict] if (verdict := words(document, "verdict")) else []
    if not parts(document, "proxies"):
        return said, []
    caption = (
        f"Proxies of '{words(document, 'target')}', as asked of {PurePath(words(document, 'results', 'a table')).name}"
    )
    shown = [_proxies(document, caption, "compare-table")]
    if lines := [_flat(line) for line in parts(part(document, "ood"), "averages")]:
        shown.append(_parts(lines, "In and out of domain, as asked", "compare-ood-table"))
    return said, shown


def _flat(line: Doc) -> dict[str, Any]:
    """Return an average of a ``compare.json`` as `Trust.averages` has them."""
    ends = part(part(line, "intervals"), "spearman")
    known = {"spearman": line.get("spearman"), "low": ends.get("low"), "high": ends.get("high")}
    named = {"proxy": words(line, "proxy"), "part": words(line, "part"), "cells": int(number(line.get("cells")) or 0)}
    return {**named, **{key: number(value) for key, value in known.items()}}


def _parts(lines: list[dict[str, Any]], caption: str, key: str) -> Table:
    numbers = (Column(title, True) for title in ("Spearman", "Interval", "Cells"))
    rows = [
        [
            Cell(line["proxy"], line["proxy"]),
            Cell(line["part"], line["part"]),
            figure_cell(line["spearman"], 2),
            Cell(span(line["low"], line["high"], 2) or "–", line["low"]),
            Cell(str(line["cells"]), line["cells"]),
        ]
        for line in lines
    ]
    records = [{name: line[name] for name in ("proxy", "part", "spearman", "low", "high", "cells")} for line in lines]
    return Table(key, caption, [Column("Proxy"), Column("Part"), *numbers], rows, records)
