"""Images: one data set in one fixed order, whatever it was read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from acclimate.errors import DataError
from acclimate.images.decode import decode, pixels
from acclimate.images.geometry import Geometry, Pixels, fit

SPLITS = ("train", "val", "test", "")


class Source(Protocol):
    """Where the pixels come from. Safe to be called from several threads at once."""

    def __len__(self) -> int:
        """Return the number of images."""

    def name(self, i: int) -> str:
        """Return a name that tells the user which image this is."""

    def pixels(self, i: int, *, at_least: int | None = None) -> Pixels:
        """Return ``(h, w, 3)`` uint8; with `at_least` maybe smaller, but no side below it.

        Raises `DataError`: the image is damaged; the text is the reason without the name.
        """

    def fitted(self, i: int, geometry: Geometry) -> Pixels:
        """Return ``(geometry.height, geometry.width, 3)`` uint8. Raises as `pixels` does."""


@dataclass(frozen=True)
class FileSource:
    """Image files by their path below `root`, with forward slashes."""

    root: Path
    paths: Sequence[str] = field(repr=False)

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.paths)

    def name(self, i: int) -> str:
        """Return the path below the root."""
        return self.paths[i]

    def pixels(self, i: int, *, at_least: int | None = None) -> Pixels:
        """Decode file `i` in its own size, a JPEG reduced if `at_least` allows it."""
        return pixels(self.root / self.paths[i], at_least=at_least)

    def fitted(self, i: int, geometry: Geometry) -> Pixels:
        """Decode file `i` to the size of `geometry`."""
        return decode(self.root / self.paths[i], geometry)


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Images in memory: ``(n, h, w)`` grey or ``(n, h, w, 3)`` RGB, uint8."""

    array: Pixels = field(repr=False)
    names: Sequence[str] = field(repr=False)

    def __post_init__(self) -> None:
        shape = self.array.shape
        if self.array.dtype != np.uint8 or not (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)):
            raise DataError(
                f"images must be uint8 of shape (n, h, w) or (n, h, w, 3), got {self.array.dtype} of {shape}"
            )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.array)

    def name(self, i: int) -> str:
        """Return the given name."""
        return self.names[i]

    def pixels(self, i: int, *, at_least: int | None = None) -> Pixels:
        """Return image `i` as RGB; `at_least` changes nothing."""
        image = self.array[i]
        return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)

    def fitted(self, i: int, geometry: Geometry) -> Pixels:
        """Resize image `i`; grey is resized as one channel."""
        image = Image.fromarray(np.ascontiguousarray(self.array[i]))
        return fit(image, geometry, (image.height, image.width))


@dataclass(frozen=True, eq=False)
class Images:
    """A data set: n images in one fixed order. Splits and subsets are arrays of indices into it.

    Attributes
    ----------
    name
        Short, for people: the folder's or the file's name, or the name of a known data set.
    source
        The pixels.
    labels
        ``(n,)`` int64, an index into `classes`, or -1 for "no label".
    classes
        Names of the labels.
    splits
        ``(n,)`` text: ``train``, ``val``, ``test``, or "" for "not assigned".
    groups
        ``(n,)`` int64, images of one group (a patient, a scene) belong on one side of a split; or None.
    fingerprint
        Changes with any pixel, name, label, split or group, and not with the place on disk.
    skipped
        Unreadable files that were left out, as ``name (reason)``.
    ignored
        Number of files in the folder that are hidden or whose extension is none of an image.
    """

    name: str
    source: Source
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    splits: npt.NDArray[np.str_]
    groups: npt.NDArray[np.int64] | None = None
    fingerprint: str = ""
    skipped: tuple[str, ...] = ()
    ignored: int = 0

    def __post_init__(self) -> None:
        n = len(self.source)
        columns = {"labels": self.labels, "splits": self.splits, "groups": self.groups}
        for what, column in columns.items():
            if column is not None and column.shape != (n,):
                raise DataError(f"{what} must have shape ({n},), one for each image, got {column.shape}")
        if n and not (self.labels.min() >= -1 and self.labels.max() < len(self.classes)):
            raise DataError(
                f"labels must be -1 (no label) or below the number of classes {len(self.classes)}, "
                f"got {self.labels.min()} to {self.labels.max()}"
            )
        if strange := set(np.unique(self.splits).tolist()) - set(SPLITS):
            raise DataError(f"splits must be train, val, test or empty, got {', '.join(sorted(strange))}")

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.source)

    def indices(self, split: str) -> npt.NDArray[np.int64]:
        """Return the images of ``train``, ``val``, ``test`` or "" (not assigned), ascending."""
        if split not in SPLITS:
            raise DataError(f"unknown split '{split}'; expected one of: train, val, test, or empty")
        return np.flatnonzero(self.splits == split).astype(np.int64)

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Which images have a label, ``(n,)``."""
        return self.labels >= 0

    @property
    def names(self) -> list[str]:
        """The name of every image."""
        return [self.source.name(i) for i in range(len(self))]
