"""Verbs about one run: tune, adapt, predict, export."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from acclimate import adaptation
from acclimate.backbones import Backbone, choose_device, load_backbone
from acclimate.classifier import Classifier, export_onnx, export_timm, predictions_csv
from acclimate.errors import InputError, ScopeError, unknown
from acclimate.images import require_classes
from acclimate.objectives import OBJECTIVES
from acclimate.protocols import RUN, Setting, job_of, run_recipe
from acclimate.recipe import Recipe, load_recipe, parse_recipe
from acclimate.scope import parse_scope
from acclimate.select import safe_name
from acclimate.store import write_atomic
from acclimate.train import plan
from acclimate.verbs.common import counts, fresh_folder, open_data, setting_for, writable_file
from acclimate.verbs.forecast import forecast
from acclimate.verbs.options import Options, document

FORMATS = ("timm", "onnx")


def tune(
    data: str | Path,
    *,
    model: str,
    recipe: str = "finetune",
    labels: str | None = None,
    out: str | Path | None = None,
    dry_run: bool = False,
    options: Options | None = None,
) -> dict[str, Any]:
    """Train a recipe on labelled images; leave a run folder with the classifier and return its document.

    Parameters
    ----------
    recipe
        A name (``linear, bn, bn-paper, finetune, staged, adapt``) or a TOML file.
    labels
        Keep only so many labels: images a class (``10``) or a share (``25%``).
    dry_run
        Resolve everything and return the plan; touch nothing.
    """
    started, options = time.perf_counter(), options or Options()
    chosen = load_recipe(recipe)
    images = open_data(data, options, dry_run=dry_run)
    backbone = load_backbone(model)
    setting = setting_for(images, options, labels)
    require_classes(images, setting.split)
    if dry_run:
        return _dry("tune", started, options, setting, backbone, chosen)
    plan(job_of(setting, backbone, chosen))
    folder = fresh_folder(
        Path(out) if out else None, f"runs/{safe_name(f'{images.name}-{backbone.name}-{chosen.name}')}"
    )
    row = run_recipe(setting, backbone, chosen, folder)
    written = json.loads((folder / RUN).read_text(encoding="utf-8"))
    return {
        **document("tune", options, time.perf_counter() - started, row.device),
        "run": str(folder),
        "model": backbone.name,
        "random_start": backbone.random_start,
        "recipe": chosen.name,
        "images": counts(images, setting.split),
        "stages": written["stages"],
        "val": written["val"],
        "test": written["test"],
    }


def adapt(
    data: str | Path,
    *,
    model: str,
    method: str = "byol",
    scope: str = "all",
    steps: int = 300,
    batch: int = 128,
    lr: float = 0.001,
    out: str | Path | None = None,
    dry_run: bool = False,
    options: Options | None = None,
) -> dict[str, Any]:
    """Continue a pretrained model on images without labels; leave a run folder with the weights that are kept.

    The pool is every training image and every unlabelled one, never validation or test.
    """
    started, options = time.perf_counter(), options or Options()
    stage = {
        "objective": method,
        "scope": scope,
        "steps": steps,
        "batch": batch,
        "lr": lr,
        "backbone_lr": 0.3,
        "weight_decay": 1e-4,
    }
    methods = [name for name, (objective, _) in OBJECTIVES.items() if not objective.needs_labels]
    if method not in methods:
        raise InputError(unknown("method", method, methods))
    if parse_scope(scope).head_only:
        raise ScopeError(f"got scope '{scope}', the classifier alone, which adaptation does not have; expected 'all'")
    recipe = parse_recipe({"name": f"adapt-{method}", "stages": [stage]}, where="of 'adapt'")
    images = open_data(data, options, dry_run=dry_run)
    backbone = load_backbone(model)
    setting = setting_for(images, options)
    if dry_run:
        return _dry("adapt", started, options, setting, backbone, recipe)
    plan(job_of(setting, backbone, recipe))
    folder = fresh_folder(
        Path(out) if out else None, f"runs/{safe_name(f'{images.name}-{backbone.name}-{recipe.name}')}"
    )
    written = adaptation.adapt(setting, backbone, recipe, folder).document
    head = document("adapt", options, time.perf_counter() - started, written["device"])
    return {**written, **head, "images": counts(images, setting.split)}


def _dry(
    command: str, started: float, options: Options, setting: Setting, backbone: Backbone, recipe: Recipe
) -> dict[str, Any]:
    job = job_of(setting, backbone, recipe)
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
        "images": counts(setting.images, setting.split),
        "stages": stages,
        "expected_seconds": round(sum(seconds), 1),
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
    probabilities = classifier.predict_proba(
        found, tta=tta, device=options.device, precision=options.precision, cache=options.cache
    )
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
