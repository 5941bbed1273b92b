"""Layouts that one public data set has for itself: CUB, Flowers, Cars, Pascal VOC, ISIC, ChestX-ray14, CIFAR.

``.mat`` files are read with ``scipy.io.loadmat``. It parses MATLAB's numbers, texts and structures and runs no code:
functions and objects in a file come back as inert bytes. CIFAR is read in its binary version, because the Python
version is a pickle, and reading a pickle runs what is in it.
"""

from __future__ import annotations

import importlib
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from acclimate.errors import DataError
from acclimate.images.build import Listing
from acclimate.images.geometry import Pixels
from acclimate.images.layouts.files import Row, columns, lines, listing, need, pairs

_NOT_A_MAT = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    NotImplementedError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
)
_SIDE = 32  # of a CIFAR image
_LARGEST_MASK = 16_000_000  # pixels; those of Pascal VOC have 0.25 million


@dataclass(frozen=True)
class Cub:
    """CUB-200-2011: ``images.txt``, ``image_class_labels.txt``, ``train_test_split.txt`` and ``classes.txt``."""

    def read(self, root: Path) -> Listing:
        """Join the four lists by the number of the image."""
        paths, names = pairs(root, "images.txt"), pairs(root, "classes.txt")
        labels, train = pairs(root, "image_class_labels.txt"), pairs(root, "train_test_split.txt")
        rows = []
        for number, path in paths.items():
            label, side = names.get(labels.get(number, "")), train.get(number)
            if label is None or side not in ("0", "1"):
                raise DataError(
                    f"{root}: image {number} of images.txt has no class or no split; expected it in "
                    "image_class_labels.txt, and as 0 or 1 in train_test_split.txt"
                )
            rows.append(Row(f"images/{path}", label, "train" if side == "1" else "test"))
        return listing("images.txt", root, rows)


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
                rows.append(Row(f"jpg/image_{number:05d}.jpg", str(labels[number - 1]), split))
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


def _cars(root: Path, split: str, places: Sequence[str], names: Sequence[str]) -> list[Row]:
    rows = []
    for found in np.atleast_1d(_mat(root, *places, key="annotations")).tolist():
        if not (isinstance(found, dict) and {"fname", "class"} <= set(found)):
            raise DataError(f"{places[0]} has an annotation without fname or class; expected the devkit as published")
        try:
            number = int(found["class"])
        except (TypeError, ValueError):
            number = 0
        if not 1 <= number <= len(names):
            raise DataError(f"{places[0]}: class {found['class']!r}; expected 1 to {len(names)}, as in cars_meta.mat")
        rows.append(Row(f"cars_{split}/{found['fname']}", names[number - 1], split))
    return rows


@dataclass(frozen=True)
class VocClasses:
    """Pascal VOC, ``ImageSets/Main/CLASS_LIST.txt``: 1 for "is in it", 0 for "hard to see", -1 for "is not".

    An image has a label here if it shows objects of exactly one class and none that is hard to see; the others have
    no label, since one label an image is what the rest of the program trains and measures.
    """

    classes: Sequence[str]
    lists: Mapping[str, str]

    def read(self, root: Path) -> Listing:
        """Join the lists of all classes by the name of the image."""
        rows = []
        for split, suffix in self.lists.items():
            shown: dict[str, list[str]] = {}
            for label in self.classes:
                for name, flag in pairs(root, f"ImageSets/Main/{label}_{suffix}.txt").items():
                    shown.setdefault(name, []).extend({"1": [label], "-1": []}.get(flag, [label, ""]))
            rows += [
                Row(f"JPEGImages/{name}.jpg", found[0] if len(found) == 1 else "", split)
                for name, found in shown.items()
            ]
        return listing("ImageSets/Main", root, rows)


@dataclass(frozen=True)
class VocMasks:
    """Pascal VOC segmentation as classification: the label is the class that covers most of the image.

    Source: Marks et al. (2024), who use it so; background (0) and borders (255) do not count.
    """

    classes: Sequence[str]
    lists: Mapping[str, str]

    def read(self, root: Path) -> Listing:
        """Read the mask of every listed image."""
        names = [(split, name) for split, file in self.lists.items() for name in lines(root, file)]
        masks = [Row(f"SegmentationClass/{name}.png", "", split) for split, name in names]
        listing("ImageSets/Segmentation", root, masks)  # before any of them is opened
        rows = [
            Row(f"JPEGImages/{name}.jpg", self._largest(root / mask.path), split)
            for (split, name), mask in zip(names, masks, strict=True)
        ]
        return listing("ImageSets/Segmentation", root, rows)

    def _largest(self, file: Path) -> str:
        try:
            with Image.open(file, formats=["PNG"]) as mask:
                if mask.mode not in ("P", "L") or mask.width * mask.height > _LARGEST_MASK:
                    raise ValueError(f"mode {mask.mode}, {mask.width} x {mask.height}")
                counts = np.bincount(np.asarray(mask).ravel(), minlength=256)[1 : len(self.classes) + 1]
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(f"cannot read the mask {file} ({error}); expected a PNG with a palette") from error
        return self.classes[int(counts.argmax())] if counts.any() else ""


@dataclass(frozen=True)
class Isic:
    """ISIC 2018 task 3: a folder of images and a CSV file with a column of 0 and 1 for each class, for each split.

    Validation and test were published later and may be missing. `groups` says which images show the same lesion; an
    image that it does not list is a group of its own.
    """

    classes: Sequence[str]
    groups: str = "ISIC2018_Task3_Training_LesionGroupings.csv"

    def read(self, root: Path) -> Listing:
        """Read the splits that are there."""
        known = [("train", "Training"), ("val", "Validation"), ("test", "Test")]
        rows = [row for split, title in known for row in self._rows(root, split, title)]
        if not (root / self.groups).is_file():
            return listing("the ground truth", root, rows)
        lesion = {row[0]: row[1] for row in columns(root, self.groups, ("image", "lesion_id"))}
        rows = [Row(row.path, row.label, row.split, lesion.get(Path(row.path).stem, "")) for row in rows]
        return listing("the ground truth", root, rows, grouped=True)

    def _rows(self, root: Path, split: str, title: str) -> list[Row]:
        truth, images = f"ISIC2018_Task3_{title}_GroundTruth", f"ISIC2018_Task3_{title}_Input"
        if split != "train" and not (root / truth).exists() and not (root / f"{truth}.csv").exists():
            return []
        file = need(root, f"{truth}/{truth}.csv", f"{truth}.csv").relative_to(root).as_posix()
        rows = []
        for name, *flags in columns(root, file, ("image", *self.classes)):
            label = [kind for kind, flag in zip(self.classes, flags, strict=True) if flag in ("1", "1.0")]
            if len(label) != 1:
                raise DataError(f"{root / file}: {name} has {len(label)} classes; expected a single 1 in its row")
            rows.append(Row(f"{images}/{name}.jpg", label[0], split))
        return rows


@dataclass(frozen=True)
class ChestX:
    """NIH ChestX-ray14: a table of findings, lists of the official split, and up to twelve folders of images.

    An image has a label if its only finding is one of `classes` (as in CD-FSL); the others, healthy ones among them,
    have none. Images of one patient are a group.
    """

    classes: Sequence[str]

    def read(self, root: Path) -> Listing:
        """Join table, lists and folders by the name of the image."""
        table = "Data_Entry_2017.csv" if (root / "Data_Entry_2017.csv").exists() else "Data_Entry_2017_v2020.csv"
        found = columns(root, table, ("Image Index", "Finding Labels", "Patient ID"))
        split = dict.fromkeys(lines(root, "train_val_list.txt"), "train") | dict.fromkeys(
            lines(root, "test_list.txt"), "test"
        )
        places = self._places(root)
        if lacking := [name for name, _, _ in found if name not in split]:
            raise DataError(f"{root / table} lists '{lacking[0]}', which is in no list of a split; unpack it again")
        rows = [
            Row(f"{places.get(name, 'images')}/{name}", label if label in self.classes else "", split[name], patient)
            for name, label, patient in found
        ]
        return listing(table, root, rows, grouped=True)

    @staticmethod
    def _places(root: Path) -> dict[str, str]:
        """Return the folder of every image: all are in ``images``, or in ``images_001/images`` and so on."""
        folders = ["images", *(f"images_{k:03d}/images" for k in range(1, 13))]
        there = [folder for folder in folders if (root / folder).is_dir()]
        if not there:
            need(root, "images", "images_001/images")
        return {file.name: folder for folder in there for file in (root / folder).iterdir()}


@dataclass(frozen=True)
class Arrays:
    """Images that a layout keeps in its own files, not as image files: ``(n, h, w, 3)`` uint8 and their columns."""

    array: Pixels
    labels: npt.NDArray[np.int64]
    classes: Sequence[str]
    splits: Sequence[str]


@dataclass(frozen=True)
class Cifar:
    """CIFAR, binary version: records of `label_bytes` bytes, of which the last is the class, and 3 x 32 x 32 pixels."""

    files: Mapping[str, Sequence[str]]
    names: str
    label_bytes: int

    def read(self, root: Path) -> Arrays:
        """Read every file."""
        classes = lines(root, self.names)
        parts = [(split, self._records(need(root, file))) for split, files in self.files.items() for file in files]
        records = np.concatenate([part for _, part in parts])
        labels = records[:, self.label_bytes - 1].astype(np.int64)
        if len(labels) and labels.max() >= len(classes):
            raise DataError(
                f"{root} has the class {labels.max()}; expected 0 to {len(classes) - 1}, as in {self.names}"
            )
        planes = records[:, self.label_bytes :].reshape(-1, 3, _SIDE, _SIDE)
        array = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        return Arrays(array, labels, classes, [split for split, part in parts for _ in range(len(part))])

    def _records(self, file: Path) -> npt.NDArray[np.uint8]:
        size = self.label_bytes + 3 * _SIDE * _SIDE
        content = file.read_bytes()
        if len(content) % size:
            raise DataError(f"{file} has {len(content)} bytes; expected a multiple of {size}, download it again")
        return np.frombuffer(content, np.uint8).reshape(-1, size)


def _mat(root: Path, *places: str, key: str) -> Any:
    """Return one variable of a MATLAB file (see the head of this module), structures as dicts."""
    matlab = importlib.import_module("scipy.io.matlab")  # slow to import, and only two data sets need it
    file = need(root, *places)
    try:
        return matlab.loadmat(str(file), simplify_cells=True, variable_names=[key])[key]
    except (*_NOT_A_MAT, matlab.MatReadError) as error:
        raise DataError(f"cannot read {key} of {file} ({error}); expected the .mat file as published") from error


def _numbers(root: Path, name: str, key: str) -> npt.NDArray[np.int64]:
    values = np.atleast_1d(np.asarray(_mat(root, name, key=key)))
    if values.ndim != 1 or values.dtype.kind not in "iuf" or not np.array_equal(values, np.floor(values)):
        raise DataError(f"{root / name}: {key} is no row of whole numbers; expected the .mat file as published")
    return values.astype(np.int64)
