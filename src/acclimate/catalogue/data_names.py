"""What a name of data can be, told before an image is looked at, and without numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from acclimate.catalogue.read import names
from acclimate.errors import DataError, unknown

SOURCES: Final = ("builtin", "torchvision", "hf", "data")  # what stands before the colon
BUILTIN: Final = ("digits",)
ACCEPTED: Final = (
    "expected a folder of class folders (with or without train/ val/ test/), a flat folder of images, a "
    "manifest (.csv or .parquet with path,label[,split][,group]), an .npz, data:NAME@FOLDER, builtin:digits, "
    "torchvision:NAME or hf:NAME"
)


def require_data(data: str | Path) -> None:
    """Refuse an empty or unknown name of data, or a path without a file or folder.

    Raises
    ------
    DataError
        With the nearest name, or with what is expected.
    """
    source, colon, name = str(data).partition(":")
    if not str(data).strip():
        raise DataError("got an empty name of data; expected a folder, a manifest, an .npz or builtin:digits")
    if colon and source == "builtin" and name not in BUILTIN:
        raise DataError(unknown("built-in data set", name, BUILTIN))
    if colon and source == "data":
        require_dataset(name.partition("@")[0])
    if not (colon and source in SOURCES) and not Path(data).expanduser().exists():
        raise DataError(f"no such file or folder: {data}; {ACCEPTED}")


def require_dataset(name: str) -> None:
    """Refuse the name of a data set that is not in the catalogue; the nearest one is named."""
    if name not in names("datasets"):
        raise DataError(unknown("data set", name, names("datasets")))
