"""The label-efficiency curve: what models reach with few labels, and whether that is a difference or luck."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from acclimate.errors import DataError, InputError, unknown
from acclimate.experiments.curve.budgets import plan_budgets
from acclimate.experiments.curve.points import TRAININGS, CurvePlan, Point, Training, measure_points
from acclimate.experiments.curve.worth import Compared, Float64, Verdict, average_change, change, conclude, labels_worth
from acclimate.images import Images, Split, require_classes
from acclimate.models import Backbone
from acclimate.models.classifier import TTA
from acclimate.protocols import Protocol, Task, find_training
from acclimate.storage.runtime import Runtime

TRAINING_WORDS: Final = {"head": "head only", "full": "full finetuning"}
MIRROR_HARM: Final = 0.01  # share of itself by which mirror images may raise the mean log loss without a note

Measured = dict[tuple[str, Training], list[Point]]


@dataclass(frozen=True)
class Comparison:
    """A model against the base at one label budget."""

    model: str
    base: str
    training: str
    labels: str
    # log_loss, accuracy: the paired change over draws of labels and test images: mean, low and high
    log_loss: dict[str, Any]
    accuracy: dict[str, Any]
    said: str  # ``better``, ``worse`` or ``same``
    # worth, worth_low, worth_high, worth_words: how many times the labels the better start is worth, and the same in
    # words
    worth: float | None
    worth_low: float | None
    worth_high: float | None
    worth_words: str


@dataclass(frozen=True)
class Curve:
    """Points of every model with growing numbers of labels, and each model compared with the first."""

    data: str
    base: str
    models: list[dict[str, Any]]  # model, architecture, random_start of each
    labels: list[str]
    seeds: list[int]
    training: list[str]
    recipe: str | None  # of full finetuning; None where only heads were fitted
    tta: str
    negative: list[str]  # classes against which all others are positive
    images: dict[str, int]  # size of the parts
    points: list[dict[str, Any]]  # one a model, training, budget and draw: its metrics on the test part
    comparisons: list[Comparison]
    # what all budgets together say of a model against the base: model, base, training, kind, words
    verdicts: list[dict[str, str]]
    verdict: str | None  # one line about all models; None where there is nothing to compare
    notes: list[str]


def plan_curve(
    task: Task,
    runtime: Runtime,
    *,
    labels: Sequence[str],
    seeds: int,
    training: Sequence[str] = ("head",),
    recipe: str | Protocol = "staged",
    negative: Sequence[str] = (),
    tta: str = "hflip",
) -> CurvePlan:
    """Check the questions of a curve and return them as a plan; nothing is measured.

    Raises `InputError` for an unknown name, no test part, no validation images, or numbers that cannot be.

    The task has the whole split; its seed is the first of the curve's. ``labels`` are budgets: images a class (``10``)
    or a share of each class (``25%``). Of ``training``, ``head`` is logistic regression on features, ``full`` the
    recipe. ``negative`` are class names; without any, two classes have the first as the negative one.
    """
    images, split = task.images, task.split
    for name in training:
        if name not in TRAININGS:
            raise InputError(unknown("training", name, TRAININGS))
    if not training:
        raise InputError("got no training; expected head, full or head,full")
    if tta not in TTA:
        raise InputError(unknown("test-time augmentation", tta, TTA))
    if seeds < 1:
        raise InputError(f"got {seeds} seeds; expected at least 1, and 2 or more for intervals")
    trained = find_training(recipe).fixed_recipe()
    _check_parts(images, split)
    budgets, notes = plan_budgets(labels, images, split)
    if seeds == 1:
        notes.append("one seed shows no spread: no intervals and no verdict; give --seeds 5")
    return CurvePlan(
        task,
        runtime,
        budgets,
        tuple(range(task.seed, task.seed + seeds)),
        tuple(name for name in TRAININGS if name in training),
        trained,
        tta,
        _negative(images, negative),
        tuple(notes),
    )


def _check_parts(images: Images, split: Split) -> None:
    require_classes(images, split)
    if len(split.test) < 2:
        raise DataError(
            f"{images.name} has {len(split.test)} labelled test images; expected at least two: a curve is measured on "
            "images that no model was adapted to or chosen on. Put them under test/, or give split=test in a manifest"
        )
    if not len(split.val):
        raise DataError(
            f"{images.name} has no validation images, since no class has two training images; add images to train/, "
            "or a val/ part"
        )


def _negative(images: Images, names: Sequence[str]) -> tuple[int, ...]:
    for name in names:
        if name not in images.classes:
            raise InputError(unknown("negative class", name, images.classes))
    if names and len(set(names)) == len(images.classes):
        raise InputError(f"got all {len(images.classes)} classes as negative; expected at least one to be positive")
    if not names and len(images.classes) == 2:
        return (0,)
    return tuple(sorted({images.classes.index(name) for name in names}))


def measure_curve(plan: CurvePlan, backbones: Sequence[Backbone], folder: Path | None) -> Curve:
    """Measure every model and compare each with the first; leave rows and runs.

    Raises `InputError` for no model, or the same model twice.

    The first backbone is the base. Rows and runs go to the folder; what is there already is not measured again. None
    keeps nothing.
    """
    check_models(backbones)
    task = plan.task
    measured = {(b.name, t): measure_points(plan, b, t, folder) for b in backbones for t in plan.trainings}
    base, others = backbones[0], backbones[1:]
    compared = {(b.name, t): _compare(plan, measured, base.name, b.name, t) for b in others for t in plan.trainings}
    return Curve(
        data=task.images.name,
        base=base.name,
        models=[{"model": b.name, "architecture": b.architecture, "random_start": b.random_start} for b in backbones],
        labels=[budget.labels for budget in plan.budgets],
        seeds=list(plan.seeds),
        training=list(plan.trainings),
        recipe=plan.recipe.name if "full" in plan.trainings else None,
        tta=plan.tta,
        negative=[task.images.classes[index] for index in plan.negative],
        images={part: len(getattr(task.split, part)) for part in ("train", "val", "test")},
        points=[point.values for points in measured.values() for point in points],
        comparisons=[line for (model, t), (lines, _) in compared.items() for line in _lines(base, model, t, lines)],
        verdicts=[
            {"model": model, "base": base.name, "training": t, "kind": verdict.kind, "words": verdict.words}
            for (model, t), (_, verdict) in compared.items()
        ],
        verdict=_overall(base.name, {key: verdict for key, (_, verdict) in compared.items()}),
        # such as an adaptation that handed back the start model
        notes=[
            *plan.notes,
            *(f"{b.name} has the same weights as {base.name}" for b in others if b.digest == base.digest),
            *_mirror_notes(plan, measured),
        ],
    )


def check_models(backbones: Sequence[Backbone]) -> None:
    """Refuse no model, and the same model twice, with an `InputError`."""
    names = [backbone.name for backbone in backbones]
    if not names:
        raise InputError("got no model; expected --models BASE,OTHER,... with at least one")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"got model '{twice[0]}' twice; expected each model once")


def _compare(
    plan: CurvePlan, measured: Measured, base: str, other: str, training: Training
) -> tuple[list[Compared], Verdict]:
    """Return the paired comparison at every budget, and what they say together."""
    seed = plan.task.seed
    ours, theirs = (_stacked(plan, measured[name, training], "losses") for name in (base, other))
    right, their_right = (_stacked(plan, measured[name, training], "right") for name in (base, other))
    worths = labels_worth(ours, theirs, np.array([budget.per_class for budget in plan.budgets]), seed=seed)
    lines = [
        Compared(budget.labels, change(loss, seed=seed), change(accuracy, seed=seed), worth)
        for budget, loss, accuracy, worth in zip(plan.budgets, theirs - ours, their_right - right, worths, strict=True)
    ]
    return lines, conclude(lines, average_change(ours, theirs, seed=seed), seeds=len(plan.seeds))


def _stacked(plan: CurvePlan, points: Sequence[Point], what: str) -> Float64:
    """Return one number an image of every point, (budgets, seeds, images)."""
    values = np.stack([getattr(point, what) for point in points])
    return values.reshape(len(plan.budgets), len(plan.seeds), -1)


def _lines(base: Backbone, model: str, training: str, budgets: Sequence[Compared]) -> Iterator[Comparison]:
    for one in budgets:
        yield Comparison(
            model=model,
            base=base.name,
            training=training,
            labels=one.labels,
            log_loss=one.log_loss._asdict(),
            accuracy=one.accuracy._asdict(),
            said=one.said,
            worth=one.worth.times,
            worth_low=one.worth.low,
            worth_high=one.worth.high,
            worth_words=one.worth.words,
        )


def _overall(base: str, verdicts: dict[tuple[str, Training], Verdict]) -> str | None:
    """Return one line: what each model is against the base. None where there is nothing to compare."""
    parts: dict[str, list[str]] = {}
    for (model, training), verdict in verdicts.items():
        parts.setdefault(model, []).append(f"{verdict.short} ({TRAINING_WORDS[training]})")
    return " ".join(f"{model} against {base}: {', '.join(own)}." for model, own in parts.items()) or None


def _mirror_notes(plan: CurvePlan, measured: Measured) -> list[str]:
    """Say where averaging with the mirror image did harm: such images have a left and a right."""
    notes = []
    for training in plan.trainings if plan.tta != "none" else ():
        points = [point.values for (_, t), own in measured.items() if t == training for point in own]
        plain = float(np.mean([point["plain"]["log_loss"] for point in points]))
        rise = float(np.mean([point["log_loss"] for point in points])) - plain
        if rise > MIRROR_HARM * plain:
            notes.append(
                f"mirror images raised the mean log loss by {rise / plain:.0%} ({TRAINING_WORDS[training]}): if left "
                "and right mean something in these images, give --tta none"
            )
    return notes
