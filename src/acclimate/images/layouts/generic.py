"""Layouts that several public data sets share: class folders, a list for each split, one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from acclimate.errors import DataError
from acclimate.images.build import Listing
from acclimate.images.layouts.folders import list_folder
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
