"""A table of images, ``path,label[,split][,group]``: ``.csv`` or ``.parquet``, paths below its own folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from acclimate.errors import DataError, some
from acclimate.images.build import Listing
from acclimate.images.layouts.generic import SPLIT_FOLDERS
from acclimate.images.layouts.inside import path_faults
from acclimate.images.layouts.lists import csv_rows

_COLUMNS = ("path", "label", "split", "group")
_SPLITS = SPLIT_FOLDERS | {"": ""}


def list_manifest(path: Path) -> Listing:
    """Read the table. An empty label means "no label", an empty group "a group of its own".

    Other columns are ignored; without a ``label`` column no image has a label. Raises `DataError`: a missing ``path``
    column, an unknown split, a path twice, missing files, or a path out of the folder.
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
    rows = csv_rows(path, "the manifest ")
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
    if strange := sorted({value for value in values if value.lower() not in _SPLITS}):
        raise DataError(f"{path}: unknown split '{strange[0]}'; expected train, val, test or nothing")
    return [_SPLITS[value.lower()] for value in values]


def _check_paths(manifest: Path, paths: Sequence[str]) -> None:
    faults = path_faults(manifest.parent, paths)
    if faults.repeated:
        raise DataError(
            f"{manifest} lists {len(faults.repeated)} paths more than once (first: {faults.repeated[0]}); "
            "keep one row an image"
        )
    if faults.outside is not None:
        raise DataError(
            f"{manifest} lists '{faults.outside}', which is not inside {manifest.parent}; use paths relative to "
            "the manifest, without '..' and without links that lead out"
        )
    if faults.missing:
        raise DataError(
            f"{manifest} lists {len(faults.missing)} files that do not exist: {some(faults.missing, 10)}; "
            f"paths are relative to {manifest.parent}"
        )
