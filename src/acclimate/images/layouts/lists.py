"""Tools of the readers of public data sets: rows of images, text lists and CSV tables.

A reader is a small value whose fields come from ``datasets.toml``; `read` turns a folder into a `Listing`. Paths of
images come from lists and tables of others, so `check_inside` has to check them before a file is opened.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from acclimate.errors import DataError
from acclimate.images.build import Listing
from acclimate.images.layouts.inside import check_inside


class MissingFile(DataError):
    """A file or folder of the layout that is not there; the text is its path below the data set's folder."""


class LayoutReader(Protocol):
    """How one data set lies on disk."""

    def read(self, root: Path) -> Listing:
        """List the images below `root` with label and split.

        Raises `MissingFile`: something of the layout is missing. `DataError`: a list or table that cannot be used.
        """


@dataclass(frozen=True)
class ImageRow:
    """One image: its path below the root, label ("" for none), split and group ("" for a group of its own)."""

    path: str
    label: str
    split: str
    group: str = ""


def listing(source: str, root: Path, rows: Sequence[ImageRow], *, grouped: bool = False) -> Listing:
    """Check the paths of `rows` and turn them into columns, in the order of the paths."""
    if not rows:
        raise DataError(f"{source} lists no images; unpack the data set again, completely")
    found = unchecked(root, rows, grouped=grouped)
    check_inside(source, root, found.paths)
    return found


def unchecked(root: Path, rows: Sequence[ImageRow], *, grouped: bool = False, ignored: int = 0) -> Listing:
    """Turn rows, whose paths are known to be files below `root`, into columns, in the order of the paths."""
    rows = sorted(rows, key=lambda row: row.path)
    return Listing(
        root=root,
        paths=[row.path for row in rows],
        labels=[row.label for row in rows],
        splits=[row.split for row in rows],
        groups=[row.group for row in rows] if grouped else None,
        ignored=ignored,
    )


def need(root: Path, *names: str) -> Path:
    """Return the first of `names` that exists below `root`, a file or a folder."""
    path = next((root / name for name in names if (root / name).exists()), None)
    if path is None:
        raise MissingFile(" or ".join(names))
    return path


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


def csv_rows(file: Path, what: str = "") -> list[list[str]]:
    """Return the rows of a CSV file that are not empty; an error names the file after `what` it is."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            return [row for row in csv.reader(stream) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {what}{file}: {error}; expected CSV text in UTF-8") from error


def columns(root: Path, name: str, titles: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the columns with these titles of a CSV file, one tuple a row; other columns are left out."""
    file = need(root, name)
    table = csv_rows(file)
    header = [title.strip() for title in table[0]] if table else []
    if missing := [title for title in titles if title not in header]:
        raise DataError(f"{file} has no column '{missing[0]}'; expected {', '.join(titles)}")
    places = [header.index(title) for title in titles]
    for number, row in enumerate(table[1:], start=2):
        if len(row) <= max(places):
            raise DataError(f"{file}, row {number}: expected at least {max(places) + 1} values, got {len(row)}")
    return [tuple(row[k].strip() for k in places) for row in table[1:]]
