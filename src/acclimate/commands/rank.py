"""``acclimate rank``: which of many models is the best for these images, and how sure that is."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acclimate.commands.data import check_data, check_model, check_training, counts, open_data, task_for
from acclimate.commands.shared import (
    Cache,
    Command,
    Data,
    Device,
    Document,
    DryRun,
    Labels,
    Out,
    Precision,
    Seed,
    SkipBad,
    fresh_folder,
    head,
    listed,
    runtime_of,
)
from acclimate.commands.tables import escape, expected, loud, plan, table

if TYPE_CHECKING:
    from rich.console import Console

    from acclimate.experiments.ranking import Ranking
    from acclimate.models import Backbone
    from acclimate.protocols import RecipeProtocol, Task
    from acclimate.storage.runtime import Runtime

FILE = "rank.json"


def rank(
    data: Data,
    *,
    models: Annotated[str | Sequence[str], typer.Option(help="Model names with commas between.")] = "",
    zoo: Annotated[bool, typer.Option("--zoo", help="Also every embedded model.")] = False,
    top: Annotated[int, typer.Option(help="How many the final recipe is run on.", min=1)] = 3,
    final: Annotated[str, typer.Option(help="The protocol of the final round, or a TOML file.")] = "bn",
    labels: Labels = None,
    out: Out = None,
    dry_run: DryRun = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
    quiet: bool = False,
) -> Document:
    """Rank models: kNN and logistic regression for all, batch-norm finetuning for the best.

    Parameters
    ----------
    models
        Names, as a text with commas or a list; with ``zoo`` the embedded models come as well.
    top
        How many are finetuned.
    final
        The protocol of the finetuning.
    labels
        Keep only so many labels: images a class (``10``) or a share (``25%``).

    Returns
    -------
    The document: ``models`` with their numbers, ``best``, ``confidence_set``, ``out``; of a dry run what would be done.

    Raises
    ------
    InputError
        For fewer than two models, or the same one twice.
    """
    from acclimate.catalogue import zoo_names
    from acclimate.errors import InputError

    started = time.perf_counter()
    runtime = runtime_of(device=device, precision=precision, cache=cache, skip_bad=skip_bad, quiet=quiet)
    names = [*listed(models), *(zoo_names() if zoo else ())]
    if len(names) < 2:
        raise InputError(f"got {len(names)} model to rank; expected --models A,B,... with at least two, or --zoo")
    check_training(final)
    check_data(data)
    check_model(*names)

    from acclimate.experiments.ranking import rank_models
    from acclimate.images import require_classes
    from acclimate.models import choose_device, load_backbone
    from acclimate.protocols import find_training

    protocol = find_training(final)
    images = open_data(data, runtime, dry_run=dry_run)
    task = task_for(images, data, seed=seed, labels=labels)
    require_classes(images, task.split)
    backbones = [load_backbone(name, cache=runtime.cache, remember=not dry_run) for name in names]
    if dry_run:
        planned = _plan(task, backbones, runtime, protocol, top)
        return {**head("rank", started, seed=seed, device=choose_device(device)), **planned}
    folder = fresh_folder(out, f"runs/rank-{Path(images.name).name}")
    ranking = rank_models(task, backbones, runtime, folder, final=protocol, top=top)
    top_keys = head("rank", started, seed=seed, device=choose_device(device))
    return {**write_ranking(ranking, {**top_keys, "data": images.name}, folder), "out": str(folder)}


def write_ranking(ranking: Ranking, top_keys: Document, folder: Path) -> Document:
    """Write ``rank.json``, which begins with ``top_keys``, and return what it says."""
    from acclimate.storage.store import write_atomic

    document = {
        **top_keys,
        "final": ranking.final,
        "models": [asdict(line) for line in ranking.models],
        "best": ranking.best,
        "confidence_set": ranking.confidence_set,
        "seconds_spent": ranking.seconds,
    }
    write_atomic(folder / FILE, json.dumps(document, indent=1))
    return document


def _plan(task: Task, backbones: Sequence[Backbone], runtime: Runtime, protocol: RecipeProtocol, top: int) -> Document:
    """Return what would be done: the ``top`` dearest finetunings bound the time."""
    from acclimate.experiments.ranking import PROXIES
    from acclimate.protocols import job_of
    from acclimate.training import expected_stages

    own = protocol.budgeted(task)
    lines: list[Document] = []
    for backbone in backbones:
        recipes = protocol.recipes(backbone)
        parts = expected_stages(job_of(own, backbone, runtime, recipes[0]))
        lines.append(
            {
                "model": backbone.name,
                "trainable": parts[-1].trainable,
                "total": parts[-1].total,
                "expected_seconds": sum(part.seconds for part in parts) * protocol.trainings(),
            }
        )
    return {
        "dry_run": True,
        "images": counts(task.images, task.split),
        "proxies": list(PROXIES),
        "final": protocol.name,
        "top": top,
        "models": lines,
        "expected_seconds": round(sum(sorted((line["expected_seconds"] for line in lines), reverse=True)[:top]), 4),
    }


def show(document: Document, console: Console) -> None:
    """Print a line a model, and which cannot be told apart; or the plan of a dry run."""
    if document.get("dry_run"):
        plan(console, document)
        expected(console, document)
        return
    rows = [
        {**line, **line["proxies"], "model": line["model"] + loud(line), "interval": _interval(line)}
        for line in document["models"]
    ]
    titles = {
        "rank": "rank",
        "model": "model",
        "knn": "kNN",
        "logistic": "logistic",
        "final": "final",
        "interval": "90% interval",
        "in_set": "in the set",
        "seconds": "seconds",
    }
    table(console, rows, titles)
    ties, out = document["confidence_set"], escape(document["out"])
    if len(ties) > 1:
        console.print(f"These {len(ties)} cannot be told apart on this validation set: {escape(', '.join(ties))}")
    else:
        console.print(f"Best: {escape(document['best'])}")
    console.print(f"Rows and predictions: {out}. A page of it: acclimate report {out}")


def _interval(line: Document) -> str:
    return "-" if line["low"] is None else f"{line['low']:.3f} to {line['high']:.3f}"


COMMAND = Command(rank, show)
