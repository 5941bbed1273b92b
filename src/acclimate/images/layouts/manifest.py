"""A table of images, ``path,label[,split][,group]``: ``.csv`` or ``.parquet``, paths below its own folder."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

from acclimate.errors import DataError
from acclimate.images.build import Listing
from acclimate.images.layouts.folders import SPLIT_FOLDERS

_COLUMNS = ("path", "label", "split", "group")
_SPLITS = SPLIT_FOLDERS | {"": ""}


def list_manifest(path: Path) -> Listing:
    """Read the table. An empty label means "no label", an empty group "a group of its own".

    Other columns are ignored; without a ``label`` column no image has a label.

    Raises
    ------
    DataError
        A missing ``path`` column, an unknown split, a path twice, missing files, or a path out of the folder.
    """
    columns = _read_csv(path) if path.suffix.lower() == ".csv" else _read_parquet(path)
    if not columns.get("path"):
        raise DataError(f"{path} lists no images; expected a header path,label[,split][,group] and one row an image")
    paths = columns["path"]
    empty = [""] * len(paths)
    _check_paths(path, paths)
    return Listing(
        root=path.parent,
        paths=paths,
        labels=columns.get("label", empty),
        splits=_splits(path, columns.get("split", empty)),
        groups=columns.get("group"),
    )


def _read_csv(path: Path) -> dict[str, list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read the manifest {path}: {error}; expected CSV text in UTF-8") from error
    rows = [row for row in rows if row]
    header = [name.strip().lower() for name in rows[0]] if rows else []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise DataError(
                f"{path}, row {number}: expected {len(header)} values as in the header, got {len(row)}; "
                "quote values that hold a comma"
            )
    return {name: [row[k].strip() for row in rows[1:]] for k, name in enumerate(header) if name in _COLUMNS}


def _read_parquet(path: Path) -> dict[str, list[str]]:
    import pandas as pd  # takes a quarter of a second; only this layout needs it

    try:
        table = pd.read_parquet(path)
    except ImportError as error:
        raise DataError(f"reading {path} needs pyarrow: pip install pyarrow, or save it as .csv") from error
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the manifest {path}: {error}") from error
    names = {str(name).strip().lower(): name for name in table.columns}
    return {name: [_text(value) for value in table[names[name]].tolist()] for name in _COLUMNS if name in names}


def _text(value: object) -> str:
    if value is None or value != value:  # NaN is how pandas says "nothing"
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # a column of whole numbers with a gap becomes float
    return "" if str(value) in ("<NA>", "NaT") else str(value).strip()


def _splits(path: Path, values: Sequence[str]) -> list[str]:
    strange = sorted({value for value in values if value.lower() not in _SPLITS})
    if strange:
        raise DataError(f"{path}: unknown split '{strange[0]}'; expected train, val, test or nothing")
    return [_SPLITS[value.lower()] for value in values]


def _check_paths(manifest: Path, paths: Sequence[str]) -> None:
    if twice := [path for path, times in Counter(paths).items() if times > 1]:
        raise DataError(
            f"{manifest} lists {len(twice)} paths more than once (first: {twice[0]}); keep one row an image"
        )
    root = os.path.realpath(manifest.parent)
    inside: dict[str, bool] = {}  # by folder: to resolve every part of every path would take long
    missing = []
    for path in paths:
        file = os.path.join(manifest.parent, path)
        folder = os.path.dirname(file)
        if folder not in inside:
            inside[folder] = _is_below(os.path.realpath(folder), root)
        if _points_up(path) or not inside[folder] or _links_out(file, root):
            raise DataError(
                f"{manifest} lists '{path}', which is not inside {manifest.parent}; use paths relative to "
                "the manifest, without '..' and without links that lead out"
            )
        if not os.path.isfile(file):
            missing.append(path)
    if missing:
        raise DataError(
            f"{manifest} lists {len(missing)} files that do not exist: {', '.join(missing[:10])}"
            f"{', ...' if len(missing) > 10 else ''}; paths are relative to {manifest.parent}"
        )


def _points_up(path: str) -> bool:
    windows = PureWindowsPath(path).is_absolute() if ":" in path or "\\" in path else False
    return path.startswith("/") or windows or ".." in path.replace("\\", "/").split("/")


def _links_out(file: str, root: str) -> bool:
    return os.path.islink(file) and not _is_below(os.path.realpath(file), root)


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)
