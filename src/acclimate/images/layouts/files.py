"""Layouts on disk that several public data sets share: class folders, lists of a split, one table.

A layout is a small value whose fields come from ``datasets.toml``; `read` turns a folder into a `Listing`. Names of
images that stand in lists and tables are hostile until `check_inside` has seen them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from acclimate.errors import DataError
from acclimate.images.build import Listing
from acclimate.images.layouts.folders import list_folder
from acclimate.images.layouts.inside import check_inside


class Absent(DataError):
    """A file or folder of the layout that is not there; the text is its path below the data set's folder."""


class Layout(Protocol):
    """How one data set lies on disk."""

    def read(self, root: Path) -> Listing:
        """List the images below `root` with label and split.

        Raises
        ------
        Absent
            Something of the layout is missing.
        DataError
            A list or table that cannot be used.
        """


@dataclass(frozen=True)
class Row:
    """One image: its path below the root, label ("" for none), split and group ("" for a group of its own)."""

    path: str
    label: str
    split: str
    group: str = ""


def listing(source: str, root: Path, rows: Sequence[Row], *, grouped: bool = False) -> Listing:
    """Check the paths of `rows` and turn them into columns, in the order of the paths."""
    if not rows:
        raise DataError(f"{source} lists no images; unpack the data set again, completely")
    rows = sorted(rows, key=lambda row: row.path)
    paths = [row.path for row in rows]
    check_inside(source, root, paths)
    return Listing(
        root=root,
        paths=paths,
        labels=[row.label for row in rows],
        splits=[row.split for row in rows],
        groups=[row.group for row in rows] if grouped else None,
    )


def need(root: Path, *names: str) -> Path:
    """Return the first of `names` that exists below `root`, a file or a folder."""
    found = next((root / name for name in names if (root / name).exists()), None)
    if found is None:
        raise Absent(" or ".join(names))
    return found


def lines(root: Path, *names: str) -> list[str]:
    """Return the lines of a text file that hold something, without comments and without space around them."""
    file = need(root, *names)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file}: {error}; expected a list as text in UTF-8") from error
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def pairs(root: Path, name: str) -> dict[str, str]:
    """Return a text file of lines ``KEY VALUE`` as a dict; a value may hold spaces."""
    split = [line.partition(" ") for line in lines(root, name)]
    if bad := next((key for key, _, value in split if not value.strip()), None):
        raise DataError(f"{root / name} has the line '{bad}'; expected two values, with a space between them")
    return {key: value.strip() for key, _, value in split}


def columns(root: Path, name: str, wanted: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the `wanted` columns of a CSV file, one tuple a row; other columns are not looked at."""
    file = need(root, name)
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            table = [row for row in csv.reader(stream) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {file}: {error}; expected CSV text in UTF-8") from error
    header = [title.strip() for title in table[0]] if table else []
    if lacking := [title for title in wanted if title not in header]:
        raise DataError(f"{file} has no column '{lacking[0]}'; expected {', '.join(wanted)}")
    at = [header.index(title) for title in wanted]
    for number, row in enumerate(table[1:], start=2):
        if len(row) <= max(at):
            raise DataError(f"{file}, row {number}: expected at least {max(at) + 1} values, got {len(row)}")
    return [tuple(row[k].strip() for k in at) for row in table[1:]]


@dataclass(frozen=True)
class ClassFolders:
    """A folder for each class, below one folder for each split; images in folders below a class are left out.

    Attributes
    ----------
    folders
        Split -> names of its folder, of which the first that exists is read. The split "all" is "not assigned".
    part
        The label is this part of the class folder's name, split at "_"; None takes the whole name.
    """

    folders: Mapping[str, Sequence[str]]
    part: int | None = None

    def read(self, root: Path) -> Listing:
        """List the images of every split."""
        found = [(split, need(root, *names)) for split, names in self.folders.items()]
        read = [("" if split == "all" else split, folder, list_folder(folder)) for split, folder in found]
        rows = [row for split, folder, part in read for row in self._rows(root, split, folder, part)]
        if not rows:
            raise DataError(f"no images directly in the class folders of {root}; unpack the data set again, completely")
        rows.sort(key=lambda row: row.path)
        # No check of the paths: nobody wrote them down, they were found by walking through the folder.
        return Listing(
            root,
            [row.path for row in rows],
            [row.label for row in rows],
            [row.split for row in rows],
            ignored=sum(part.ignored + len(part.paths) for _, _, part in read) - len(rows),
        )

    def _rows(self, root: Path, split: str, folder: Path, part: Listing) -> list[Row]:
        """Return the images that lie directly in a class folder: deeper ones are strays, such as Caltech-256 has."""
        if "" in part.labels:
            loose = part.paths[list(part.labels).index("")]
            raise DataError(f"{folder} holds '{loose}' outside a class folder; expected a folder for each class")
        below = PurePosixPath(folder.relative_to(root).as_posix())
        return [
            Row(str(below / path), self._label(label), split)
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
    """A text file for each split, an image on each line: ``NAME`` or ``NAME MORE``.

    Attributes
    ----------
    files
        Split -> its list.
    path
        Where the image lies; ``{}`` stands for its name in the list.
    label
        ``folder``: the folder that the image is in; ``rest``: what follows the name; ``stem``: the name of the
        file up to its last "_".
    """

    files: Mapping[str, str]
    path: str = "{}"
    label: Literal["folder", "rest", "stem"] = "folder"

    def read(self, root: Path) -> Listing:
        """List the images of every split."""
        rows = [self._row(line, split, file) for split, file in self.files.items() for line in lines(root, file)]
        return listing(", ".join(self.files.values()), root, rows)

    def _row(self, line: str, split: str, file: str) -> Row:
        name, _, rest = line.partition(" ")
        path = self.path.replace("{}", name)
        label = {
            "folder": PurePosixPath(path).parent.name,
            "rest": rest.strip(),
            "stem": PurePosixPath(name).name.rpartition("_")[0],
        }[self.label]
        if not label:
            raise DataError(f"{file} has the line '{line}', which gives no class; unpack the data set again")
        return Row(path, label, split)


@dataclass(frozen=True)
class Table:
    """One CSV file with a column for the image, its class and its split.

    Attributes
    ----------
    file
        The table.
    image, label, split
        Titles of its columns; values of `split` are train, val or test.
    path
        Where the image lies; ``{}`` stands for its name in the table.
    """

    file: str
    image: str
    label: str
    split: str
    path: str = "{}"

    def read(self, root: Path) -> Listing:
        """List the rows of the table."""
        rows = columns(root, self.file, (self.image, self.label, self.split))
        if strange := next((split for _, _, split in rows if split not in ("train", "val", "test")), None):
            raise DataError(f"{root / self.file} has the {self.split} '{strange}'; expected train, val or test")
        return listing(self.file, root, [Row(self.path.replace("{}", image), *rest) for image, *rest in rows])
