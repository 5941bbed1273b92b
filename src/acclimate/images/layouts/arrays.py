"""Images in arrays: ``.npz`` files and scikit-learn's digits."""

from __future__ import annotations

import importlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError
from acclimate.images.build import coded, content_hash, from_source
from acclimate.images.dataset import ArraySource, Images
from acclimate.images.geometry import Pixels

Array = npt.NDArray[Any]

# Name of the images, name of the labels, split. The second three are MedMNIST's.
_PARTS = (
    ("x_train", "y_train", "train"),
    ("x_val", "y_val", "val"),
    ("x_test", "y_test", "test"),
    ("train_images", "train_labels", "train"),
    ("val_images", "val_labels", "val"),
    ("test_images", "test_labels", "test"),
)


def load_npz(path: Path) -> Images:
    """Read ``x_train, y_train[, x_val, y_val][, x_test, y_test][, classes]`` or MedMNIST's names.

    Images are ``(n, h, w)``, ``(n, h, w, 1)`` or ``(n, h, w, 3)``; uint8 or other whole numbers in 0 to
    255, or floats in 0 to 1. Labels are ``(n,)`` or ``(n, 1)``; -1 or a missing array means "no label".
    """
    arrays = _read(path)
    parts = [part for part in _PARTS if part[0] in arrays]
    if not parts:
        raise DataError(
            f"{path} has the arrays {', '.join(sorted(arrays)) or 'none'}; expected x_train, y_train, "
            "x_test, y_test, or train_images, train_labels, test_images, test_labels"
        )
    stacks, labels, splits = [], [], []
    for images_key, labels_key, split in parts:
        pixels = eight_bit_stack(arrays[images_key], f"{path}: {images_key}")
        stacks.append(pixels)
        labels.append(_labels(arrays.get(labels_key), len(pixels), f"{path}: {labels_key}"))
        splits += [split] * len(pixels)
    array = _joined(stacks, path)
    codes, classes = _coded(labels, arrays.get("classes"), path)
    return from_array(path.stem, array, codes, classes, splits)


def load_digits() -> Images:
    """Return scikit-learn's 1,797 scanned digits, 8 x 8, of which every third of a class is the test split.

    The images come in the order in which scikit-learn ships them, so the test split never changes.
    """
    bunch = importlib.import_module("sklearn.datasets").load_digits()  # a slow import, needed only here
    labels = bunch.target.astype(np.int64)
    splits = np.full(len(labels), "train")
    for label in range(10):
        splits[np.flatnonzero(labels == label)[2::3]] = "test"
    array = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    return from_array("digits", array, labels, tuple(map(str, range(10))), splits.tolist())


def from_array(
    name: str, array: Pixels, labels: npt.NDArray[np.int64], classes: Sequence[str], splits: Sequence[str]
) -> Images:
    """Make `Images` of ``(n, h, w)`` or ``(n, h, w, 3)`` uint8, hashing every image."""
    if not len(array):
        raise DataError(f"{name} holds no images; expected at least one")
    names = [f"{split or 'image'}/{k}" for k, split in enumerate(splits)]
    return from_source(name, ArraySource(array, names), list(map(content_hash, array)), labels, classes, splits)


def _read(path: Path) -> Mapping[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(
            f"cannot read {path}: {error}; expected an .npz of plain arrays, without Python objects"
        ) from error


def eight_bit_stack(array: Array, what: str) -> Pixels:
    """Return ``(n, h, w)`` or ``(n, h, w, 3)`` uint8, or raise with `what` in the text."""
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if not (array.ndim == 3 or (array.ndim == 4 and array.shape[3] == 3)) or 0 in array.shape[1:]:
        turn = "; move the channels to the end" if array.ndim == 4 and array.shape[1] in (1, 3) else ""
        raise DataError(f"{what} has shape {array.shape}; expected (n, h, w), (n, h, w, 1) or (n, h, w, 3){turn}")
    if array.dtype == np.uint8 or not len(array):
        return array.astype(np.uint8, copy=False)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{what} has type {array.dtype}; expected uint8, or floats in 0 to 1")
    return _floats(array, what) if array.dtype.kind == "f" else _integers(array, what)


def _floats(array: Array, what: str) -> Pixels:
    finite = np.isfinite(array)
    if not finite.all():
        first = int(np.argmin(finite.reshape(len(array), -1).all(axis=1)))
        raise DataError(f"{what} holds NaN or infinity, first in image {first}; remove it or fill it in")
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        raise DataError(f"{what} holds floats from {low:g} to {high:g}; expected 0 to 1, or uint8 in 0 to 255")
    return np.round(array * 255.0).astype(np.uint8)


def _integers(array: Array, what: str) -> Pixels:
    low, high = int(array.min()), int(array.max())
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if low < 0 or high > 255:
        raise DataError(f"{what} holds whole numbers from {low} to {high}; expected 0 to 255")
    return array.astype(np.uint8)


def _labels(labels: Array | None, n: int, what: str) -> Array:
    if labels is None:
        return np.full(n, -1, np.int64)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (n,):
        kind = "; several labels an image are not supported" if labels.ndim == 2 else ""
        raise DataError(f"{what} has shape {labels.shape}; expected ({n},) or ({n}, 1), one an image{kind}")
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all() or (labels != np.round(labels)).any():
            raise DataError(f"{what} holds fractions, NaN or infinity; expected whole numbers, -1 for no label")
    elif labels.dtype.kind not in "iubU":
        raise DataError(f"{what} has type {labels.dtype}; expected whole numbers or text")
    return labels if labels.dtype.kind == "U" else labels.astype(np.int64)


def _joined(stacks: list[Pixels], path: Path) -> Pixels:
    shapes = {stack.shape[1:] for stack in stacks}
    if len(shapes) > 1:
        raise DataError(f"{path} holds images of the shapes {', '.join(map(str, sorted(shapes)))}; expected one shape")
    return stacks[0] if len(stacks) == 1 else np.concatenate(stacks)


def _coded(labels: list[Array], class_names: Array | None, path: Path) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Return ``(n,)`` codes and the class names; numbers are indices into ``classes`` if that is given."""
    if any(part.dtype.kind == "U" for part in labels):
        if any(part.dtype.kind != "U" and (part != -1).any() for part in labels):
            raise DataError(f"{path}: some labels are text and some are numbers; use one kind")
        names = [str(label) for part in labels for label in (part if part.dtype.kind == "U" else [""] * len(part))]
        return coded(names)
    joined = np.concatenate(labels)
    if len(joined) and joined.min() < -1:
        raise DataError(f"{path}: labels must be 0 or more, or -1 for no label, got {joined.min()}")
    if class_names is not None:
        if len(joined) and joined.max() >= len(class_names):
            raise DataError(f"{path}: label {joined.max()} has no name; classes has {len(class_names)} entries")
        return joined, tuple(map(str, class_names.tolist()))
    values = np.unique(joined[joined >= 0])
    return np.where(joined < 0, -1, np.searchsorted(values, joined)), tuple(map(str, values.tolist()))
