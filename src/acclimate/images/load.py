"""``load_images``: every layout of images that the program reads, behind one name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from acclimate.catalogue.lookup import ACCEPTED, require_data
from acclimate.errors import DataError
from acclimate.images.build import Listing, from_files
from acclimate.images.dataset import Images
from acclimate.images.layouts.arrays import load_digits, load_npz
from acclimate.images.layouts.datasets import load_dataset
from acclimate.images.layouts.generic import list_folder
from acclimate.images.layouts.hubs import load_hf, load_torchvision
from acclimate.images.layouts.manifest import list_manifest

EMBEDDED: dict[str, Callable[[], Images]] = {"digits": load_digits}

# What stands before the colon, and what reads the rest.
NAMED: dict[str, Callable[[str, bool, Path | None], Images]] = {
    "builtin": lambda name, skip_bad, cache: EMBEDDED[name](),
    "torchvision": lambda name, skip_bad, cache: load_torchvision(name, cache),
    "hf": lambda name, skip_bad, cache: load_hf(name),
    "data": lambda name, skip_bad, cache: load_dataset(name, skip_bad=skip_bad, cache=cache),
}
LISTED: dict[str, Callable[[Path], Listing]] = {".csv": list_manifest, ".parquet": list_manifest}
MANIFESTS = ("manifest.csv", "manifest.parquet")


def load_images(data: str | Path, *, skip_bad: bool = False, cache: Path | None = None) -> Images:
    """Read a data set: list its images, check them, and hash them. Pixels are decoded later.

    Raises `DataError`: not one of these, no images, or unreadable images (the first ten are named).

    Parameters
    ----------
    data
        A folder of class folders, with or without ``train/ val/ test/`` above them; a folder of images
        without labels; ``manifest.csv`` or ``.parquet``, or the folder that holds it; an ``.npz``;
        ``builtin:digits``; ``torchvision:NAME``; ``hf:NAME``; ``data:NAME@FOLDER``, a data set of the papers
        (`acclimate.images.layouts.datasets`).
    skip_bad
        Decode every file once and leave out what cannot be read (`Images.skipped` names it). Without it only the
        headers are read here, a bad one is an error, and damage further inside shows when the pixels are decoded.
    cache
        Where hashes and checks are remembered; None means `acclimate.storage.store.cache_root`.
    """
    require_data(data)
    prefix, colon, name = str(data).partition(":")
    if colon and prefix in NAMED:
        return NAMED[prefix](name, skip_bad, cache)
    path = Path(data).expanduser()
    if path.is_dir():
        table = next((path / name for name in MANIFESTS if (path / name).is_file()), None)
        listing = list_folder(path) if table is None else list_manifest(table)
        return from_files(listing, path.resolve().name, skip_bad=skip_bad, cache=cache)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return load_npz(path)
    if suffix in LISTED:
        name = path.resolve().parent.name if path.name in MANIFESTS else path.stem
        return from_files(LISTED[suffix](path), name, skip_bad=skip_bad, cache=cache)
    raise DataError(f"{data} cannot be read as images; {ACCEPTED}")
