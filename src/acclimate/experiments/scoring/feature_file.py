"""Features files from anywhere: an ``.npz`` with ``x (n, d)`` and ``y (n,)``, as `acclimate embed` writes."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError
from acclimate.images import label_subset

Array = npt.NDArray[Any]

IMAGES: Final = ("x_train", "train_images", "x_test", "test_images", "x_val", "val_images")
OPTIONAL: Final = ("p", "views", "split", "classes", "name")
VAL_FRACTION: Final = 0.2
SPLITS: Final = ("train", "val", "test", "")


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
