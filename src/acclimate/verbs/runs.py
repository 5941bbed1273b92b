"""Verbs about one run: tune, adapt, predict, export."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acclimate.errors import InputError, unknown
from acclimate.experiments import adaptation
from acclimate.experiments.adaptation.settings import Choice, choose, situation
from acclimate.experiments.ranking import safe_name
from acclimate.images import clean_pool, require_classes
from acclimate.models import Backbone, choose_device, load_backbone
from acclimate.models.classifier import Classifier, export_onnx, export_timm, predictions_csv
from acclimate.protocols import RUN, Task, find_training, job_of
from acclimate.storage.results import plain
from acclimate.storage.store import write_atomic
from acclimate.training import plan
from acclimate.training.forecast import forecast
from acclimate.training.recipe import Recipe
from acclimate.verbs.common import counts, fresh_folder, open_data, setting_for, writable_file
from acclimate.verbs.options import Options, document

FORMATS = ("timm", "onnx")


def tune(
    data: str | Path,
    *,
    model: str,
    recipe: str = "finetune",
    labels: str | None = None,
    scale: float = 1.0,
    out: str | Path | None = None,
    dry_run: bool = False,
    options: Options | None = None,
) -> dict[str, Any]:
    """Train a recipe on labelled images; leave a run folder with the classifier and return its document.

    Parameters
    ----------
    recipe
        A name (``linear, bn, bn-paper, finetune, staged, ssda``), a preset that trains, or a TOML file of either.
    labels
        Keep only so many labels: images a class (``10``) or a share (``25%``).
    scale
        In (0, 1]: shortens a preset.
    dry_run
        Resolve everything and return the plan; touch nothing.
    """
    started, options = time.perf_counter(), options or Options()
    protocol = find_training(recipe).at_scale(scale)
    images = open_data(data, options, dry_run=dry_run)
    backbone = load_backbone(model)
    task = protocol.budgeted(setting_for(images, options, labels, origin=data))
    require_classes(images, task.split)
    recipes = protocol.recipes(backbone)
    if dry_run:
        again = 1 if len(recipes) > 1 else 0  # the chosen one
        return _priced(_dry("tune", started, options, task, backbone, recipes[0]), len(recipes) + again)
    plan(job_of(task, backbone, options.runtime, recipes[0]))
    name = safe_name(f"{images.name}-{backbone.name}-{recipes[0].name}")
    folder = fresh_folder(Path(out) if out else None, f"runs/{name}")
    outcome = protocol.run(task, backbone, options.runtime, folder)
    row = outcome.row
    return {
        **document("tune", options, time.perf_counter() - started, row.device),
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


def adapt(
    data: str | Path,
    *,
    model: str,
    method: str = "byol",
    scope: str | None = None,
    domain: str = "natural",
    steps: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
    settings: Mapping[str, bool | int | float | str] | None = None,
    ignore_labels: bool = False,
    out: str | Path | None = None,
    dry_run: bool = False,
    options: Options | None = None,
) -> dict[str, Any]:
    """Continue a pretrained model on images without labels; leave a run folder with the weights that are kept.

    The pool is every training image and every unlabelled one, never validation or test, and without their
    near-duplicates. What is left open is chosen by ``acclimate.experiments.adaptation.settings``; the document says
    what and why.

    Parameters
    ----------
    method
        A name in ``OBJECTIVES`` that needs no labels.
    scope
        What trains; default ``all``, for ``norm-stats`` ``stats``.
    domain
        ``natural, microscopy, aerial, document, xray``: symmetries of the images and how much colours may change.
    settings
        Other settings of the stage (``head_steps``, ``l2_sp``, ``strength``) or of the method (``ema``).
    ignore_labels
        Leave labels alone: no kNN probe, so that only a collapse can bring the start model back.
    """
    started, options = time.perf_counter(), options or Options()
    images = open_data(data, options, dry_run=dry_run)
    backbone = load_backbone(model)
    task = setting_for(images, options, origin=data)
    split = task.split
    if not dry_run:  # which touches nothing, and this remembers what images look like
        split = clean_pool(images, split, cache=options.cache).split
    given = {name: value for name, value in (("steps", steps), ("batch", batch), ("lr", lr)) if value is not None}
    module, size = backbone.module, backbone.preprocess.size
    seen = situation(module, size, pool=len(split.pool), device=choose_device(options.device))
    choice = choose(method, seen, scope=scope, domain=domain, given={**given, **(settings or {})})
    choices = {name: {"value": _value(choice, name), "why": why} for name, why in choice.reasons.items()}
    if dry_run:
        return {**_dry("adapt", started, options, task, backbone, choice.recipe), "choices": choices}
    plan(job_of(task, backbone, options.runtime, choice.recipe))
    folder = fresh_folder(
        Path(out) if out else None, f"runs/{safe_name(f'{images.name}-{backbone.name}-{choice.recipe.name}')}"
    )
    if not (folder / RUN).is_file():
        _say(choices, 0 if ignore_labels else len(task.split.train), options)
    written = adaptation.adapt(
        task, backbone, options.runtime, choice.recipe, folder, probe=not ignore_labels, choices=choices
    ).document
    head = document("adapt", options, time.perf_counter() - started, written["device"])
    return {**written, **head, "images": {**counts(images, task.split), **written["images"]}}


def _priced(plan: dict[str, Any], trainings: int) -> dict[str, Any]:
    """Return a plan whose expected seconds are those of so many trainings."""
    stages = [{**stage, "expected_seconds": stage["expected_seconds"] * trainings} for stage in plan["stages"]]
    return {**plan, "stages": stages, "expected_seconds": round(plan["expected_seconds"] * trainings, 4)}


def _value(choice: Choice, name: str) -> Any:
    stage = choice.recipe.stages[0]
    return stage.options.get(name, getattr(stage, name, None))


def _say(choices: Mapping[str, Mapping[str, Any]], labelled: int, options: Options) -> None:
    """Print the choices on stderr before the work begins, and what labels are used for."""
    if options.quiet:
        return
    lines = [f"  {name} = {choice['value']}  ({choice['why']})" for name, choice in choices.items()]
    if labelled:
        lines.append(
            f"{labelled} labels serve a kNN probe that watches the run, and nothing else; --ignore-labels: none"
        )
    print("\n".join(lines), file=sys.stderr, flush=True)


def _dry(
    command: str, started: float, options: Options, task: Task, backbone: Backbone, recipe: Recipe
) -> dict[str, Any]:
    job = job_of(task, backbone, options.runtime, recipe)
    seconds = forecast(job)
    stages = [
        {
            **stage.model_dump(exclude_none=True),
            "trainable": part.trainable,
            "total": part.total,
            "expected_seconds": expected,
        }
        for stage, part, expected in zip(recipe.stages, plan(job), seconds, strict=True)
    ]
    return {
        **document(command, options, time.perf_counter() - started, choose_device(options.device)),
        "dry_run": True,
        "model": backbone.name,
        "random_start": backbone.random_start,
        "recipe": recipe.name,
        "images": counts(task.images, task.split),
        "stages": stages,
        "expected_seconds": round(sum(seconds), 4),
    }


def predict(
    run: str | Path,
    images: str | Path,
    *,
    tta: str = "none",
    out: str | Path = "predictions.csv",
    options: Options | None = None,
) -> dict[str, Any]:
    """Write ``path,label,confidence`` and every class's probability for a folder of images; labels are not needed."""
    started, options = time.perf_counter(), options or Options()
    target = writable_file(out, ".csv")
    classifier = Classifier.load(run)
    found = open_data(images, options)
    probabilities = classifier.predict_proba(found, options.runtime, tta=tta)
    names = [found.source.name(i) for i in range(len(found))]
    write_atomic(target, predictions_csv(names, classifier.classes, probabilities))
    return {
        **document("predict", options, time.perf_counter() - started, choose_device(options.device)),
        "run": str(run),
        "n": len(found),
        "skipped": len(found.skipped),
        "tta": tta,
        "out": str(out),
    }


def export(
    run: str | Path, *, format: str = "timm", out: str | Path | None = None, options: Options | None = None
) -> dict[str, Any]:
    """Write a run's classifier for use elsewhere: a folder timm loads, or an ONNX graph checked with onnxruntime."""
    started, options = time.perf_counter(), options or Options()
    if format not in FORMATS:
        raise InputError(unknown("format", format, FORMATS))
    classifier = Classifier.load(run)
    target = Path(out) if out else Path(run) / ("timm" if format == "timm" else "model.onnx")
    checked: dict[str, Any] = {}
    if format == "timm":
        export_timm(classifier, fresh_folder(target, ""))
    else:
        checked = export_onnx(classifier, writable_file(target, ".onnx"))
    head = document("export", options, time.perf_counter() - started, "cpu")
    return {**head, "run": str(run), "format": format, "out": str(target), **checked}
