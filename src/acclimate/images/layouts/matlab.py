"""Layouts whose lists are MATLAB files: Oxford Flowers and Stanford Cars.

``.mat`` files are read with ``scipy.io.loadmat``. It parses MATLAB's numbers, texts and structures and runs no code:
functions and objects in a file come back as inert bytes.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError
from acclimate.images.build import Listing
from acclimate.images.decode import DAMAGED
from acclimate.images.layouts.lists import ImageRow, listing, need


@dataclass(frozen=True)
class Flowers:
    """Oxford Flowers: ``imagelabels.mat`` (class of every image) and ``setid.mat`` (numbers of each split)."""

    def read(self, root: Path) -> Listing:
        """Join the two files by the number of the image, which counts from 1."""
        labels = _numbers(root, "imagelabels.mat", "labels")
        rows = []
        for split, key in (("train", "trnid"), ("val", "valid"), ("test", "tstid")):
            for number in _numbers(root, "setid.mat", key).tolist():
                if not 1 <= number <= len(labels):
                    raise DataError(
                        f"{root / 'setid.mat'}: {key} holds {number}; expected 1 to {len(labels)}, the images "
                        "of imagelabels.mat"
                    )
                rows.append(ImageRow(f"jpg/image_{number:05d}.jpg", str(labels[number - 1]), split))
        return listing("setid.mat", root, rows)


@dataclass(frozen=True)
class Cars:
    """Stanford Cars: ``devkit/cars_meta.mat`` and an annotation file for each split."""

    def read(self, root: Path) -> Listing:
        """Take file name and class of every annotation; boxes are not used."""
        names = [str(name) for name in np.atleast_1d(_mat(root, "devkit/cars_meta.mat", key="class_names")).tolist()]
        test = ("cars_test_annos_withlabels.mat", "devkit/cars_test_annos_withlabels.mat")
        files = (("train", ("devkit/cars_train_annos.mat",)), ("test", test))
        rows = [row for split, places in files for row in _cars(root, split, places, names)]
        return listing("the devkit", root, rows)


def _cars(root: Path, split: str, places: Sequence[str], names: Sequence[str]) -> list[ImageRow]:
    rows = []
    for annotation in np.atleast_1d(_mat(root, *places, key="annotations")).tolist():
        if not (isinstance(annotation, dict) and {"fname", "class"} <= set(annotation)):
            raise DataError(f"{places[0]} has an annotation without fname or class; expected the devkit as published")
        label = annotation["class"]
        try:
            number = int(label)
        except (TypeError, ValueError):
            number = 0
        if not 1 <= number <= len(names):
            raise DataError(f"{places[0]}: class {label!r}; expected 1 to {len(names)}, as in cars_meta.mat")
        rows.append(ImageRow(f"cars_{split}/{annotation['fname']}", names[number - 1], split))
    return rows


def _mat(root: Path, *places: str, key: str) -> Any:
    """Return one variable of a MATLAB file (see the head of this module), structures as dicts."""
    matlab = importlib.import_module("scipy.io.matlab")  # slow to import, and only two data sets need it
    file = need(root, *places)
    try:
        return matlab.loadmat(str(file), simplify_cells=True, variable_names=[key])[key]
    except (*DAMAGED, NotImplementedError, matlab.MatReadError) as error:
        raise DataError(f"cannot read {key} of {file} ({error}); expected the .mat file as published") from error


def _numbers(root: Path, name: str, key: str) -> npt.NDArray[np.int64]:
    values = np.atleast_1d(np.asarray(_mat(root, name, key=key)))
    if values.ndim != 1 or values.dtype.kind not in "iuf" or not np.array_equal(values, np.floor(values)):
        raise DataError(f"{root / name}: {key} is no row of whole numbers; expected the .mat file as published")
    return values.astype(np.int64)
