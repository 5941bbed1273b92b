"""Scores of a features file: classifiers on held-out rows, estimates on all rows that may be learnt from. No model.

A features file is from anywhere: an ``.npz`` with ``x (n, d)`` and ``y (n,)``, as `acclimate embed` writes.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError, RecipeError, unknown
from acclimate.images import label_subset
from acclimate.scores import PROBES
from acclimate.scores.estimates import ESTIMATES, Prepared, prepare, table
from acclimate.stats.metrics import measure

Array = npt.NDArray[Any]

IMAGES: Final = ("x_train", "train_images", "x_test", "test_images", "x_val", "val_images")
OPTIONAL: Final = ("p", "views", "split", "classes", "name")
VAL_FRACTION: Final = 0.2
SPLITS: Final = ("train", "val", "test", "")
Document = dict[str, Any]


@dataclass(frozen=True, eq=False)
class FeatureFile:
    """What a features file holds."""

    # x, y: (n, d) floats and (n,) classes 0..C-1, -1 for "no label"
    x: Array
    y: npt.NDArray[np.int64]
    # p, views: source predictions (n, z) and views (m, q, d), or None
    p: Array | None
    views: Array | None
    # train, val: labelled rows that may be learnt from, and rows that held-out classifiers are chosen on, taken from
    # `train` when the file names none (`carved`)
    train: npt.NDArray[np.int64]
    val: npt.NDArray[np.int64]
    carved: bool


def is_feature_file(data: str | Path) -> bool:
    """Return whether data is an ``.npz`` with an array x and none of those that hold images; reads only its index."""
    path = Path(data)
    if path.suffix.lower() != ".npz" or not path.is_file():
        return False
    try:
        with np.load(path, allow_pickle=False) as file:
            return "x" in file.files and not set(file.files) & set(IMAGES)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return False


def read_feature_file(path: Path, seed: int) -> FeatureFile:
    """Read a features file.

    Raises `DataError` for a missing y, Python objects inside, or arrays whose shapes or types do not fit; one line.

    The seed chooses the held-out fifth of every class when the file has no ``val`` rows.
    """
    arrays = _arrays(path)
    x = _floats(arrays["x"], f"{path}: x")
    if x.ndim != 2:
        raise DataError(f"{path}: x has shape {x.shape}; expected (n, d), one row of features per image")
    y = _codes(arrays["y"], len(x), path)
    splits = _splits(arrays.get("split"), len(x), path)
    learn = np.flatnonzero((y >= 0) & np.isin(splits, ("train", "")))
    val = np.flatnonzero((y >= 0) & (splits == "val"))
    if not len(learn):
        raise DataError(f"{path} has no labelled row to learn from; expected labels y >= 0 outside val and test")
    carved = not len(val)
    if carved:
        val = np.setdiff1d(learn, label_subset(y, learn, fraction=1 - VAL_FRACTION, seed=seed))
    p, views = (_floats(arrays[key], f"{path}: {key}") if key in arrays else None for key in ("p", "views"))
    return FeatureFile(x, y, p, views, learn, val, carved)


def _arrays(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [key for key in ("x", "y") if key not in file.files]
            if missing:
                raise DataError(
                    f"{path} has the arrays {', '.join(sorted(file.files))}; expected x (n, d) and y (n,), and "
                    "optionally p (n, z) and views (m, q, d)"
                )
            return {key: file[key] for key in ("x", "y", *OPTIONAL) if key in file.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(
            f"cannot read {path}: {error}; expected an .npz of plain arrays, without Python objects"
        ) from error


def _floats(array: Array, what: str) -> Array:
    if array.dtype.kind not in "fiub":
        raise DataError(f"{what} has type {array.dtype}; expected numbers")
    if array.dtype in (np.float32, np.float64):
        return array
    return array.astype(np.float32 if array.dtype == np.float16 else np.float64)


def _codes(y: Array, n: int, path: Path) -> npt.NDArray[np.int64]:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.shape != (n,):
        raise DataError(f"{path}: y has shape {y.shape}; expected ({n},), one label per row of x")
    if y.dtype.kind == "f" and np.isfinite(y).all() and (y == np.round(y)).all():
        y = y.astype(np.int64)
    if y.dtype.kind not in "iubU":
        raise DataError(f"{path}: y has type {y.dtype}; expected whole numbers, -1 for no label, or text")
    labelled = y != "" if y.dtype.kind == "U" else y.astype(np.int64) >= 0
    codes = np.full(n, -1, np.int64)
    codes[labelled] = np.unique(y[labelled], return_inverse=True)[1]
    return codes


def _splits(split: Array | None, n: int, path: Path) -> Array:
    if split is None:
        return np.full(n, "")
    if split.shape != (n,) or split.dtype.kind != "U" or not np.isin(split, SPLITS).all():
        raise DataError(
            f"{path}: split must be ({n},) texts: train, val, test or empty; got {split.dtype} {split.shape}"
        )
    return split


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
    train, p = file.train, file.p
    if p is not None and (p.ndim != 2 or len(p) != len(file.x)):
        raise DataError(f"{path}: p has shape {p.shape}; expected ({len(file.x)}, z), one row per row of x")
    own = None if p is None else p[train]
    prepared = prepare(file.x[train], file.y[train], p=own, views=file.views, seed=seed)
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
