"""``acclimate curve``: what models reach with few labels, and how many labels a better start is worth."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
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
    Out,
    Precision,
    Seed,
    SkipBad,
    fresh_folder,
    head,
    listed,
    runtime_of,
)
from acclimate.commands.tables import escape, expected, loud, metric_table, notes, plan

if TYPE_CHECKING:
    from rich.console import Console

    from acclimate.experiments.curve import CurvePlan
    from acclimate.models import Backbone

FILE = "curve.json"
METRICS = ("log_loss", "macro_f1", "auc", "auc_positive", "accuracy")  # as many as a terminal is wide


def curve(
    data: Data,
    *,
    models: Annotated[
        str | Sequence[str], typer.Option(help="Model names with commas between; the first is the base.")
    ],
    labels: Annotated[
        str | Sequence[str], typer.Option(help="Budgets: images a class, or shares of all.")
    ] = "1,5,10,25,100%",
    seeds: Annotated[int, typer.Option(help="How often labels are drawn; intervals need 2 or more.", min=1)] = 5,
    training: Annotated[
        str | Sequence[str], typer.Option(help="head (on fixed features), full (the recipe), or head,full.")
    ] = "head",
    recipe: Annotated[str, typer.Option(help="The recipe of full: a name or a TOML file.")] = "staged",
    negative: Annotated[
        str | Sequence[str], typer.Option(help="Classes against which all others count as positive.")
    ] = "",
    tta: Annotated[str, typer.Option(help="hflip: average each test image and its mirror image; or none.")] = "hflip",
    out: Out = None,
    dry_run: DryRun = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
    quiet: bool = False,
) -> Document:
    """Measure models with few labels, and say how many times the labels each is worth against the first.

    The test part of the data is only measured on. Stopped, the same call goes on where it was.

    Parameters
    ----------
    models
        The base first, then what is compared with it. Here and below one text with commas does as well as a list.
    labels
        Budgets: images a class (``10``) or a share of each class (``25%``) of the training part.
    seeds
        How often labels are drawn, counted from ``seed``.
    training
        ``head``: logistic regression on features; ``full``: the recipe; or both.
    recipe
        A name or a TOML file, for ``full``.
    negative
        Classes against which all others are positive, for ``auc_positive``.
    tta
        ``hflip`` averages each test image with its mirror image, ``none`` does not.

    Returns
    -------
    The document: ``points``, ``comparisons``, ``verdicts``, ``verdict``, ``out``; of a dry run what would be done.

    Raises
    ------
    InputError
        For an unknown name, the same model twice, or data without labels or without a test part.
    """
    started = time.perf_counter()
    runtime = runtime_of(device=device, precision=precision, cache=cache, skip_bad=skip_bad, quiet=quiet)
    names = listed(models)
    check_training(recipe)
    check_data(data)
    check_model(*names)

    from acclimate.experiments.curve import check_models, measure_curve, plan_curve
    from acclimate.models import choose_device, load_backbone
    from acclimate.protocols import find_training

    protocol = find_training(recipe)
    images = open_data(data, runtime, dry_run=dry_run)
    curve_plan = plan_curve(
        task_for(images, data, seed=seed),
        runtime,
        labels=listed(labels),
        seeds=seeds,
        training=listed(training),
        recipe=protocol,
        negative=listed(negative),
        tta=tta,
    )
    backbones = [load_backbone(name, cache=runtime.cache, remember=not dry_run) for name in names]
    check_models(backbones)
    if dry_run:
        planned = _plan(curve_plan, backbones)
        return {**head("curve", started, seed=seed, device=choose_device(device)), **planned}
    folder = fresh_folder(out, f"runs/curve-{Path(images.name).name}")
    answer = asdict(measure_curve(curve_plan, backbones, folder))
    document = {**head("curve", started, seed=seed, device=choose_device(device)), **answer}
    write_curve(document, folder)
    return {**document, "out": str(folder)}


def write_curve(document: Document, folder: Path) -> None:
    """Write ``curve.json``, from which a report draws."""
    from acclimate.storage.store import write_atomic

    write_atomic(folder / FILE, json.dumps(document, indent=1, allow_nan=False))


def _plan(curve_plan: CurvePlan, backbones: Sequence[Backbone]) -> Document:
    """Return what would be done: counts of fits and finetunings, and about how long they take."""
    task, trainings = curve_plan.task, curve_plan.trainings
    each = len(curve_plan.budgets) * len(curve_plan.seeds) * len(backbones)
    lines = [_model_plan(curve_plan, backbone) for backbone in backbones]
    return {
        "dry_run": True,
        "images": counts(task.images, task.split),
        "models": lines,
        "labels": [{"labels": budget.labels, "images": budget.images} for budget in curve_plan.budgets],
        "fits": each * ("head" in trainings),
        "finetunings": each * ("full" in trainings),
        "recipe": curve_plan.recipe.name if "full" in trainings else None,
        "tta": curve_plan.tta,
        "notes": list(curve_plan.notes),
        "expected_seconds": round(sum(line["expected_seconds"] for line in lines), 4),
    }


def _model_plan(curve_plan: CurvePlan, backbone: Backbone) -> Document:
    """Return what a model's curve trains, and its expected seconds; all draws of a budget take as long as its first."""
    from acclimate.protocols import job_of
    from acclimate.training import plan as plan_stages
    from acclimate.training.build import forecast

    task, runtime, recipe, seed = curve_plan.task, curve_plan.runtime, curve_plan.recipe, curve_plan.seeds[0]
    seconds = _head_seconds(curve_plan, backbone) if "head" in curve_plan.trainings else 0.0
    trainable, total = 0, backbone.parameters
    if "full" in curve_plan.trainings:
        for budget in curve_plan.budgets:
            subset = replace(task, split=budget.draw(task.images, task.split, seed), seed=seed)
            seconds += len(curve_plan.seeds) * sum(forecast(job_of(subset, backbone, runtime, recipe)))
        stage = plan_stages(job_of(task, backbone, runtime, recipe))[-1]
        trainable, total = stage.trainable, stage.total
    return {"model": backbone.name, "trainable": trainable, "total": total, "expected_seconds": round(seconds, 4)}


def _head_seconds(curve_plan: CurvePlan, backbone: Backbone) -> float:
    """Return the expected seconds of the features: every image once, and the mirror images of the test part."""
    from acclimate.protocols import find_training, job_of
    from acclimate.training.build import forecast

    split = curve_plan.task.split
    labelled = len(split.train) + len(split.val)
    linear = find_training("linear").fixed_recipe()
    once = forecast(job_of(curve_plan.task, backbone, curve_plan.runtime, linear))[0]
    return once * (labelled + len(split.test) * len(curve_plan.views)) / labelled


def show(document: Document, console: Console) -> None:
    """Print means over draws, each beside the base, and the verdict; or the plan of a dry run."""
    if document.get("dry_run"):
        _show_plan(document, console)
        return
    _show_points(document, console)
    for verdict in document["verdicts"]:
        console.print(f"{escape(verdict['model'])}, {verdict['training']}: {escape(verdict['words'])}", highlight=False)
    notes(console, document["notes"])
    if document["verdict"]:
        console.print(f"[bold]{escape(document['verdict'])}[/]", highlight=False)
    out = escape(document["out"])
    console.print(f"Points and rows: {out}. A page of it: acclimate report {out}")


def _show_points(document: Document, console: Console) -> None:
    comparisons = {(line["model"], line["training"], line["labels"]): line for line in document["comparisons"]}
    names = {line["model"]: line["model"] + loud(line) for line in document["models"]}
    groups: dict[tuple[str, str, str], list[Document]] = {}
    for point in document["points"]:
        groups.setdefault((point["model"], point["training"], point["labels"]), []).append(point)
    rows: list[Document] = [
        {
            "model": names[model],
            "training": training,
            "labels": labels,
            **{name: _mean(points, name) for name in METRICS},
            **_against_base(comparisons.get((model, training, labels))),
        }
        for (model, training, labels), points in groups.items()
    ]
    titles = {"model": "model", "training": "training", "labels": "labels"}
    metric_table(console, rows, titles, {"change": "log loss against the base", "worth": "labels"}, names=METRICS)


def _against_base(comparison: Document | None) -> Document:
    if comparison is None:
        return {"change": "", "worth": ""}
    loss = comparison["log_loss"]
    interval = "" if loss["low"] is None else f" ({loss['low']:+.3f} to {loss['high']:+.3f})"
    return {"change": f"{loss['mean']:+.3f}{interval}", "worth": comparison["worth_words"]}


def _mean(points: list[Document], name: str) -> float | None:
    values = [value for point in points if (value := point.get(name)) is not None]
    return sum(values) / len(values) if values else None


def _show_plan(document: Document, console: Console) -> None:
    plan(console, document)
    budgets = ", ".join(f"{line['labels']} ({line['images']:,} images)" for line in document["labels"])
    console.print(f"{document['fits']:,} fits and {document['finetunings']:,} finetunings with {escape(budgets)}")
    notes(console, document["notes"])
    expected(console, document)


COMMAND = Command(curve, show)
