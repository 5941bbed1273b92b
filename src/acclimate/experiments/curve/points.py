"""The points of a curve: one model, one label budget, one draw of labels, one way to train, measured on the test part.

Each is kept as result rows, one without and one with the mirror image, so that a curve that was stopped goes on and
nothing is measured twice. The numbers of a point come from the kept predictions.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from acclimate.experiments.curve.budgets import Budget
from acclimate.images import Split
from acclimate.models import Backbone
from acclimate.models.classifier import WEIGHTS, Classifier
from acclimate.protocols import Stated, Task, result_row, run_recipe
from acclimate.scores.probes.logistic.subsets import fit_draws
from acclimate.stats.metrics import auc, log_losses, measure
from acclimate.storage.results import Predictions, Results, part_codes
from acclimate.storage.runtime import Runtime
from acclimate.storage.store import digest, safe_name
from acclimate.training.recipe import Recipe

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Training = Literal["head", "full"]

TRAININGS: Final[tuple[Training, ...]] = ("head", "full")
SCORE: Final = "logistic"
SHOWN: Final = ("log_loss", "macro_f1", "auc", "accuracy")


@dataclass(frozen=True)
class CurvePlan:
    """What a curve measures, checked.

    The task's split has all labels: `budgets` take from its training and validation part, the test part stays.
    """

    task: Task
    runtime: Runtime
    budgets: tuple[Budget, ...]
    seeds: tuple[int, ...]  # each draws labels of its own and trains with them
    trainings: tuple[Training, ...]
    recipe: Recipe  # of the training ``full``
    tta: str  # ``hflip`` or ``none``
    negative: tuple[int, ...] = ()  # classes that count as negative for ``auc_positive``; it needs one
    notes: tuple[str, ...] = ()

    @property
    def views(self) -> tuple[str, ...]:
        """What is measured of each classifier: without the mirror image, and with it if that is asked for."""
        return ("none",) if self.tta == "none" else ("none", self.tta)

    def draws(self) -> Iterator[Draw]:
        """Yield every budget with every seed, few labels first."""
        for budget in self.budgets:
            for seed in self.seeds:
                yield Draw(budget, seed, budget.draw(self.task.images, self.task.split, seed))

    def task_of(self, draw: Draw) -> Task:
        """Return the task of one draw."""
        return replace(self.task, split=draw.split, seed=draw.seed, labels=draw.budget.labels)


@dataclass(frozen=True, eq=False)
class Draw:
    """A budget drawn with a seed."""

    budget: Budget
    seed: int
    split: Split


@dataclass(frozen=True, eq=False)
class Fitted:
    """A classifier's probabilities of the test part by view, ``(n, C)``, and what it took.

    ``leftover`` is a file that may go once the rows are kept.
    """

    probabilities: Mapping[str, Float32]
    seconds: float
    trainable: int
    total: int
    chosen: Mapping[str, Any] = field(default_factory=dict)
    leftover: Path | None = None


@dataclass(frozen=True, eq=False)
class Point:
    """One point: the numbers that are shown, and what comparisons pair, ``(n,)`` over the test images."""

    values: dict[str, Any]
    losses: Float64
    right: Float64


Fit = Callable[[Draw], Fitted]


def measure_points(plan: CurvePlan, backbone: Backbone, training: Training, folder: Path | None) -> list[Point]:
    """Return the points of one model and training, in the order of `CurvePlan.draws`; finished rows are read again.

    Rows and runs lie in the folder; None keeps nothing, for the training ``head`` alone.
    """
    results = None if folder is None else Results(folder)
    draws = list(plan.draws())
    keys = [
        {view: plan.task_of(draw).key(backbone, _stated(plan, training, draw, view)) for view in plan.views}
        for draw in draws
    ]
    missing = [
        draw
        for draw, own in zip(draws, keys, strict=True)
        if results is None or not all(results.has(key) for key in own.values())
    ]
    fit = _start(plan, backbone, training, folder, missing) if missing else None
    points = []
    for number, (draw, own) in enumerate(zip(draws, keys, strict=True), start=1):
        if fit is not None and draw in missing:
            fitted = fit(draw)
            if results is not None:
                _store(plan, backbone, training, draw, fitted, results)
            by_view = fitted.probabilities
        elif results is not None:
            by_view = {view: results.predictions(key).probabilities for view, key in own.items()}
        points.append(_point(plan, backbone.name, training, draw, by_view))
        if fit is not None and not plan.runtime.quiet and (training == "full" or number == len(draws)):
            progress = f"{training} of {backbone.name}: {number} of {len(draws)}, {draw.budget.labels} labels"
            print(progress, file=sys.stderr, flush=True)
    return points


def _start(plan: CurvePlan, backbone: Backbone, training: Training, folder: Path | None, draws: Sequence[Draw]) -> Fit:
    if training == "head":
        return head(plan, backbone, draws)
    if folder is None:
        raise ValueError("full finetuning needs a folder for its runs")
    return full(plan, backbone, folder)


def head(plan: CurvePlan, backbone: Backbone, draws: Sequence[Draw]) -> Fit:
    """Return a function that fits logistic regression on a draw's features; C is chosen on its validation images.

    At the first of a budget's `draws` all of them are fitted at once; each has its share of the seconds. A fit uses no
    random number: a draw of the same images as an earlier one, such as all of them, is not fitted again.
    """
    task, runtime, split = plan.task, plan.runtime, plan.task.split
    n_classes, y = len(task.images.classes), task.images.labels
    x = np.asarray(task.features(backbone, runtime, np.concatenate([split.train, split.val, split.test])).x)
    tests = [x[split.test]]
    if plan.tta == "hflip":
        tests.append(np.asarray(task.features(backbone, runtime, split.test, hflip=True).x[split.test]))
    fits: dict[str, Fitted] = {}

    def fit(draw: Draw) -> Fitted:
        if _same(draw) not in fits:
            new = {_same(other): other for other in (*draws, draw) if other.budget == draw.budget}
            new = {name: other for name, other in new.items() if name not in fits}
            started = time.perf_counter()
            parts = [(other.split.train, other.split.val) for other in new.values()]
            classifiers = fit_draws(x, y, parts, n_classes=n_classes)
            stacks = [np.stack([one.predict_proba(test) for test in tests]) for one in classifiers]
            seconds, total = (time.perf_counter() - started) / len(new), backbone.parameters
            for name, one, p in zip(new, classifiers, stacks, strict=True):
                fits[name] = Fitted(_by_view(p), seconds, 0, total, chosen={"C": one.settings["C"]})
        return fits[_same(draw)]

    return fit


def _same(draw: Draw) -> str:
    """Return what draws of the same images have in common."""
    return digest(draw.split.train.tolist(), draw.split.val.tolist())


def full(plan: CurvePlan, backbone: Backbone, folder: Path) -> Fit:
    """Return a function that trains the recipe on a draw, in a run folder of its own.

    The run never sees the test part. Its weights are dropped once its rows are kept: a curve is made of many runs, and
    each would leave a whole network.
    """
    task, runtime = plan.task, plan.runtime

    def fit(draw: Draw) -> Fitted:
        # model (of one that is a path, the end), labels, seed
        name = f"{safe_name(backbone.name)[-80:].strip('.-')}-{draw.budget.labels.replace('%', 'pct')}-{draw.seed}"
        place = folder / "runs" / name
        own = replace(plan.task_of(draw), use_test=False)
        row = run_recipe(own, backbone, replace(runtime, quiet=True), plan.recipe, place).row
        p = Classifier.load(place).predict_views(task.images, runtime, indices=task.split.test, tta="hflip")
        return Fitted(_by_view(p), row.seconds, row.trainable, row.total, leftover=place / WEIGHTS)

    return fit


def _by_view(p: Float64) -> dict[str, Float32]:
    """Return probabilities as they are kept: of the image, and averaged with those of its mirror image."""
    plain = {"none": p[0].astype(np.float32)}
    return plain if len(p) == 1 else plain | {"hflip": p.mean(axis=0).astype(np.float32)}


def _stated(plan: CurvePlan, training: Training, draw: Draw, view: str) -> Stated:
    """Return how the row of a view names what was run."""
    parts = (draw.split.train, draw.split.val, draw.split.test)
    recipe = plan.recipe.model_dump(mode="json") if training == "full" else {}
    settings = {**recipe, "training": training, "tta": view, "split": digest([part.tolist() for part in parts])}
    name = SCORE if training == "head" else plan.recipe.name
    return Stated(name if view == "none" else f"{name}, {view}", settings)


def _store(plan: CurvePlan, model: Backbone, training: Training, draw: Draw, fitted: Fitted, results: Results) -> None:
    """Write a row for each view, then drop what only they were needed for."""
    test = plan.task.split.test
    labels = plan.task.images.labels[test]
    for view, p in fitted.probabilities.items():
        row = result_row(
            plan.task_of(draw),
            model,
            plan.runtime,
            _stated(plan, training, draw, view),
            {"test": measure(p, labels, n_classes=p.shape[1])},
            trainable=fitted.trainable,
            total=fitted.total,
            seconds=fitted.seconds,
            chosen=fitted.chosen,
        )
        results.append(row, Predictions(p, labels, test, part_codes("test", len(test))))
    if fitted.leftover is not None:
        fitted.leftover.unlink(missing_ok=True)


def _point(plan: CurvePlan, model: str, training: Training, draw: Draw, by_view: Mapping[str, Float32]) -> Point:
    labels = plan.task.images.labels[plan.task.split.test]
    p = by_view[plan.tta]
    plain = {} if plan.tta == "none" else {"plain": numbers(by_view["none"], labels, plan.negative)}
    values = {
        "model": model,
        "labels": draw.budget.labels,
        "training": training,
        "seed": draw.seed,
        "images": len(draw.split.train),
        "per_class": round(draw.budget.per_class, 3),
        **numbers(p, labels, plan.negative),
        **plain,
    }
    return Point(values, log_losses(p, labels), (p.argmax(axis=1) == labels).astype(np.float64))


def numbers(p: Float32, labels: npt.NDArray[np.int64], negative: tuple[int, ...] = ()) -> dict[str, float | None]:
    """Return the numbers of a point from probabilities ``(n, C)``; None where one is undefined on these images.

    ``auc_positive`` asks how well the probability of all but the negative classes tells images of those from the
    others; it is there only if negative classes are given.
    """
    metrics = measure(p, labels, n_classes=p.shape[1])
    values = {name: metrics[name] for name in SHOWN}
    if negative:
        rest = np.setdiff1d(np.arange(p.shape[1]), negative)
        positive = p[:, rest].sum(axis=1, dtype=np.float64)
        values["auc_positive"] = auc(np.stack([-positive, positive], axis=1), np.isin(labels, rest).astype(np.int64))
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
