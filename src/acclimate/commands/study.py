"""``acclimate study``: models x data sets x protocols x seeds x label fractions into one table."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acclimate import catalogue
from acclimate.commands.shared import (
    Cache,
    Command,
    Device,
    Document,
    DryRun,
    Out,
    Precision,
    Seed,
    SkipBad,
    fresh_folder,
    head,
    one_of,
    path_of,
    runtime_of,
)
from acclimate.commands.tables import escape, loud, more, notes, table

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 20  # lines of one kind


def study(
    study: Annotated[str | Path, typer.Argument(help=f"A TOML file, or {one_of(catalogue.names('studies'))}.")],
    *,
    out: Out = None,
    workers: Annotated[int, typer.Option(help="Processes on this machine.", min=1)] = 1,
    data_root: Annotated[
        Path | str | None, typer.Option(help="Folder of the data sets; default: that of the study's file.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try cells again that failed.")] = False,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Leave out models and data that are not on this machine.")
    ] = False,
    dry_run: DryRun = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
    quiet: bool = False,
) -> Document:
    """Measure models x data sets x protocols x seeds x label fractions into one table. Resumes after a kill.

    A cell that fails leaves its reason in ``failed/``.

    Parameters
    ----------
    study
        A name (``marks2025``, ``sirotkin2024``, ``ssda2020``, each with ``-mini``) or a TOML file.
    workers
        Processes; each takes all cells of one model on one data set.
    data_root
        Where relative paths of data sets, and folders of ``data:NAME``, are looked for first.
    retry_failed
        Try again what failed.
    skip_missing
        Leave out what is not on this machine.

    Returns
    -------
    The document: ``cells``, ``done``, ``failed``, ``missing``, ``summary``, ``table`` and ``out``; of a dry run every
    cell with its state.

    Raises
    ------
    InputError
        For a typo, an unknown name, a path that leads out of the study's folder, missing inputs, or another study's
        folder; before anything is loaded.
    """
    from acclimate.errors import InputError

    started = time.perf_counter()
    if workers < 1:
        raise InputError(f"got {workers} workers; expected at least 1")
    runtime = runtime_of(device=device, precision=precision, cache=cache, skip_bad=skip_bad, quiet=quiet)
    catalogue.read("studies", study)  # an unknown name is answered before torch is imported

    from acclimate.experiments.study import dry_run as dry_run_study
    from acclimate.experiments.study import load_study, plan_study, run_study
    from acclimate.experiments.study.campaign import default_folder, require_inputs
    from acclimate.experiments.study.ledger import Ledger
    from acclimate.models import choose_device

    axes, folder = load_study(study)
    plan = plan_study(axes, folder, data_root=path_of(data_root), seed=seed)
    place = Path(out or default_folder(plan))
    if dry_run:
        cells = dry_run_study(plan, Ledger(place))
        return {**head("study", started, seed=seed, device=choose_device(device)), **cells}
    require_inputs(plan, skip_missing=skip_missing)
    return run_study(
        plan,
        fresh_folder(place),
        runtime=runtime,
        workers=workers,
        retry_failed=retry_failed,
        skip_missing=skip_missing,
    )


def show(document: Document, console: Console) -> None:
    """Print the summary, and what failed or is missing; or the plan of a dry run."""
    if document.get("dry_run"):
        _show_plan(document, console)
        return
    console.print(f"Study [bold]{escape(document['study'])}[/]: {document['done']:,} of {document['cells']:,} cells")
    rows = [
        {**line, "model": line["model"] + loud(line), "value": _spread(line), "part": line["split"]}
        for line in document["summary"]
    ]
    titles = {"dataset": "data", "protocol": "protocol", "labels": "labels", "model": "model", "part": ""}
    table(console, rows[:SHOWN], {**titles, "value": "accuracy, mean and spread over seeds"})
    more(console, len(rows) - SHOWN, " lines, see study.json")
    notes(console, document["notes"])
    _show_missing(document, console)
    notes(console, map(_failure, document["failed"][:SHOWN]), "[red]failed:[/]")
    more(console, len(document["failed"]) - SHOWN, " that failed, see study.json")
    if document["failed"]:
        console.print("Give --retry-failed to try these again.")
    out = escape(document["out"])
    console.print(f"Table: {escape(document['table'])}. A page of it: acclimate report {out}", highlight=False)


def _failure(cell: Document) -> str:
    place = f"{cell['protocol']} of {cell['model']} on {cell['data']}, labels {cell['labels']}, seed {cell['seed']}"
    return f"{place}: {cell['reason']}"


def _show_plan(document: Document, console: Console) -> None:
    console.print(f"[bold]Plan of study '{escape(document['study'])}'[/] (nothing was done)")
    for sentence in (document["source"], *document["deviations"]):
        if sentence:
            console.print(escape(sentence), highlight=False)
    cells = Counter((cell["data"], cell["protocol"], cell["labels"]) for cell in document["cells"])
    rows = [{"data": d, "protocol": p, "labels": n, "cells": count} for (d, p, n), count in cells.items()]
    table(console, rows, {"data": "data", "protocol": "protocol", "labels": "labels", "cells": "cells"})
    states = Counter(cell["state"] for cell in document["cells"])
    for one in (*document["models"], *document["data"]):
        if one["state"] == "download":
            console.print(f"to download: {escape(one['name'])}, {escape(one['said'])}", highlight=False)
    _show_missing(document, console)
    counted = ", ".join(f"{count:,} {state}" for state, count in states.items())
    models, data = len(document["models"]), len(document["data"])
    console.print(f"{len(document['cells']):,} cells of {models} models on {data} data sets: {counted}")


def _show_missing(document: Document, console: Console) -> None:
    notes(console, (f"{one['name']}: {one['said']}" for one in document["missing"]), "[yellow]missing:[/]")


def _spread(line: Document) -> str:
    if line["std"] is None:
        return f"{line['mean']:.3f} (one seed)"
    return f"{line['mean']:.3f} ± {line['std']:.3f} ({line['seeds']} seeds)"


COMMAND = Command(study, show)
