"""CIFAR in its binary version, because the Python version is a pickle, and reading a pickle runs what is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError
from acclimate.images.geometry import Pixels
from acclimate.images.layouts.lists import lines, need

_SIDE = 32  # pixels


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
