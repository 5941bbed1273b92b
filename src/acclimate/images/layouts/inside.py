"""Files that a data set's own lists name: they must exist, once each, and lie inside its folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from acclimate.errors import DataError
from acclimate.images.layouts.manifest import _is_below, _links_out, _points_up  # one rule for every table of paths


def check_inside(source: str, root: Path, paths: Sequence[str]) -> None:
    """Refuse paths that leave `root` (absolute, with "..", through a link), repeat, or name no file.

    Parameters
    ----------
    source
        What lists the paths, for the text of the error.
    root
        The folder of the data set; `paths` are relative to it, with forward slashes.

    Raises
    ------
    DataError
        The first path that leaves the folder or repeats, or the first ten that are missing.
    """
    if twice := [path for path, times in Counter(paths).items() if times > 1]:
        raise DataError(
            f"{source} lists {len(twice)} images more than once (first: {twice[0]}); expected each in one split, once"
        )
    real = os.path.realpath(root)
    inside: dict[str, bool] = {}  # by folder: to resolve every part of every path would take long
    missing = []
    for path in paths:
        file = os.path.join(root, path)
        folder = os.path.dirname(file)
        if folder not in inside:
            inside[folder] = _is_below(os.path.realpath(folder), real)
        if "\0" in path or _points_up(path) or not inside[folder] or _links_out(file, real):
            raise DataError(
                f"{source} lists {path!r}, which is not inside {root}; expected paths below that folder, "
                "without '..' and without links that lead out"
            )
        if not os.path.isfile(file):
            missing.append(path)
    if missing:
        more = ", ..." if len(missing) > 10 else ""
        raise DataError(
            f"{source} lists {len(missing)} files that do not exist in {root}: {', '.join(missing[:10])}{more}; "
            "unpack the data set again, completely"
        )
