"""``data:NAME@FOLDER``: the data sets of the papers by name, one table of ``datasets.toml`` each."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from acclimate import catalogue
from acclimate.catalogue.lookup import require_dataset
from acclimate.errors import DataError
from acclimate.images.build import Listing, from_files
from acclimate.images.dataset import Images
from acclimate.images.layouts.arrays import from_array
from acclimate.images.layouts.cifar import Arrays, Cifar
from acclimate.images.layouts.generic import ClassFolders, SplitLists, SplitTable
from acclimate.images.layouts.hubs import download_torchvision, load_torchvision
from acclimate.images.layouts.joined import ChestX, Cub, Isic
from acclimate.images.layouts.lists import LayoutReader, MissingFile
from acclimate.images.layouts.matlab import Cars, Flowers
from acclimate.images.layouts.voc import VocClasses, VocMasks

READERS: Final[dict[str, Callable[..., LayoutReader | Cifar]]] = {
    "folders": ClassFolders,
    "lists": SplitLists,
    "table": SplitTable,
    "cub": Cub,
    "flowers": Flowers,
    "cars": Cars,
    "voc-classes": VocClasses,
    "voc-masks": VocMasks,
    "isic": Isic,
    "chestx": ChestX,
    "cifar": Cifar,
}


@dataclass(frozen=True)
class Download:
    """How torchvision fetches a data set: the class, its arguments, and the folder that it leaves.

    Without a folder torchvision's own reader takes the place of the layout.
    """

    name: str
    folder: str | None = None
    calls: tuple[Mapping[str, str], ...] = ({},)


@dataclass(frozen=True)
class Dataset:
    """One named data set."""

    name: str  # what a command takes
    title: str  # what the papers say
    url: str  # where to get it
    licence: str  # what may be done with it, as that page puts it
    classes: int  # how many there are in the whole data set
    splits: str  # sizes of the official split, or how the images are cut here
    # What to compare with the papers, as a name of `acclimate.stats.metrics`: ``accuracy`` (top-1) or
    # ``balanced_accuracy`` (mean of the per-class accuracies)
    metric: str
    # Letters: M Marks et al. (2024), S Sirotkin et al. (2024), E Ericsson et al. (2021), K Kornblith et al. (2019)
    papers: str
    notes: str  # what to know before comparing numbers
    tree: tuple[str, ...]  # the files that the layout expects
    layout: LayoutReader | Cifar = field(repr=False)
    # The folder is the first of `roots` below the given one that holds `marker`
    marker: str
    roots: tuple[str, ...]
    cut: Mapping[str, float] | None = None  # without an official split; see `cut_splits`
    download: Download | None = None  # how torchvision fetches it
    reported: str = ""  # what the papers report instead, if that cannot be had from one label an image


@functools.cache
def dataset_entries() -> Mapping[str, Dataset]:
    """Return every named data set by its name, in the order of the table."""
    return {name: _entry(name, table) for name, table in catalogue.tables("datasets").items()}


def dataset_entry(name: str) -> Dataset:
    """Return the entry of a named data set: the metric of the papers, the licence, where to get it.

    Raises `DataError`: no such name; the nearest one is named.

    Examples
    --------
    >>> dataset_entry("pets").metric
    'balanced_accuracy'
    """
    require_dataset(name)
    return dataset_entries()[name]


def _entry(name: str, table: dict[str, Any]) -> Dataset:
    layout, fetch = dict(table.pop("layout")), table.pop("torchvision", None)
    reader = READERS[layout.pop("reader")]
    tree, roots = tuple(table.pop("tree")), tuple(table.pop("roots"))
    download = fetch and Download(fetch["name"], fetch.get("folder"), tuple(fetch.get("calls", ({},))))
    return Dataset(name=name, layout=reader(**layout), tree=tree, roots=roots, download=download, **table)


def load_dataset(text: str, *, skip_bad: bool = False, cache: Path | None = None) -> Images:
    """Read ``NAME@FOLDER``, or ``NAME`` alone, which torchvision downloads into the cache if it can.

    Raises `DataError`: an unknown name, a folder without the expected files (with the tree and where to get it), or a
    layout that cannot be read.
    """
    name, at, folder = text.partition("@")
    entry = dataset_entry(name)
    if at and not folder:
        raise DataError(f"data:{text} names no folder; expected data:{name}@FOLDER")
    if at:
        return _read(entry, Path(folder).expanduser(), skip_bad=skip_bad, cache=cache)
    if entry.download is None:
        raise DataError(f"data:{name} cannot be downloaded by a program; {_expected(entry)}")
    return _fetched(entry, entry.download, skip_bad=skip_bad, cache=cache)


def _fetched(entry: Dataset, download: Download, *, skip_bad: bool, cache: Path | None) -> Images:
    """Have torchvision download the data set; then read the folder that it left, or let torchvision read it."""
    try:
        if download.folder is None:
            return replace(load_torchvision(download.name, cache), name=entry.name)
        folder = download_torchvision(download.name, download.calls, download.folder, cache)
    except DataError as error:
        raise DataError(f"{error}; or get it from {entry.url} and name its folder: data:{entry.name}@FOLDER") from error
    return _read(entry, folder, skip_bad=skip_bad, cache=cache)


def _read(entry: Dataset, folder: Path, *, skip_bad: bool, cache: Path | None) -> Images:
    try:
        content = entry.layout.read(_root(entry, folder))
    except MissingFile as error:
        raise DataError(f"data:{entry.name}: {error} is not in {folder}; {_expected(entry)}") from error
    if isinstance(content, Arrays):
        return from_array(entry.name, content.array, content.labels, content.classes, content.splits)
    if entry.cut is not None:
        content = replace(content, splits=cut_splits(content, entry.cut))
    return from_files(content, entry.name, skip_bad=skip_bad, cache=cache)


def _root(entry: Dataset, folder: Path) -> Path:
    for root in entry.roots:
        if (folder / root / entry.marker).exists():
            return folder / root
    if not folder.is_dir():
        raise DataError(f"data:{entry.name}: no folder {folder}; {_expected(entry)}")
    raise MissingFile(entry.marker)


def cut_splits(listing: Listing, cut: Mapping[str, float]) -> list[str]:
    """Cut a data set without an official split into train and test: the same share of every class, without chance.

    The images of a class are ordered by the SHA-256 of their path: another copy of the data set, another machine, or a
    few images more or less change nothing for the rest. Images without a label become train, and a class always keeps
    an image to learn from. The cut is ``{"train_per_class": n}`` or ``{"test": share}``.
    """
    of_class: dict[str, list[int]] = {}
    for k in sorted(range(len(listing.paths)), key=lambda k: hashlib.sha256(listing.paths[k].encode()).digest()):
        of_class.setdefault(listing.labels[k], []).append(k)
    splits = ["train"] * len(listing.paths)
    for label, members in of_class.items():
        n = cut["train_per_class"] if "train_per_class" in cut else round(len(members) * (1 - cut["test"]))
        for k in members[max(1, int(n)) :] if label else []:
            splits[k] = "test"
    return splits


def _expected(entry: Dataset) -> str:
    return (
        f"expected data:{entry.name}@FOLDER with {', '.join(entry.tree)} in it; get it from {entry.url} "
        f"(licence: {entry.licence})"
    )
