"""Adaptation without labels: watch it, keep the best step, and hand back the start model when nothing beat it."""

from __future__ import annotations

import copy
import dataclasses
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from acclimate.errors import DataError
from acclimate.experiments.adaptation.guard import FEW, Guard, feature_std, neighbour_overlap
from acclimate.images import clean_pool
from acclimate.models import Backbone, digest, load_backbone, save_weights
from acclimate.models.network import reset_classifier
from acclimate.protocols import RUN, Task, close_run, is_finished, job_of, run_facts
from acclimate.scores import PROBES
from acclimate.scores.estimates import prepare
from acclimate.scores.estimates.rank import rankme
from acclimate.stats.metrics import measure
from acclimate.storage.runtime import Runtime
from acclimate.storage.store import digest as digest_of
from acclimate.training import Job, Trained, train
from acclimate.training.recipe import Recipe

ADAPTED = "adapted.safetensors"
KEPT = "weights.safetensors"


@dataclass(frozen=True)
class Adaptation:
    """The outcome of an adaptation."""

    kept: Backbone  # what ``weights.safetensors`` holds: the best step, or the start model where no step was better
    adapted: Backbone  # what ``adapted.safetensors`` holds: the model as it stood at the end, kept or not
    document: dict[str, Any]  # what ``run.json`` holds


def adapt(
    task: Task,
    backbone: Backbone,
    runtime: Runtime,
    recipe: Recipe,
    folder: Path,
    *,
    probe: bool = True,
    choices: Mapping[str, Mapping[str, Any]] | None = None,
) -> Adaptation:
    """Run an unsupervised recipe on the pool under a guard, and keep its best step.

    The pool loses its near-duplicates of validation and test images first. The start model comes back when the features
    collapsed, or when at no look the kNN probe of the labelled images was surely above the start model's with the
    linear probe not below it. Raises `DataError` when the pool has fewer than two images, or they are all equal.

    ``probe`` says whether labels may be used for that probe; ``choices`` are settings that were chosen automatically,
    and why, for ``run.json``.
    """
    if len(task.split.pool) < 2:
        raise DataError(f"got {len(task.split.pool)} images to adapt to; expected at least 2 outside val and test")
    clean = clean_pool(task.images, task.split, cache=runtime.cache)
    task = dataclasses.replace(task, split=clean.split)
    job = job_of(task, backbone, runtime, recipe)
    identity = digest_of(job.identity(), probe, Guard.rules())
    if is_finished(folder, identity):
        return _finished(backbone, folder)
    started = time.perf_counter()
    guard = Guard(task, backbone, runtime, steps=_watched_steps(job), probe=probe)
    trained = train(job, folder, watch=guard)
    best = _backbone(backbone, trained.network, folder)
    network = copy.deepcopy(trained.network)
    network.load_state_dict(trained.last)
    ended = _sound(task, runtime, guard, _backbone(backbone, network, folder), best)
    verdict, reason = _verdict(task, runtime, guard, trained, ended)
    result, described = (best, best) if verdict == "adapted" else (backbone, ended)
    save_weights(folder / ADAPTED, ended.module, ended.card())
    save_weights(folder / KEPT, result.module, result.card())
    recipe.save(folder / "recipe.toml")
    monitors = _monitors(task, runtime, guard, backbone, described)
    facts = run_facts(task, backbone, recipe, trained)
    document = {
        "command": "adapt",
        **{key: facts.pop(key) for key in ("version", "seed", "device", "precision")},
        "run": str(folder),
        **{key: facts.pop(key) for key in tuple(facts) if key != "stages"},
        "method": recipe.stages[0].objective,
        "scope": recipe.stages[0].scope,
        **facts,
        "steps": sum(report.steps for report in trained.reports),
        "images_per_second": trained.reports[-1].images_per_second,
        "identity": identity,
        "images": dict(clean.document),
        "monitors": monitors,
        "looks": _looks(folder),
        "choices": dict(choices or {}),
        "kept": verdict,
        "reason": f"{reason}{_change(monitors)}",
        "seconds": round(time.perf_counter() - started, 3),
    }
    close_run(folder, document)
    return Adaptation(result, ended, document)


def _finished(backbone: Backbone, folder: Path) -> Adaptation:
    """Return what an earlier, finished run left."""
    document = json.loads((folder / RUN).read_text(encoding="utf-8"))
    best, ended = (load_backbone(folder / file).named(str(folder)) for file in (KEPT, ADAPTED))
    return Adaptation(best if document["kept"] == "adapted" else backbone, ended, document)


def _watched_steps(job: Job) -> int:
    """Return the steps of the longest stage without labels: what the guard's patience is a share of."""
    return max(stage.length(len(job.split.pool)) for stage in job.recipe.stages if not stage.needs_labels)


def _sound(task: Task, runtime: Runtime, guard: Guard, ended: Backbone, best: Backbone) -> Backbone:
    """Return the model of the last step, or the best one where the last one's features are not finite."""
    try:
        task.features(ended, runtime, guard.images)
    except DataError:
        return best
    return ended


def _backbone(start: Backbone, network: nn.Module, folder: Path) -> Backbone:
    reset_classifier(network, 0)
    module = network.eval()
    key = digest(start.architecture, start.arguments, module)
    return dataclasses.replace(start, name=str(folder), module=module, digest=key)


def _verdict(task: Task, runtime: Runtime, guard: Guard, trained: Trained, ended: Backbone) -> tuple[str, str]:
    """Return which model is kept, ``adapted`` or ``start``, and why."""
    last = guard.see(np.asarray(task.features(ended, runtime, guard.images).x[guard.images]))
    stop = next((report.stopped for report in trained.reports if report.stopped), "") or guard.collapse(last)
    steps = [report.best_step for report in trained.reports if report.best_step]
    gain, error = guard.gain(last)
    if not steps:
        linear = "" if guard.agreed(last) else ", linear below"
        return "start", stop or (
            f"at no look was the kNN probe surely above the start model's with the linear probe not below: at the end "
            f"kNN {gain:+.3f}, error {error:.3f}{linear}; the last step is in {ADAPTED}"
        )
    stopped = f"{stop}; " if stop else ""
    if not guard.probes:
        labels = f"too few labels to probe with (below {FEW})" if guard.few else "there are no labels to probe with"
        return "adapted", f"{stopped}{labels}, and nothing had collapsed at step {steps[-1]}"
    return "adapted", f"{stopped}best at step {steps[-1]}"


def _change(monitors: dict[str, Any]) -> str:
    before, after = monitors["start"], monitors["adapted"]
    if before["knn_accuracy"] is None:
        return ""
    return (
        f"; kNN on validation images, which chose the step: accuracy {before['knn_accuracy']:.3f} -> "
        f"{after['knn_accuracy']:.3f}, log loss {before['knn_log_loss']:.3f} -> {after['knn_log_loss']:.3f}"
    )


def _monitors(task: Task, runtime: Runtime, guard: Guard, start: Backbone, adapted: Backbone) -> dict[str, Any]:
    models = {"start": start, "adapted": adapted}
    states = {name: _state(task, runtime, guard, model) for name, model in models.items()}
    first, second = (np.asarray(task.features(model, runtime, guard.pool).x[guard.pool]) for model in models.values())
    return {**states, "neighbour_overlap": neighbour_overlap(first, second)}


def _state(task: Task, runtime: Runtime, guard: Guard, model: Backbone) -> dict[str, float | None]:
    """Return spread and rank of pool images, and a kNN classifier's numbers on held-out ones; None without labels."""
    split, probe = task.split, guard.probes
    x = task.features(model, runtime, np.concatenate([guard.pool, split.train, split.val]) if probe else guard.pool).x
    scores: dict[str, float] = {}
    if probe:
        y, n = task.images.labels, len(task.images.classes)
        train, val = (np.asarray(x[part]) for part in (split.train, split.val))
        fitted = PROBES["knn"].fit(train, y[split.train], val, y[split.val], n_classes=n, seed=task.seed)
        scores = measure(fitted.predict_proba(val), y[split.val], n_classes=n)
    pool = np.asarray(x[guard.pool])
    knn = {f"knn_{name}": scores.get(name) for name in ("accuracy", "log_loss")}
    return {"feature_std": feature_std(pool), "rankme": rankme(prepare(pool)), **knn}


def _looks(folder: Path) -> list[dict[str, Any]]:
    """Return the guard's looks, in order, as the journal has them."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    keys = ("stage", "step", "feature_std", "rankme", "neighbour_overlap", "knn_agreement", "knn_gain", "linear_gain")
    return [{key: line[key] for key in keys if key in line} for line in lines if "rankme" in line]
