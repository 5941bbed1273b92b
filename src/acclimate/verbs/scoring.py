"""What the verb `score` does beyond one classifier: training-free estimates, and features files without a model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError, RecipeError, unknown
from acclimate.models import Backbone
from acclimate.protocols import Task
from acclimate.scores import PROBES
from acclimate.scores.estimates import ESTIMATES, EstimateRow, Prepared, prepare, table
from acclimate.stats.metrics import measure
from acclimate.storage.runtime import Runtime
from acclimate.verbs.feature_file import FeatureFile, read_feature_file
from acclimate.verbs.options import Options, document

Document = dict[str, Any]


def names_of(score: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the held-out classifiers and the training-free estimates that a name means; ``all`` means all.

    Raises
    ------
    RecipeError
        For an unknown name; the nearest one is named.
    """
    if score == "all":
        return tuple(PROBES), tuple(ESTIMATES)
    if score in PROBES:
        return (score,), ()
    if score in ESTIMATES:
        return (), (score,)
    raise RecipeError(unknown("score", score, (*PROBES, *ESTIMATES, "all")))


def estimates_of(task: Task, backbone: Backbone, runtime: Runtime, names: tuple[str, ...]) -> list[Document]:
    """Return the estimates of a model's features of the training part, as documents."""
    if not names:
        return []
    train = task.split.train
    features = task.features(backbone, runtime, train)
    return described(prepare(features.x[train], features.y[train], seed=task.seed), names)


def described(prepared: Prepared, names: tuple[str, ...]) -> list[Document]:
    """Return a document for each estimate: name, value, meaning, range, better, pool_relative, warning.

    One estimate that cannot be had is an error; of several, it has no value and a warning.
    """
    rows = table(prepared, names)
    if len(rows) == 1 and rows[0].value is None:
        raise DataError(f"{rows[0].name}: {rows[0].warning}")
    return [_described(row) for row in rows]


def _described(row: EstimateRow) -> Document:
    member = ESTIMATES[row.name]
    return {
        "name": row.name,
        "value": list(row.value) if isinstance(row.value, tuple) else row.value,
        "meaning": member.meaning,
        "range": member.range,
        "better": member.better,
        "pool_relative": member.pool_relative,
        "warning": row.warning,
    }


def joined(score: str, accuracies: dict[str, float | None], estimates: list[Document]) -> Document:
    """Return the keys of the document that hold the numbers: ``value``, or ``values`` by name, and ``estimates``."""
    values = {**accuracies, **{line["name"]: line["value"] for line in estimates}}
    return {**({"values": values} if score == "all" else {"value": values[score]}), "estimates": estimates}


def notes_of(estimates: list[Document], score: str) -> list[str]:
    """Return the warnings of single estimates; a table of all has them in its lines, but for the worthless ones."""
    lines = [line for line in estimates if line["warning"] and line["value"] is not None]
    if score != "all":
        return [f"{line['name']}: {line['warning']}" for line in lines]
    worthless = [line["name"] for line in lines if line["warning"].startswith("worthless")]
    return [f"worthless with so few images for so many dimensions: {', '.join(worthless)}"] if worthless else []


def score_file(path: Path, *, model: str | None, score: str, options: Options) -> Document:
    """Measure scores of a features file: classifiers on held-out rows, estimates on all rows that may be learnt from.

    Raises
    ------
    DataError
        When the file cannot be used; see `read_feature_file`.
    RecipeError
        For an unknown score.
    """
    started = time.perf_counter()
    classifiers, names = names_of(score)
    file = read_feature_file(path, options.seed)
    train = file.train
    x, p = file.x[train], None if file.p is None else _rows(file.p, file, path)[train]
    prepared = prepare(x, file.y[train], p=p, views=file.views, seed=options.seed)
    estimates = described(prepared, names) if names else []
    metrics, settings, notes = _classified(file, classifiers, options.seed)
    accuracies = {name: metrics[name]["val"]["accuracy"] if name in metrics else None for name in classifiers}
    if score in accuracies and accuracies[score] is None:
        raise DataError(f"{path}: {notes[0]}")
    return {
        **document("score", options, time.perf_counter() - started, "cpu"),
        "model": model or str(path),
        "random_start": False,
        "score": score,
        **joined(score, accuracies, estimates),
        "metrics": metrics,
        "settings": settings,
        "split": _told(file, options.seed),
        "n": prepared.n,
        "d": prepared.d,
        "warnings": [*notes, *notes_of(estimates, score)],
    }


def _rows(p: npt.NDArray[Any], file: FeatureFile, path: Path) -> npt.NDArray[Any]:
    if p.ndim != 2 or len(p) != len(file.x):
        raise DataError(f"{path}: p has shape {p.shape}; expected ({len(file.x)}, z), one row per row of x")
    return p


def _classified(
    file: FeatureFile, names: tuple[str, ...], seed: int
) -> tuple[dict[str, Document], dict[str, Document], list[str]]:
    """Return metrics and settings by classifier, and what is to be said; nothing is fitted without held-out rows."""
    train = np.setdiff1d(file.train, file.val)
    missing = (
        not len(file.val) or len(np.unique(file.y[train])) < 2 or np.setdiff1d(file.y[file.val], file.y[train]).size
    )
    if names and missing:
        return {}, {}, ["no held-out rows for classifiers: label two or more images of each class"]
    classes = int(file.y.max()) + 1
    metrics, settings = {}, {}
    for name in names:
        fitted = PROBES[name].fit(
            file.x[train], file.y[train], file.x[file.val], file.y[file.val], n_classes=classes, seed=seed
        )
        probabilities = fitted.predict_proba(file.x[file.val])
        metrics[name] = {"val": measure(probabilities, file.y[file.val], n_classes=classes)}
        settings[name] = dict(fitted.settings)
    few = (
        f"only {len(file.val)} held-out rows: an accuracy is uncertain by up to {82 / len(file.val) ** 0.5:.0f} points"
    )
    return metrics, settings, [few] if names and len(file.val) < 100 else []


def _told(file: FeatureFile, seed: int) -> str:
    if not file.carved:
        return f"the file's: {len(file.train)} rows of train, {len(file.val)} of val"
    return (
        f"classifiers: {len(file.val)} rows held out, a fifth of each class, seed {seed}; "
        f"estimates: all {len(file.train)} rows"
    )
