"""``acclimate demo``: the whole story on embedded data and models, offline, and what it found, good or bad."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from acclimate.commands.curve import write_curve
from acclimate.commands.data import open_data, task_for
from acclimate.commands.rank import write_ranking
from acclimate.commands.report import report
from acclimate.commands.shared import Cache, Command, Device, Document, Seed, fresh_folder, head, runtime_of
from acclimate.commands.tables import escape

if TYPE_CHECKING:
    from rich.console import Console

    from acclimate.experiments.curve import Comparison
    from acclimate.experiments.ranking import Ranking
    from acclimate.models import Backbone
    from acclimate.protocols import Task
    from acclimate.storage.results import Result
    from acclimate.storage.runtime import Runtime
    from acclimate.training.recipe import Recipe

DATA = "builtin:digits"
# four of the embedded models: supervised and BYOL, batch norm and layer norm, photographs and drawn images
MODELS = ("zoo:convnext-byol", "zoo:resnet-byol", "zoo:resnet-leaves", "zoo:resnet-supervised")
LABELS = "10"  # a class, for ranking and tuning
BUDGETS = (1, 5, 10, 25)
CURVE_SEEDS = 5
SHARE = 0.4  # of the length of what trains
RECIPES = ("linear", "bn", "finetune", "staged")
ADAPTATION = {
    "objective": "byol",
    "scope": "all",
    "steps": 100,
    "batch": 128,
    "lr": 0.001,
    "backbone_lr": 0.3,
    "domain": "document",
    "strength": 0.6,
    "head_steps": 10,
}

Outcome = TypeVar("Outcome")


def demo(
    *,
    out: Annotated[Path | str, typer.Option(help="Where to write everything.")] = Path("acclimate-demo"),
    seed: Seed = 0,
    device: Device = "auto",
    cache: Cache = None,
    quiet: bool = False,
) -> Document:
    """Run the whole story on embedded data and models, offline: rank, adapt, tune, report.

    The data are real scans of digits; a few of their labels are used.

    Returns
    -------
    The document: ``findings`` (sentences), ``best``, ``kept``, ``report`` and the seconds of each chapter.
    """
    from acclimate.experiments import adaptation
    from acclimate.models import choose_device, load_backbone
    from acclimate.storage.store import write_atomic

    started, folder = time.perf_counter(), fresh_folder(out)
    chapters = Chapters(quiet=quiet)
    runtime = runtime_of(device=device, cache=cache, quiet=quiet)
    task = task_for(open_data(DATA, runtime), DATA, seed=seed, labels=LABELS)
    top_keys = head("rank", started, seed=seed, device=choose_device(device))
    ranking = chapters.run(f"ranking {len(MODELS)} embedded models", lambda: _rank(task, folder, runtime, top_keys))
    backbone = load_backbone(ranking.best)
    adapted = chapters.run(
        f"adapting {backbone.name} without labels",
        lambda: adaptation.adapt(task, backbone, runtime, _recipe(), folder / "runs" / "adapt-byol"),
    )
    better = dataclasses.replace(adapted.adapted, name=f"{backbone.name}+byol")
    kept = backbone if adapted.kept is backbone else dataclasses.replace(adapted.kept, name=better.name)
    rows = chapters.run(f"tuning from {LABELS} labels a class", lambda: _tune(task, kept, folder, runtime))
    verdict = chapters.run("labels against accuracy", lambda: _curve(task, (backbone, better), folder, runtime))
    chapters.run("drawing feature maps", lambda: _maps(task, (backbone, better), folder, runtime))
    findings = [*_of_ranking(ranking), _of_adaptation(adapted.document), _of_tuning(rows), verdict]
    findings += _of_source(ranking.best)
    write_atomic(folder / "findings.json", json.dumps({"sentences": findings}, indent=1))
    return {
        **head("demo", started, seed=seed, device=choose_device(device)),
        "data": DATA,
        "best": ranking.best,
        "kept": adapted.document["kept"],
        "chapters": chapters.seconds,
        "findings": findings,
        "report": report(folder, seed=seed)["out"],
    }


class Chapters:
    """Runs one chapter after the other and says so on stderr; ``seconds`` holds what each took."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.seconds: dict[str, float] = {}

    def run(self, title: str, work: Callable[[], Outcome]) -> Outcome:
        """Return what the work returns."""
        if not self.quiet:
            print(f"{title} ...", file=sys.stderr, flush=True)
        started = time.perf_counter()
        outcome = work()
        self.seconds[title] = round(time.perf_counter() - started, 2)
        return outcome


def _rank(task: Task, folder: Path, runtime: Runtime, top_keys: Document) -> Ranking:
    from acclimate.experiments.ranking import rank_models
    from acclimate.models import load_backbone
    from acclimate.protocols import find_training

    final = find_training("bn").shorter(SHARE)
    ranking = rank_models(task, [load_backbone(name) for name in MODELS], runtime, folder, final=final, top=2)
    write_ranking(ranking, {**top_keys, "data": task.images.name}, folder)
    return ranking


def _recipe() -> Recipe:
    from acclimate.training.recipe import parse_recipe

    return parse_recipe({"name": "adapt-byol", "stages": [ADAPTATION]}, where="of the demo")


def _tune(task: Task, backbone: Backbone, folder: Path, runtime: Runtime) -> dict[str, Result]:
    from acclimate.protocols import find_training
    from acclimate.storage.results import Results

    results = Results(folder)
    return {
        name: find_training(name)
        .shorter(SHARE)
        .run(task, backbone, runtime, folder / "runs" / f"tune-{name}", results)
        .row
        for name in RECIPES
    }


def _curve(task: Task, models: tuple[Backbone, Backbone], folder: Path, runtime: Runtime) -> str:
    """Measure both models with growing numbers of labels, several draws of them, and return the verdict."""
    from acclimate.experiments.curve import measure_curve, plan_curve
    from acclimate.images import make_split

    full = dataclasses.replace(task, split=make_split(task.images, seed=task.seed), labels=None)
    plan = plan_curve(full, runtime, labels=[str(budget) for budget in BUDGETS], seeds=CURVE_SEEDS, tta="none")
    curve = measure_curve(plan, models, None)
    verdict, answer = _verdict(curve.comparisons), dataclasses.asdict(curve)
    parts = {key: answer[key] for key in ("base", "points", "comparisons", "verdicts")}
    write_curve({**parts, "verdict": verdict}, folder)
    return verdict


def _verdict(comparisons: list[Comparison]) -> str:
    """Return a clause a label budget: the paired change of the log loss, over draws of labels and test images."""
    models = f"{comparisons[0].model} against {comparisons[0].base}"
    return f"Test log loss of {models}, head only, by labels. " + "; ".join(map(_change, comparisons)) + "."


def _change(line: Comparison) -> str:
    loss = line.log_loss
    word = f"no difference that {CURVE_SEEDS} draws can show" if line.said == "same" else line.said
    interval = f"90% interval {loss['low']:+.3f} to {loss['high']:+.3f}"
    return f"{line.labels} a class: {word} ({loss['mean']:+.3f}, {interval})"


def _maps(task: Task, models: tuple[Backbone, Backbone], folder: Path, runtime: Runtime) -> None:
    """Write the test images' features, drawn on a plane."""
    import numpy as np
    from sklearn.manifold import TSNE

    from acclimate.storage.store import write_atomic

    test = task.split.test[:500]
    labels = task.images.labels[test].tolist()
    maps = []
    for backbone in models:
        x = task.features(backbone, runtime).x[test]
        flat = TSNE(init="pca", random_state=task.seed, perplexity=30).fit_transform(x)
        xs, ys = (np.round(flat[:, axis], 3).tolist() for axis in (0, 1))
        maps.append({"model": backbone.name, "x": xs, "y": ys, "label": labels, "split": ["test"] * len(test)})
    write_atomic(folder / "map.json", json.dumps({"maps": maps, "classes": list(task.images.classes)}))


def _of_ranking(ranking: Ranking) -> list[str]:
    best, ties = ranking.models[0], ranking.confidence_set
    sentences = [
        f"{best.model} ranks first of {len(ranking.models)}: {best.final:.1%} on validation after batch-norm "
        f"finetuning, 90% interval {best.low:.1%} to {best.high:.1%}."
    ]
    if len(ties) > 1:
        sentences.append(f"{' and '.join(ties)} cannot be told apart with these validation images.")
    return sentences


def _of_adaptation(facts: Document) -> str:
    reason = facts["reason"]
    fate = "was kept" if facts["kept"] == "adapted" else "was not kept: the start model goes on"
    return f"Adaptation to {facts['images']['pool']} unlabelled images {fate}. {reason[0].upper()}{reason[1:]}."


def _of_tuning(rows: Mapping[str, Result]) -> str:
    by_test = sorted(rows.items(), key=lambda item: -item[1].metrics["test"]["accuracy"])
    shares = ", ".join(
        f"{name} {row.metrics['test']['accuracy']:.1%} ({row.trainable / row.total:.1%} of the parameters)"
        for name, row in by_test
    )
    return f"From {LABELS} labels a class, on the test part: {shares}."


def _of_source(model: str) -> list[str]:
    from acclimate.catalogue import entries

    return [f"{entry.name} is {entry.source}." for entry in entries() if entry.name == model and entry.source]


def show(document: Document, console: Console) -> None:
    """Print the findings, and where the page is."""
    for sentence in document["findings"]:
        console.print(f"- {escape(sentence)}")
    console.print(f"Report: [bold]{escape(document['report'])}[/]")


COMMAND = Command(demo, show)
