"""Paths that a list or a table names: they must exist, once each, and lie inside the folder of the data set."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from acclimate.errors import DataError, some


@dataclass(frozen=True)
class PathFaults:
    """The faults of listed paths."""

    repeated: Sequence[str]  # paths that are listed more than once
    outside: str | None = None  # the first path that leaves the folder (absolute, with "..", through a link), or None
    missing: Sequence[str] = ()  # paths that name no file; not looked for where a path leads outside


def path_faults(root: Path, paths: Sequence[str]) -> PathFaults:
    """Look for what is wrong with paths relative to `root`, with forward slashes."""
    if repeated := [path for path, times in Counter(paths).items() if times > 1]:
        return PathFaults(repeated)
    real = os.path.realpath(root)
    inside: dict[str, bool] = {}  # by folder: to resolve every part of every path would take long
    missing = []
    for path in paths:
        file = os.path.join(root, path)
        folder = os.path.dirname(file)
        if "\0" in path or _points_up(path):
            return PathFaults((), path)
        if folder not in inside:
            inside[folder] = _is_below(os.path.realpath(folder), real)
        if not inside[folder] or (os.path.islink(file) and not _is_below(os.path.realpath(file), real)):
            return PathFaults((), path)
        if not os.path.isfile(file):
            missing.append(path)
    return PathFaults((), None, missing)


def check_inside(source: str, root: Path, paths: Sequence[str]) -> None:
    """Refuse paths, relative to a public data set's folder `root`, that leave it, repeat, or name no file.

    Raises `DataError`: the first path that leaves the folder or repeats, or the first ten that are missing. The text
    says that `source` lists them.
    """
    faults = path_faults(root, paths)
    if faults.repeated:
        raise DataError(
            f"{source} lists {len(faults.repeated)} images more than once (first: {faults.repeated[0]}); "
            "expected each in one split, once"
        )
    if faults.outside is not None:
        raise DataError(
            f"{source} lists {faults.outside!r}, which is not inside {root}; expected paths below that folder, "
            "without '..' and without links that lead out"
        )
    if faults.missing:
        raise DataError(
            f"{source} lists {len(faults.missing)} files that do not exist in {root}: {some(faults.missing, 10)}; "
            "unpack the data set again, completely"
        )


def _points_up(path: str) -> bool:
    windows = PureWindowsPath(path).is_absolute() if ":" in path or "\\" in path else False
    return path.startswith("/") or windows or ".." in path.replace("\\", "/").split("/")


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)
