"""Scores of a features file: classifiers on held-out rows, estimates on all rows that may be learnt from. No model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError, RecipeError, unknown
from acclimate.experiments.scoring.feature_file import FeatureFile, read_feature_file
from acclimate.scores import PROBES
from acclimate.scores.estimates import ESTIMATES, Prepared, prepare, table
from acclimate.stats.metrics import measure

Document = dict[str, Any]


def names_of(score: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the held-out classifiers and the training-free estimates that a name means; ``all`` means all.

    Raises `RecipeError` for an unknown name; the nearest one is named.
    """
    if score == "all":
        return tuple(PROBES), tuple(ESTIMATES)
    if score in PROBES:
        return (score,), ()
    if score in ESTIMATES:
        return (), (score,)
    raise RecipeError(unknown("score", score, (*PROBES, *ESTIMATES, "all")))


def score_file(path: Path, *, score: str, seed: int) -> Document:
    """Measure scores of a features file and return the part of the document that holds the numbers.

    Raises `DataError` when the file cannot be used; see `read_feature_file`; `RecipeError` for an unknown score.
    """
    classifiers, names = names_of(score)
    file = read_feature_file(path, seed)
    train = file.train
    x, p = file.x[train], None if file.p is None else _rows(file.p, file, path)[train]
    prepared = prepare(x, file.y[train], p=p, views=file.views, seed=seed)
    estimates = described(prepared, names) if names else []
    metrics, settings, notes = _classified(file, classifiers, seed)
    accuracies = {name: metrics[name]["val"]["accuracy"] if name in metrics else None for name in classifiers}
    if score in accuracies and accuracies[score] is None:
        raise DataError(f"{path}: {notes[0]}")
    return {
        **_values(score, accuracies, estimates),
        "metrics": metrics,
        "settings": settings,
        "split": _split_note(file, seed),
        "n": prepared.n,
        "d": prepared.d,
        "warnings": [*notes, *notes_of(estimates, score)],
    }


def _values(score: str, accuracies: dict[str, float | None], estimates: list[Document]) -> Document:
    """Return the keys of the document that hold the numbers: ``value``, or ``values`` by name, and ``estimates``."""
    values = {**accuracies, **{line["name"]: line["value"] for line in estimates}}
    return {**({"values": values} if score == "all" else {"value": values[score]}), "estimates": estimates}


def _rows(p: npt.NDArray[Any], file: FeatureFile, path: Path) -> npt.NDArray[Any]:
    if p.ndim != 2 or len(p) != len(file.x):
        raise DataError(f"{path}: p has shape {p.shape}; expected ({len(file.x)}, z), one row per row of x")
    return p


def _classified(
    file: FeatureFile, names: tuple[str, ...], seed: int
) -> tuple[dict[str, Document], dict[str, Document], list[str]]:
    """Return metrics and settings by classifier, and what is to be said; nothing is fitted without held-out rows."""
    train, x_val, y_val = np.setdiff1d(file.train, file.val), file.x[file.val], file.y[file.val]
    missing = not len(y_val) or len(np.unique(file.y[train])) < 2 or np.setdiff1d(y_val, file.y[train]).size
    if names and missing:
        return {}, {}, ["no held-out rows for classifiers: label two or more images of each class"]
    classes = int(file.y.max()) + 1
    metrics, settings = {}, {}
    for name in names:
        fitted = PROBES[name].fit(file.x[train], file.y[train], x_val, y_val, n_classes=classes, seed=seed)
        metrics[name] = {"val": measure(fitted.predict_proba(x_val), y_val, n_classes=classes)}
        settings[name] = dict(fitted.settings)
    few = f"only {len(y_val)} held-out rows: an accuracy is uncertain by up to {82 / len(y_val) ** 0.5:.0f} points"
    return metrics, settings, [few] if names and len(y_val) < 100 else []


def _split_note(file: FeatureFile, seed: int) -> str:
    if not file.carved:
        return f"the file's: {len(file.train)} rows of train, {len(file.val)} of val"
    return (
        f"classifiers: {len(file.val)} rows held out, a fifth of each class, seed {seed}; "
        f"estimates: all {len(file.train)} rows"
    )


def described(prepared: Prepared, names: tuple[str, ...]) -> list[Document]:
    """Return a document for each estimate: name, value, meaning, range, better, pool_relative, warning.

    One estimate that cannot be had is an error; of several, it has no value and a warning.
    """
    rows = table(prepared, names)
    if len(rows) == 1 and rows[0].value is None:
        raise DataError(f"{rows[0].name}: {rows[0].warning}")
    return [
        {
            "name": row.name,
            "value": list(row.value) if isinstance(row.value, tuple) else row.value,
            "meaning": (estimate := ESTIMATES[row.name]).meaning,
            "range": estimate.extent.words,
            "better": estimate.better,
            "pool_relative": estimate.pool_relative,
            "warning": row.warning,
        }
        for row in rows
    ]


def notes_of(estimates: list[Document], score: str) -> list[str]:
    """Return the warnings of single estimates; a table of all has them in its lines, but for the worthless ones."""
    lines = [line for line in estimates if line["warning"] and line["value"] is not None]
    if score != "all":
        return [f"{line['name']}: {line['warning']}" for line in lines]
    worthless = [line["name"] for line in lines if line["warning"].startswith("worthless")]
    return [f"worthless with so few images for so many dimensions: {', '.join(worthless)}"] if worthless else []
