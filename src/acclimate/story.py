"""The demo: the whole story on embedded data and models, offline, and what it found, also when that disappoints."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.catalogue import entries
from acclimate.experiments import adaptation
from acclimate.experiments import ranking as select
from acclimate.experiments.curve import measure_curve, plan_curve
from acclimate.images import load_images, make_split
from acclimate.models import Backbone, load_backbone
from acclimate.protocols import Task, find_protocol
from acclimate.storage.results import Result, Results
from acclimate.storage.runtime import Runtime
from acclimate.storage.store import write_atomic
from acclimate.training.recipe import Recipe, Stage
from acclimate.verbs.common import fresh_folder, setting_for
from acclimate.verbs.light import report
from acclimate.verbs.options import Options, document

DATA = "builtin:digits"
# four of the embedded models: supervised and BYOL, batch norm and layer norm, photographs and drawn images
MODELS = ("zoo:convnext-byol", "zoo:resnet-byol", "zoo:resnet-leaves", "zoo:resnet-supervised")
LABELS = "10"  # a class, for ranking and tuning
BUDGETS = (1, 5, 10, 25)
CURVE_SEEDS = 5
RECIPES = ("linear", "bn", "finetune", "staged")
ADAPTATION = Recipe(
    name="adapt-byol",
    stages=(
        Stage(
            objective="byol",
            scope="all",
            steps=100,
            batch=128,
            lr=0.001,
            backbone_lr=0.3,
            domain="document",
            strength=0.6,
            head_steps=10,
        ),
    ),
)


def demo(*, out: str | Path = "acclimate-demo", options: Options | None = None) -> dict[str, Any]:
    """Rank embedded models on real scans of digits, adapt the chosen one, tune it from few labels, write a report.

    Returns
    -------
    The command's document: ``findings`` (sentences), ``best``, ``kept``, ``report`` and the seconds of each chapter.
    """
    started, options = time.perf_counter(), options or Options()
    folder = fresh_folder(Path(out), "")
    chapters: dict[str, float] = {}
    runtime = options.runtime
    task = setting_for(load_images(DATA, cache=options.cache), options, LABELS, origin=DATA)
    ranking = _chapter(
        f"ranking {len(MODELS)} embedded models", chapters, options, lambda: _rank(task, folder, runtime)
    )
    backbone = load_backbone(ranking["best"])
    adapted = _chapter(
        f"adapting {backbone.name} without labels",
        chapters,
        options,
        lambda: adaptation.adapt(task, backbone, runtime, ADAPTATION, folder / "runs" / "adapt-byol"),
    )
    kept = dataclasses.replace(
        adapted.kept, name=backbone.name if adapted.kept is backbone else f"{backbone.name}+byol"
    )
    rows = _chapter(
        f"tuning from {LABELS} labels a class", chapters, options, lambda: _tune(task, kept, folder, runtime)
    )
    curve = _chapter(
        "labels against accuracy",
        chapters,
        options,
        lambda: _curve(task, backbone, adapted.adapted, folder, runtime),
    )
    _chapter(
        "drawing feature maps",
        chapters,
        options,
        lambda: _maps(task, backbone, adapted.adapted, folder, runtime),
    )
    findings = _findings(ranking, adapted.document, rows, curve)
    write_atomic(folder / "findings.json", json.dumps({"sentences": findings}, indent=1))
    page = report(folder, options=options)["out"]
    return {
        **document("demo", options, time.perf_counter() - started, ranking["device"]),
        "data": DATA,
        "best": ranking["best"],
        "kept": adapted.document["kept"],
        "chapters": chapters,
        "findings": findings,
        "report": page,
    }


def _chapter(title: str, chapters: dict[str, float], options: Options, work: Any) -> Any:
    if not options.quiet:
        print(f"{title} ...", file=sys.stderr, flush=True)
    started = time.perf_counter()
    outcome = work()
    chapters[title] = round(time.perf_counter() - started, 2)
    return outcome


def _rank(task: Task, folder: Path, runtime: Runtime) -> dict[str, Any]:
    return select.rank(task, [load_backbone(name) for name in MODELS], runtime, folder, final="bn", top=2)


def _tune(task: Task, backbone: Backbone, folder: Path, runtime: Runtime) -> dict[str, Result]:
    results = Results(folder)
    return {
        recipe: find_protocol(recipe).run(task, backbone, runtime, folder / "runs" / f"tune-{recipe}", results).row
        for recipe in RECIPES
    }


def _curve(task: Task, base: Backbone, adapted: Backbone, folder: Path, runtime: Runtime) -> dict[str, Any]:
    """Measure both models with growing numbers of labels, several draws of them, on the test part."""
    full = dataclasses.replace(task, split=make_split(task.images, seed=task.seed), labels=None)
    plan = plan_curve(full, runtime, labels=[str(budget) for budget in BUDGETS], seeds=CURVE_SEEDS, tta="none")
    models = (base, dataclasses.replace(adapted, name=f"{base.name}+byol"))
    found = measure_curve(plan, models, None)
    parts = ("base", "points", "comparisons", "verdicts")
    curve = {**{key: found[key] for key in parts}, "verdict": _verdict(found["comparisons"])}
    write_atomic(folder / "curve.json", json.dumps(curve, indent=1))
    return curve


def _verdict(comparisons: list[dict[str, Any]]) -> str:
    """One sentence a label budget: the paired change of the log loss, over draws of labels and test images."""
    models = f"{comparisons[0]['model']} against {comparisons[0]['base']}"
    return f"Test log loss of {models}, head only, by labels. " + "; ".join(map(_changed, comparisons)) + "."


def _changed(one: dict[str, Any]) -> str:
    loss, said = one["log_loss"], one["said"]
    word = f"no difference that {CURVE_SEEDS} draws can show" if said == "same" else said
    interval = f"90% interval {loss['low']:+.3f} to {loss['high']:+.3f}"
    return f"{one['labels']} a class: {word} ({loss['mean']:+.3f}, {interval})"


def _maps(task: Task, base: Backbone, adapted: Backbone, folder: Path, runtime: Runtime) -> None:
    from sklearn.manifold import TSNE

    test = task.split.test[:500]
    labels = task.images.labels[test].tolist()
    maps = []
    for name, backbone in ((base.name, base), (f"{base.name}+byol", adapted)):
        x = task.features(backbone, runtime).x[test]
        flat = TSNE(init="pca", random_state=task.seed, perplexity=30).fit_transform(x)
        xs, ys = (np.round(flat[:, axis], 3).tolist() for axis in (0, 1))
        maps.append({"model": name, "x": xs, "y": ys, "label": labels, "split": ["test"] * len(test)})
    write_atomic(folder / "map.json", json.dumps({"maps": maps, "classes": list(task.images.classes)}))


def _findings(
    ranking: dict[str, Any], adapted: dict[str, Any], rows: dict[str, Result], curve: dict[str, Any]
) -> list[str]:
    tied = ranking["confidence_set"]
    best = ranking["models"][0]
    sentences = [
        f"{best['model']} ranks first of {len(ranking['models'])}: {best['final']:.1%} on validation after batch-norm "
        f"finetuning, 90% interval {best['low']:.1%} to {best['high']:.1%}."
    ]
    if len(tied) > 1:
        sentences.append(f"{' and '.join(tied)} cannot be told apart with these validation images.")
    reason = adapted["reason"]
    helped = "was kept" if adapted["kept"] == "adapted" else "was not kept: the start model goes on"
    sentences.append(
        f"Adaptation to {adapted['images']['pool']} unlabelled images {helped}. {reason[0].upper()}{reason[1:]}."
    )
    by_test = sorted(rows.items(), key=lambda item: -item[1].metrics["test"]["accuracy"])
    shares = ", ".join(
        f"{name} {row.metrics['test']['accuracy']:.1%} ({row.trainable / row.total:.1%} of the parameters)"
        for name, row in by_test
    )
    sentences.append(f"From {LABELS} labels a class, on the test part: {shares}.")
    sentences.append(curve["verdict"])
    source = {entry.name: entry.source for entry in entries()}.get(best["model"], "")
    if source:
        sentences.append(f"{best['model']} is {source}.")
    return sentences
