"""``torchvision:NAME`` and ``hf:NAME``: data sets of other libraries, imported when one of them is read."""

from __future__ import annotations

import importlib
import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from acclimate.errors import DataError, unknown
from acclimate.images.build import content_hash, from_source
from acclimate.images.dataset import Images
from acclimate.images.decode import eight_bit
from acclimate.images.geometry import Geometry, Pixels, fit
from acclimate.storage.store import cache_root

_SPLITS = (("train", "train"), ("val", "val"), ("valid", "val"), ("validation", "val"), ("test", "test"))


@dataclass(frozen=True, eq=False)
class ItemSource:
    """Pictures that another library hands out one by one."""

    picture: Callable[[int], Image.Image] = field(repr=False)
    names: Sequence[str] = field(repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def name(self, i: int) -> str:
        """Return the split and the number within it."""
        return self.names[i]

    def pixels(self, i: int, *, at_least: int | None = None) -> Pixels:
        """Return image `i` in its own size; `at_least` changes nothing."""
        return np.asarray(self._image(i).convert("RGB"))

    def fitted(self, i: int, geometry: Geometry) -> Pixels:
        """Return image `i` in the size of `geometry`."""
        image = self._image(i)
        return fit(image, geometry, (image.height, image.width))

    def _image(self, i: int) -> Image.Image:
        with self.lock:  # these libraries do not promise that two threads may read at once
            try:
                image = self.picture(i)
                image.load()
            except (OSError, ValueError, SyntaxError) as error:
                raise DataError(f"damaged image: {error}") from error
        return eight_bit(image)


@dataclass(frozen=True, eq=False)
class _Part:
    split: str
    n: int
    picture: Callable[[int], Image.Image]
    labels: list[int]


def load_torchvision(name: str, cache: Path | None = None) -> Images:
    """Read a data set of ``torchvision.datasets`` by the name of its class, downloading it where it can."""
    kind, root = _torchvision_class(name), (cache or cache_root()) / "torchvision"
    sets = [(split, _open_torchvision(kind, options, root)) for split, options in _choices(kind)]
    if len(sets) > 1 and sets[0][1] is None:  # such as OxfordIIITPet, whose train part has this name only
        sets[0] = ("train", _open_torchvision(kind, {"split": "trainval"}, root))
    parts = [_torchvision_part(split, data) for split, data in sets if data is not None]
    if not parts:
        raise DataError(f"torchvision:{name} has no split train, val or test; use a folder or a manifest")
    classes = next((list(map(str, data.classes)) for _, data in sets if hasattr(data, "classes")), None)
    return _joined(f"torchvision-{name}", parts, classes)


def download_torchvision(name: str, calls: Sequence[Mapping[str, str]], folder: str, cache: Path | None = None) -> Path:
    """Have a class of ``torchvision.datasets`` fetch and unpack its files, and return the folder that it leaves.

    `calls` are the arguments of each call that is needed until everything is there. The files then lie in `folder`,
    below torchvision's root; once all calls have succeeded nothing is downloaded again.
    """
    root = (cache or cache_root()) / "torchvision"
    complete = root / f".{folder.replace('/', '-')}.complete"
    if not complete.is_file():
        kind = _torchvision_class(name)
        for options in calls:
            if _open_torchvision(kind, dict(options), root) is None:
                raise DataError(f"torchvision:{name} of this version cannot be downloaded with {dict(options)}")
        if not (root / folder).is_dir():
            raise DataError(f"torchvision:{name} left nothing in {root / folder}; expected its files there")
        complete.touch()
    return root / folder


def _torchvision_class(name: str) -> type:
    try:
        module = importlib.import_module("torchvision.datasets")
    except ImportError as error:
        raise DataError(f"torchvision:{name} needs torchvision: pip install torchvision") from error
    if not isinstance(kind := getattr(module, name, None), type):
        raise DataError(unknown("torchvision data set", name, getattr(module, "__all__", ())))
    return kind


def _choices(kind: type) -> list[tuple[str, dict[str, Any]]]:
    """Return the splits of a torchvision class and the arguments that select them."""
    parameters = inspect.signature(kind).parameters
    if "split" in parameters:
        return [(ours, {"split": theirs}) for theirs, ours in _SPLITS if theirs not in ("valid", "validation")]
    return [("train", {"train": True}), ("test", {"train": False})] if "train" in parameters else [("", {})]


def _open_torchvision(kind: type, options: dict[str, Any], root: Path) -> Any:
    download = {"download": True} if "download" in inspect.signature(kind).parameters else {}
    try:
        return kind(root=str(root), **options, **download)
    except ValueError:
        return None  # this class has no such split
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"torchvision:{kind.__name__} cannot be downloaded or read ({str(error).strip()}); with a "
            f"network it is fetched to {root}, without one put its files there"
        ) from error


def _torchvision_part(split: str, data: Any) -> _Part:
    for attribute in ("targets", "labels", "_labels"):
        if (labels := getattr(data, attribute, None)) is not None:
            return _Part(split, len(data), lambda i: data[i][0], [int(label) for label in labels])
    return _Part(split, len(data), lambda i: data[i][0], [int(data[i][1]) for i in range(len(data))])


def load_hf(name: str) -> Images:
    """Read a data set of the Hugging Face hub that has one image column and one column of class labels."""
    try:
        library = importlib.import_module("datasets")
    except ImportError as error:
        raise DataError(f"hf:{name} needs the extra 'hf': pip install 'acclimate[hf]'") from error
    try:
        table = library.load_dataset(name)
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"hf:{name} cannot be loaded ({str(error).strip()}); check the name and the network, or save it "
            "as a folder of class folders"
        ) from error
    parts, classes = [], None
    for theirs, ours in _SPLITS:
        if theirs in table:
            image, label = _hf_columns(name, table[theirs])
            classes = list(table[theirs].features[label].names) if label else classes
            parts.append(_hf_part(ours, table[theirs], image, label))
    if not parts:
        raise DataError(f"hf:{name} has the splits {', '.join(table)}; expected train, validation or test")
    return _joined(f"hf-{name.replace('/', '-')}", parts, classes)


def _hf_columns(name: str, data: Any) -> tuple[str, str | None]:
    kinds = {column: type(feature).__name__ for column, feature in data.features.items()}
    images = [column for column, kind in kinds.items() if kind == "Image"]
    labels = [column for column, kind in kinds.items() if kind == "ClassLabel"]
    if len(images) != 1 or len(labels) > 1:
        raise DataError(
            f"hf:{name} has {len(images)} image columns and {len(labels)} label columns; expected one of each"
        )
    return images[0], labels[0] if labels else None


def _hf_part(split: str, data: Any, image: str, label: str | None) -> _Part:
    labels = [int(value) for value in data[label]] if label else [-1] * len(data)
    return _Part(split, len(data), lambda i: data[i][image], labels)


def _joined(name: str, parts: list[_Part], classes: list[str] | None) -> Images:
    ends = np.cumsum([part.n for part in parts])
    names = [f"{part.split or 'image'}/{k}" for part in parts for k in range(part.n)]
    labels = np.array([label for part in parts for label in part.labels], dtype=np.int64)
    splits = [part.split for part in parts for _ in range(part.n)]

    def picture(i: int) -> Image.Image:
        which = int(np.searchsorted(ends, i, side="right"))
        return parts[which].picture(i - int(ends[which]) + parts[which].n)

    source = ItemSource(picture, names)
    classes = classes or [str(k) for k in range(int(labels.max(initial=-1)) + 1)]
    contents = [content_hash(source.pixels(i)) for i in range(len(names))]
    return from_source(name, source, contents, labels, classes, splits)
