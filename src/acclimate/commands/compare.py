"""``acclimate compare``: whether a cheap protocol orders models as an expensive one does."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acclimate.commands.shared import Command, Device, Document, Seed, head, listed
from acclimate.commands.tables import escape, more, notes, table

if TYPE_CHECKING:
    from rich.console import Console

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


def compare(
    results: Annotated[str | Path, typer.Argument(help="Table (.csv, .tsv, .parquet, .jsonl) or results folder.")],
    *,
    proxy: Annotated[
        str | Sequence[str],
        typer.Option(help="Protocol that predicts, or several with commas; knn@10: a label budget."),
    ],
    target: Annotated[str, typer.Option(help="Protocol that is predicted.")],
    dataset: Annotated[str | None, typer.Option(help="Only this data set; default: all that have both.")] = None,
    target_dataset: Annotated[str | None, typer.Option(help="Read the target on this data set.")] = None,
    metric: Annotated[str | None, typer.Option(help="Of both, or PROXY,TARGET.")] = None,
    by: Annotated[str | None, typer.Option(help="Column: groups of models, or settings of the proxy.")] = None,
    ood: Annotated[bool, typer.Option("--ood", help="Every data set predicts every other one.")] = False,
    shifts: Annotated[str | Path | None, typer.Option(help="CSV file: dataset,shift or source,dataset,shift.")] = None,
    where: Annotated[
        list[str] | Sequence[str] | None, typer.Option(help="COLUMN=VALUE: keep these rows; repeatable.")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="fraction, percent or other; default: found out.")] = None,
    smaller_is_better: Annotated[
        list[str] | Sequence[str] | None,
        typer.Option(help="Metric of which less is better, besides log_loss and ece; repeatable."),
    ] = None,
    top: Annotated[int, typer.Option(help="The k of the top-k overlap.", min=1)] = 3,
    resamples: Annotated[int, typer.Option(help="Of bootstrap and permutations.", min=100)] = 2000,
    level: Annotated[float, typer.Option(help="Of the intervals.")] = 0.9,
    out: Annotated[Path | str | None, typer.Option(help="Folder that gets compare.json.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> Document:
    """Say whether a cheap protocol orders models as an expensive one does, from any table of results.

    Parameters
    ----------
    results
        A table (CSV, TSV, Parquet, JSON lines) with the columns ``model, dataset, protocol, metric, value`` and others
        as ``docs/compare.md`` has them, or a results folder.
    proxy
        The protocol that predicts; several, as a list or with commas, are compared with the first.
    target
        The protocol that is predicted. It and a proxy may name a label budget: ``knn@10``.
    dataset, target_dataset
        Where to read the proxy and the target; default: every data set that has both.
    metric
        Of both, or ``PROXY,TARGET``.
    by
        A column: groups of models, or settings of the proxy, such as feature normalisation.
    ood
        Every data set predicts every other one.
    shifts
        A CSV file ``dataset,shift`` or ``source,dataset,shift``; default: the column ``shift``.
    where
        Conditions ``COLUMN=VALUE`` on rows.
    unit
        ``fraction``, ``percent`` or ``other``; by default it is read off the values, and must be given where they mix.
    smaller_is_better
        Metrics of which less is better, besides ``log_loss`` and ``ece``.
    top
        The k of the top-k overlap.
    resamples, level
        Of the bootstrap and its intervals.
    out
        A folder that gets ``compare.json``.

    Returns
    -------
    The document, with the numbers of the first proxy at its top; see ``docs/compare.md``.

    Raises
    ------
    InputError
        For a table or a question that cannot be answered.
    """
    from acclimate.comparison import Question, StoredImages, analyse, keep, read_shifts, read_table
    from acclimate.storage.results import Results

    started = time.perf_counter()
    rows = keep(read_table(results), where or ())
    question = Question(
        proxies=_proxies(proxy, set(rows["protocol"])),
        target=target,
        dataset=dataset,
        target_dataset=target_dataset,
        metric=metric,
        by=by,
        ood=ood,
        shifts=None if shifts is None else read_shifts(shifts),
        unit=unit,
        smaller_is_better=tuple(smaller_is_better or ()),
        top=top,
        resamples=resamples,
        level=level,
        seed=seed,
    )
    images = StoredImages(Results(Path(results)), seed) if Path(results).is_dir() else None
    answer = analyse(rows, question, images)
    document = {**head("compare", started, seed=seed, device="cpu"), "results": str(results), **answer}
    return document if out is None else _written(document, Path(out))


def _proxies(proxy: str | Sequence[str], protocols: set[str]) -> tuple[str, ...]:
    """Return the proxies; a protocol may have a comma in its name."""
    names = [proxy] if isinstance(proxy, str) and proxy in protocols else proxy
    return tuple(dict.fromkeys(listed(names)))


def _written(document: Document, folder: Path) -> Document:
    """Write ``compare.json`` into a folder and return what it says."""
    from acclimate.errors import DataError
    from acclimate.storage.store import write_atomic

    if folder.is_file():
        raise DataError(f"got --out '{folder}', which is a file; expected a folder, which gets compare.json")
    path = folder / "compare.json"
    document = {**document, "out": str(path)}
    write_atomic(path, json.dumps(document, indent=1, allow_nan=False) + "\n")
    return document


def show(document: Document, console: Console) -> None:
    """Print the proxy beside fixed lists, then details, then the answer."""
    _candidates(console, document)
    _datasets(console, document)
    _groups(console, document)
    _domains(console, document)
    _influence(console, document)
    notes(console, document["notes"])
    for other in document["proxies"][1:]:
        console.print(escape(_against(other, document["proxy"])), highlight=False)
    console.print(f"[bold]{escape(document['verdict'])}[/]", highlight=False)
    if "out" in document:
        console.print(f"Written: {escape(document['out'])}")


def _candidates(console: Console, document: Document) -> None:
    """Print one line a number and one column a candidate, with its interval."""
    candidates = {line["proxy"]: line for line in document["proxies"]}
    for key, name in (("static_baseline", "(static list)"), ("size_baseline", "(list by size)")):
        if document[key] is not None:
            candidates[name] = document[key]
    if document["ceiling"]["reason"] is None:
        candidates["(perfect proxy)"] = {**document["ceiling"], "intervals": {}}
    rows = [
        {"": title.format(top=document["top"]), **{name: _spanned(line, key) for name, line in candidates.items()}}
        for key, title in NUMBERS.items()
        if any(line.get(key) is not None for line in candidates.values())
    ]
    console.print(f"'{escape(document['target'])}' is predicted by:", highlight=False)
    table(console, rows, {"": "", **{name: escape(name) for name in candidates}})


def _spanned(line: Document, key: str) -> str | None:
    value, span = line.get(key), line["intervals"].get(key)
    if value is None:
        return None
    digits = 3 if key == "regret" else 2
    interval = f" ({span['low']:.{digits}f} to {span['high']:.{digits}f})" if span else ""
    return f"{value:.{digits}f}{interval}"


def _datasets(console: Console, document: Document) -> None:
    lines = document["datasets"]
    if len(lines) < 2:
        return
    rows = [{**line, "interval": _interval(line), "holm": line["p"]["holm"]} for line in lines[:SHOWN]]
    places = {"proxy": "proxy", "dataset": "data set"} if len(document["proxies"]) > 1 else {"dataset": "data set"}
    if any(line["source"] != line["dataset"] for line in lines):
        places = {"proxy": "proxy", "source": "proxy on", "dataset": "target on"}
    columns = dict(COLUMNS)
    if len({line["n_models"] for line in lines}) == 1:
        del columns["n_models"]
    console.print()
    table(console, rows, {**places, **columns, "holm": "p (Holm)"})
    more(console, len(lines) - SHOWN, ", see --json")


def _groups(console: Console, document: Document) -> None:
    groups = document["groups"]
    if groups is None:
        return
    console.print(f"\nBy {escape(groups['by'])}, within each:")
    rows = [{**line, "interval": _interval(line)} for line in groups["groups"]]
    table(console, rows[:SHOWN], {"group": escape(groups["by"]), "proxy": "proxy", **COLUMNS})
    more(console, len(rows) - SHOWN, ", see --json")
    small = [f"{name} ({n})" for name, n in groups["sizes"].items() if n < 3]
    if small:
        console.print(f"Fewer than three models: {escape(', '.join(small))}", highlight=False)
    for part, lines in groups["pairs"].items():
        for line in lines:
            if line["agreement"] is not None:
                console.print(escape(_pairs(part, groups["by"], line)), highlight=False)


def _pairs(part: str, by: str, line: Document) -> str:
    span = line["interval"]
    interval = f" ({span['low']:.0%} to {span['high']:.0%})" if span else ""
    return f"Pairs {part} {by}: '{line['proxy']}' orders {line['agreement']:.0%}{interval} rightly"


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
    influence = document["influence"]
    if influence["most"]:
        first = influence["most"][0]
        console.print(
            f"\nWithout one model Spearman lies between {influence['spearman_low']:.2f} and "
            f"{influence['spearman_high']:.2f}; {escape(first['model'])} moves it most ({first['change']:+.3f} without "
            "it)",
            highlight=False,
        )


def _interval(line: Document) -> str:
    span = line["intervals"]["spearman"]
    return "-" if span is None else f"{span['low']:.2f} to {span['high']:.2f}"


def _against(other: Document, first: str) -> str:
    ahead = (other["ahead"] or {}).get("spearman")
    if ahead is None or "low" not in ahead:
        return f"'{other['proxy']}' and '{first}' cannot be compared: they share no target"
    span = f"{ahead['difference']:+.2f} ({ahead['low']:+.2f} to {ahead['high']:+.2f})"
    if ahead["low"] > 0 or ahead["high"] < 0:
        return f"Spearman of '{other['proxy']}' is {'above' if ahead['low'] > 0 else 'below'} that of '{first}': {span}"
    return f"'{other['proxy']}' and '{first}' cannot be told apart: Spearman {span}"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


COMMAND = Command(compare, show)
