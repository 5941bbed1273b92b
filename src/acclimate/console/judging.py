"""How compare is shown."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from acclimate.console.tables import Document, table

SHOWN = 20  # data sets, groups or cells of one table
NUMBERS = {
    "spearman": "Spearman",
    "pearson": "Pearson",
    "pearson_logit": "Pearson, log odds",
    "kendall": "Kendall tau-b",
    "weighted_tau": "weighted tau",
    "agreement": "pairs ordered alike",
    "top_k_overlap": "shared of the top {top}",
    "regret": "regret of its first",
}
# What a line of a data set, a group or a domain shows: no wider than a terminal.
COLUMNS = {
    "n_models": "models",
    "spearman": "Spearman",
    "interval": "interval",
    "kendall": "Kendall",
    "agreement": "alike",
    "regret": "regret",
}


def compare(console: Console, document: Document) -> None:
    """Print the document of ``compare``: the proxy beside fixed lists, then details, then the answer."""
    _candidates(console, document)
    _datasets(console, document)
    _groups(console, document)
    _domains(console, document)
    _influence(console, document)
    for note in document["notes"]:
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False)
    for other in document["proxies"][1:]:
        console.print(escape(_against(other, document["proxy"])), highlight=False)
    console.print(f"[bold]{escape(document['verdict'])}[/]", highlight=False)
    if "out" in document:
        console.print(f"Written: {escape(document['out'])}")


def _candidates(console: Console, document: Document) -> None:
    """Print one line a number and one column a candidate, with its interval."""
    found = {line["proxy"]: line for line in document["proxies"]}
    for key, name in (("static_baseline", "(static list)"), ("size_baseline", "(list by size)")):
        if document[key] is not None:
            found[name] = document[key]
    if document["ceiling"]["reason"] is None:
        found["(perfect proxy)"] = {**document["ceiling"], "intervals": {}}
    rows = [
        {"": title.format(top=document["top"]), **{name: _spanned(line, key) for name, line in found.items()}}
        for key, title in NUMBERS.items()
        if any(line.get(key) is not None for line in found.values())
    ]
    console.print(f"'{escape(document['target'])}' is predicted by:", highlight=False)
    table(console, rows, {"": "", **{name: escape(name) for name in found}})


def _spanned(line: Document, key: str) -> str | None:
    value, span = line.get(key), line["intervals"].get(key)
    if value is None:
        return None
    digits = 3 if key == "regret" else 2
    return (
        f"{value:.{digits}f} ({span['low']:.{digits}f} to {span['high']:.{digits}f})" if span else f"{value:.{digits}f}"
    )


def _datasets(console: Console, document: Document) -> None:
    lines = document["datasets"]
    if len(lines) < 2:
        return
    rows = [
        {
            **line,
            "interval": _interval(line),
            "holm": line["p"]["holm"],
        }
        for line in lines[:SHOWN]
    ]
    where = {"proxy": "proxy", "dataset": "data set"} if len(document["proxies"]) > 1 else {"dataset": "data set"}
    if any(line["source"] != line["dataset"] for line in lines):
        where = {"proxy": "proxy", "source": "proxy on", "dataset": "target on"}
    columns = dict(COLUMNS)
    if len({line["n_models"] for line in lines}) == 1:
        del columns["n_models"]
    console.print()
    table(console, rows, {**where, **columns, "holm": "p (Holm)"})
    _more(console, len(lines))


def _groups(console: Console, document: Document) -> None:
    groups = document["groups"]
    if groups is None:
        return
    console.print(f"\nBy {escape(groups['by'])}, within each:")
    rows = [{**line, "interval": _interval(line)} for line in groups["groups"]]
    table(console, rows[:SHOWN], {"group": escape(groups["by"]), "proxy": "proxy", **COLUMNS})
    _more(console, len(rows))
    small = [f"{name} ({n})" for name, n in groups["sizes"].items() if n < 3]
    if small:
        console.print(f"Fewer than three models: {escape(', '.join(small))}", highlight=False)
    for part, lines in groups["pairs"].items():
        for line in lines:
            if line["agreement"] is not None:
                span = line["interval"]
                told = f" ({span['low']:.0%} to {span['high']:.0%})" if span else ""
                console.print(
                    escape(
                        f"Pairs {part} {groups['by']}: '{line['proxy']}' orders {line['agreement']:.0%}{told} rightly"
                    ),
                    highlight=False,
                )


def _domains(console: Console, document: Document) -> None:
    ood = document["ood"]
    if ood is None:
        return
    console.print("\nIn and out of domain:")
    rows = [{**line, "interval": _interval(line)} for line in ood["averages"]]
    table(console, rows, {"proxy": "proxy", "part": "", "cells": "cells", **COLUMNS})
    for proxy in dict.fromkeys(cell["proxy"] for cell in ood["cells"]):
        cells = [cell for cell in ood["cells"] if cell["proxy"] == proxy]
        targets = list(dict.fromkeys(cell["dataset"] for cell in cells))[:SHOWN]
        console.print(f"\nSpearman of '{escape(proxy)}' on the row's data set with the target on the column's:")
        grid: dict[str, Document] = {}
        for cell in cells:
            grid.setdefault(cell["source"], {"": cell["source"]})[f"on {cell['dataset']}"] = _short(cell["spearman"])
        table(console, list(grid.values())[:SHOWN], {"": "", **{f"on {name}": escape(name) for name in targets}})


def _influence(console: Console, document: Document) -> None:
    most = document["influence"]["most"]
    if most:
        low, high = document["influence"]["spearman_low"], document["influence"]["spearman_high"]
        console.print(
            f"\nWithout one model Spearman lies between {low:.2f} and {high:.2f}; "
            f"{escape(most[0]['model'])} moves it most ({most[0]['change']:+.3f} without it)",
            highlight=False,
        )


def _interval(line: Document) -> str:
    found = line["intervals"]["spearman"]
    return "-" if found is None else f"{found['low']:.2f} to {found['high']:.2f}"


def _against(other: Document, first: str) -> str:
    ahead = (other["ahead"] or {}).get("spearman")
    if ahead is None or "low" not in ahead:
        return f"'{other['proxy']}' and '{first}' cannot be compared: they share no target"
    span = f"{ahead['difference']:+.2f} ({ahead['low']:+.2f} to {ahead['high']:+.2f})"
    if ahead["low"] > 0 or ahead["high"] < 0:
        return f"Spearman of '{other['proxy']}' is {'above' if ahead['low'] > 0 else 'below'} that of '{first}': {span}"
    return f"'{other['proxy']}' and '{first}' cannot be told apart: Spearman {span}"


def _more(console: Console, n: int) -> None:
    if n > SHOWN:
        console.print(f"and {n - SHOWN} more, see --json")


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
