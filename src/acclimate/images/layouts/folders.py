"""Folders of images: class folders, with or without ``train/ val/ test/``, and flat folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from acclimate.errors import DataError, some
from acclimate.images.build import Listing

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
