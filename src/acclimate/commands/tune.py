"""``acclimate tune``: a recipe on labelled images."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from acclimate.catalogue import plain_names
from acclimate.commands.data import check_data, check_model, check_training, counts, open_data, task_for, training_plan
from acclimate.commands.shared import (
    Cache,
    Command,
    Data,
    Device,
    Document,
    DryRun,
    Labels,
    Model,
    Out,
    Precision,
    Scale,
    Seed,
    SkipBad,
    Value,
    fresh_folder,
    head,
    read_settings,
    runtime_of,
)
from acclimate.commands.tables import escape, expected, metric_table, named, plan, stages

if TYPE_CHECKING:
    from rich.console import Console


def tune(
    data: Data,
    *,
    model: Model,
    recipe: Annotated[
        str,
        typer.Option(
            help=f"{', '.join(plain_names())}, any other protocol that trains (see: acclimate protocols), or a TOML "
            "file."
        ),
    ] = "finetune",
    labels: Labels = None,
    settings: Annotated[
        list[str] | Mapping[str, Value] | None,
        typer.Option("--set", help="A setting of the last stage, as NAME=VALUE: lr=0.001, class_weights=balanced."),
    ] = None,
    domain: Annotated[
        str | None, typer.Option(help="The views: a domain as of adapt, or auto, which tries; default: the recipe's.")
    ] = None,
    search: Annotated[
        str, typer.Option(help="off, fast or full: how views and rates are chosen on validation, where a recipe does.")
    ] = "fast",
    scale: Scale = 1.0,
    out: Out = None,
    dry_run: DryRun = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
    quiet: bool = False,
) -> Document:
    """Finetune a model on labelled images. Killed or stopped, the same command goes on where it was.

    A run folder is left with the classifier.

    Parameters
    ----------
    recipe
        A protocol that trains, or a TOML file.
    labels
        Keep only so many labels: images a class (``10``) or a share (``25%``).
    settings
        Of the last stage (``lr``, ``weight_decay``, ``least_steps``) or of cross-entropy (``class_weights``,
        ``label_smoothing``), for a recipe of ours.
    domain
        What the images are, which decides about flips and colour changes; ``auto`` tries three on validation.
    search
        ``off``, ``fast`` (short trainings, one list of values after the other) or ``full`` (all of them together, and
        longer), where the recipe searches.
    scale
        In (0, 1]: shortens a protocol of a paper.
    dry_run
        Resolve everything and return the plan; touch nothing.

    Returns
    -------
    The document: ``run``, ``stages``, ``val`` and ``test``; of a dry run ``stages`` and ``expected_seconds``.
    """
    started = time.perf_counter()
    runtime = runtime_of(device=device, precision=precision, cache=cache, skip_bad=skip_bad, quiet=quiet)
    stated = read_settings(settings)
    check_training(recipe, scale)
    check_data(data)
    check_model(model)

    from acclimate.images import require_classes
    from acclimate.models import choose_device, load_backbone
    from acclimate.protocols import find_training, job_of
    from acclimate.storage.results import plain
    from acclimate.storage.store import safe_name

    protocol = find_training(recipe).at_scale(scale).with_stage(stated).with_domain(domain).searching(search)
    images = open_data(data, runtime, dry_run=dry_run)
    backbone = load_backbone(model, cache=runtime.cache, remember=not dry_run)
    task = protocol.budgeted(task_for(images, data, seed=seed, labels=labels))
    require_classes(images, task.split)
    recipes = protocol.recipes(backbone)
    if dry_run:
        planned = training_plan(task, backbone, runtime, recipes[0], trainings=protocol.trainings())
        return {**head("tune", started, seed=seed, device=choose_device(device)), **planned}

    from acclimate.training import plan as plan_stages

    plan_stages(job_of(task, backbone, runtime, recipes[0]))
    name = safe_name(f"{images.name}-{backbone.name}-{recipes[0].name}")
    folder = fresh_folder(out, f"runs/{name}")
    outcome = protocol.run(task, backbone, runtime, folder)
    row = outcome.row
    return {
        **head("tune", started, seed=seed, device=row.device),
        "run": str(folder),
        "model": backbone.name,
        "random_start": backbone.random_start,
        "recipe": recipes[0].name,
        "scale": scale,
        "chosen": dict(row.chosen),
        "images": counts(images, task.split),
        "stages": list(outcome.stages),
        **{part: plain(row.metrics).get(part) for part in ("val", "test")},
    }


def show(document: Document, console: Console) -> None:
    """Print the stages and the numbers of both parts, or the plan of a dry run."""
    if document.get("dry_run"):
        plan(console, document)
        expected(console, document)
        return
    console.print(f"{named(document)} with recipe [bold]{escape(document['recipe'])}[/]")
    stages(console, document)
    parts = [{"part": part, **document[part]} for part in ("val", "test") if document[part]]
    metric_table(console, parts, {"part": ""})
    for sentence in _choices(document):
        console.print(escape(sentence), highlight=False)
    run = escape(document["run"])
    console.print(f"Run: {run}. Next: acclimate predict {run} IMAGES")


def _choices(document: Document) -> list[str]:
    """Return what validation decided: the searched settings, and whether the probe stayed."""
    chosen = {name: value for name, value in document["chosen"].items() if name != "points"}
    sentences = []
    if "points" in document["chosen"]:
        settings = ", ".join(f"{name} {value}" for name, value in chosen.items())
        sentences.append(f"Chosen on validation: {settings} ({len(document['chosen']['points'])} short trainings).")
    if document["stages"][-1].get("kept") == "probe":
        sentences.append("Kept: the linear probe. No step of the training was better on validation beyond luck.")
    return sentences


COMMAND = Command(tune, show)
