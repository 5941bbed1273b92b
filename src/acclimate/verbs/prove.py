"""Verbs about a benefit and its proof: curve."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from acclimate.experiments.curve import Plan, check_models, measure_curve, plan_curve
from acclimate.models import Backbone, choose_device, load_backbone
from acclimate.protocols import Task, find_training, job_of
from acclimate.training import plan as plan_stages
from acclimate.training.forecast import forecast
from acclimate.verbs.common import counts, fresh_folder, open_data, setting_for
from acclimate.verbs.options import Options, document


def curve(
    data: str | Path,
    *,
    models: str | Sequence[str],
    labels: str | Sequence[str] = "1,5,10,25,100%",
    seeds: int = 5,
    training: str | Sequence[str] = "head",
    recipe: str = "staged",
    negative: str | Sequence[str] = "",
    tta: str = "hflip",
    out: str | Path | None = None,
    dry_run: bool = False,
    options: Options | None = None,
) -> dict[str, Any]:
    """Measure models with few labels and say how many times the labels each is worth, compared with the first.

    The test part of the data is only measured on. Stopped, the same call goes on where it was.

    Parameters
    ----------
    models
        The base first, then what is compared with it. Here and below one text with commas does as well as a list.
    labels
        Budgets: images a class (``10``) or a share of each class (``25%``) of the training part.
    seeds
        How often labels are drawn, counted from the seed of the options.
    training
        ``head``: logistic regression on features; ``full``: the recipe; or both.
    recipe
        A name or a TOML file, for ``full``.
    negative
        Classes against which all others are positive, for ``auc_positive``.
    tta
        ``hflip`` averages each test image with its mirror image, ``none`` does not.

    Raises
    ------
    InputError
        For an unknown name, the same model twice, or data without labels or without a test part.
    """
    started, options = time.perf_counter(), options or Options()
    names = _listed(models)
    find_training(recipe).fixed_recipe()
    images = open_data(data, options, dry_run=dry_run)
    plan = plan_curve(
        setting_for(images, options, origin=data),
        options.runtime,
        labels=_listed(labels),
        seeds=seeds,
        training=_listed(training),
        recipe=recipe,
        negative=_listed(negative),
        tta=tta,
    )
    backbones = [load_backbone(name) for name in names]
    check_models(backbones)
    if dry_run:
        return {**document("curve", options, 0.0, choose_device(options.device)), **_dry(plan, backbones, started)}
    folder = fresh_folder(Path(out) if out else None, f"runs/curve-{Path(images.name).name}")
    return {**measure_curve(plan, backbones, folder), "out": str(folder)}


def _listed(given: str | Sequence[str]) -> list[str]:
    """Return what was given as a list; empty parts of a text are left out."""
    parts = given.split(",") if isinstance(given, str) else given
    return [text for part in parts if (text := str(part).strip())]


def _dry(plan: Plan, backbones: Sequence[Backbone], started: float) -> dict[str, Any]:
    """Return what would be done: counts of fits and finetunings, and about how long they take."""
    task, each = plan.task, len(plan.budgets) * len(plan.seeds)
    lines: list[dict[str, Any]] = []
    for backbone in backbones:
        seconds = _head_seconds(plan, backbone) if "head" in plan.trainings else 0.0
        trainable, total = 0, backbone.parameters
        if "full" in plan.trainings:
            seconds += sum(
                len(plan.seeds) * sum(forecast(job_of(drawn, backbone, plan.runtime, plan.recipe)))
                for drawn in _drawn(plan)
            )
            stage = plan_stages(job_of(task, backbone, plan.runtime, plan.recipe))[-1]
            trainable, total = stage.trainable, stage.total
        lines.append(
            {"model": backbone.name, "trainable": trainable, "total": total, "expected_seconds": round(seconds, 4)}
        )
    return {
        "seconds": round(time.perf_counter() - started, 3),
        "dry_run": True,
        "images": counts(task.images, task.split),
        "models": lines,
        "labels": [{"labels": budget.labels, "images": budget.images} for budget in plan.budgets],
        "fits": each * len(backbones) * ("head" in plan.trainings),
        "finetunings": each * len(backbones) * ("full" in plan.trainings),
        "recipe": plan.recipe.name if "full" in plan.trainings else None,
        "tta": plan.tta,
        "notes": list(plan.notes),
        "expected_seconds": round(sum(line["expected_seconds"] for line in lines), 4),
    }


def _drawn(plan: Plan) -> list[Task]:
    """Return the setting of the first draw of every budget; the other seeds take as long."""
    task, seed = plan.task, plan.seeds[0]
    return [replace(task, split=b.draw(task.images, task.split, seed), seed=seed) for b in plan.budgets]


def _head_seconds(plan: Plan, backbone: Backbone) -> float:
    """Return the expected seconds of the features: every image once, and the mirror images of the test part."""
    split = plan.task.split
    seen = len(split.train) + len(split.val)
    once = forecast(job_of(plan.task, backbone, plan.runtime, find_training("linear").fixed_recipe()))[0]
    return once * (seen + len(split.test) * len(plan.views)) / seen
