"""Layouts that data sets share: folders, a list for each split, one table.

Folders of images are class folders, with or without ``train/ val/ test/``, and flat folders.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from acclimate.errors import DataError, some
from acclimate.images.build import Listing
from acclimate.images.layouts.lists import ImageRow, columns, lines, listing, need, unchecked


@dataclass(frozen=True)
class ClassFolders:
    """A folder for each class, below one folder for each split; images in folders below a class are left out."""

    # Split -> names of its folder, of which the first that exists is read. The split "all" is "not assigned".
    folders: Mapping[str, Sequence[str]]
    # The label is this part of the class folder's name, split at "_"; None takes the whole name
    part: int | None = None

    def read(self, root: Path) -> Listing:
        """List the images of every split."""
        folders = [("" if split == "all" else split, need(root, *names)) for split, names in self.folders.items()]
        parts = [(split, folder, list_folder(folder)) for split, folder in folders]
        rows = [row for split, folder, part in parts for row in self._rows(root, split, folder, part)]
        if not rows:
            raise DataError(f"no images directly in the class folders of {root}; unpack the data set again, completely")
        # The paths need no check: they come from walking through the folder, not from a list.
        return unchecked(root, rows, ignored=sum(part.ignored + len(part.paths) for _, _, part in parts) - len(rows))

    def _rows(self, root: Path, split: str, folder: Path, part: Listing) -> list[ImageRow]:
        """Return the images that lie directly in a class folder: deeper ones are strays, such as Caltech-256 has."""
        if "" in part.labels:
            loose = part.paths[list(part.labels).index("")]
            raise DataError(f"{folder} holds '{loose}' outside a class folder; expected a folder for each class")
        below = PurePosixPath(folder.relative_to(root).as_posix())
        return [
            ImageRow(str(below / path), self._label(label), split)
            for path, label in zip(part.paths, part.labels, strict=True)
            if path.count("/") == 1
        ]

    def _label(self, folder: str) -> str:
        if self.part is None:
            return folder
        parts = folder.split("_")
        if len(parts) <= self.part:
            raise DataError(f"the class folder '{folder}' has {len(parts)} parts; expected more than {self.part}")
        return parts[self.part]


@dataclass(frozen=True)
class SplitLists:
    """A text file for each split, an image on each line: ``NAME`` or ``NAME MORE``."""

    files: Mapping[str, str]  # split -> its list
    path: str = "{}"  # where the image lies; ``{}`` stands for its name in the list
    # ``folder``: the folder that the image is in; ``rest``: what follows the name; ``stem``: the name of the file up to
    # its last "_"
    label: Literal["folder", "rest", "stem"] = "folder"

    def read(self, root: Path) -> Listing:
        """List the images of every split."""
        rows = [self._row(line, split, file) for split, file in self.files.items() for line in lines(root, file)]
        return listing(", ".join(self.files.values()), root, rows)

    def _row(self, line: str, split: str, file: str) -> ImageRow:
        name, _, remainder = line.partition(" ")
        path = self.path.replace("{}", name)
        label = {
            "folder": PurePosixPath(path).parent.name,
            "rest": remainder.strip(),
            "stem": PurePosixPath(name).name.rpartition("_")[0],
        }[self.label]
        if not label:
            raise DataError(f"{file} has the line '{line}', which gives no class; unpack the data set again")
        return ImageRow(path, label, split)


@dataclass(frozen=True)
class SplitTable:
    """One CSV file with a column for the image, its class and its split."""

    file: str
    # Titles of its columns; values of `split` are train, val or test
    image: str
    label: str
    split: str
    path: str = "{}"  # where the image lies; ``{}`` stands for its name in the table

    def read(self, root: Path) -> Listing:
        """List the rows of the table."""
        rows = columns(root, self.file, (self.image, self.label, self.split))
        if strange := next((split for _, _, split in rows if split not in ("train", "val", "test")), None):
            raise DataError(f"{root / self.file} has the {self.split} '{strange}'; expected train, val or test")
        images = [ImageRow(self.path.replace("{}", image), label, split) for image, label, split in rows]
        return listing(self.file, root, images)


_COMMON = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
EXTENSIONS = frozenset((*_COMMON, ".jpe", ".jfif", ".dib", ".gif", ".ppm", ".pgm", ".pbm", ".pnm"))
SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
UNLABELLED_FOLDERS = ("unlabelled", "unlabeled")


def list_folder(root: Path) -> Listing:
    """List the images below `root`, sorted by path; the folders say what label and split they have.

    Raises `DataError`: no images, or folders that can be read in more than one way.
    """
    paths, ignored = _walk(root)
    if not paths:
        contents = f"{ignored} other files" if ignored else "nothing"
        raise DataError(
            f"no images in {root} ({contents} found); expected class folders with "
            f"{', '.join(_COMMON)} files, or the same below train/ val/ test/"
        )
    parts = [PurePosixPath(path).parts for path in paths]
    rows = _split_rows(root, parts) if _has_splits(root, parts) else _class_rows(root, parts)
    labels, splits = zip(*rows, strict=True)
    return Listing(root, paths, labels, splits, ignored=ignored)


def _walk(root: Path) -> tuple[list[str], int]:
    """Return the image paths below `root` and how many other files; links are followed, never in circles."""
    paths, ignored, visited = [], 0, set()
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            below.clear()
            continue
        visited.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        prefix = os.path.relpath(folder, root).replace(os.sep, "/")
        for name in files:
            if name.startswith(".") or os.path.splitext(name)[1].lower() not in EXTENSIONS:
                ignored += 1
            else:
                paths.append(name if prefix == "." else f"{prefix}/{name}")
    return sorted(paths), ignored


def _has_splits(root: Path, parts: list[tuple[str, ...]]) -> bool:
    """Say whether the top folders are splits. A class may be called "train" if it holds no class folders."""
    tops = {part[0] for part in parts if len(part) > 1}
    splits = {top for top in tops if top.lower() in SPLIT_FOLDERS}
    strays = tops - splits - {top for top in tops if top.lower() in UNLABELLED_FOLDERS}
    if not splits or not strays:
        return bool(splits)
    if not any(len(part) > 2 and part[0] in splits for part in parts):
        return False
    raise DataError(
        f"{root} has the split folders {some(sorted(splits), 5, counted=True)} and also "
        f"{some(sorted(strays), 5, counted=True)}; "
        "expected only train, val, test and unlabelled beside each other, or a manifest.csv"
    )


def _split_rows(root: Path, parts: list[tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    """Yield (label, split); images directly in a split folder, or below ``unlabelled``, have no label."""
    _refuse_loose(root, parts)
    for part in parts:
        top = part[0].lower()
        yield (part[1] if len(part) > 2 and top in SPLIT_FOLDERS else "", SPLIT_FOLDERS.get(top, ""))


def _class_rows(root: Path, parts: list[tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    """Yield (label, ""); the label is the top folder. A folder without folders is unlabelled."""
    if any(len(part) > 1 for part in parts):
        _refuse_loose(root, parts)
    for part in parts:
        yield (part[0] if len(part) > 1 else "", "")


def _refuse_loose(root: Path, parts: list[tuple[str, ...]]) -> None:
    loose = [part[0] for part in parts if len(part) == 1]
    if loose:
        raise DataError(
            f"{len(loose)} images lie beside the folders in {root} (first: {loose[0]}); move them into a "
            "class folder, or away"
        )
