"""The domains: which real images, and one small file a domain and seed, with images set aside by whole groups."""

from __future__ import annotations

import dataclasses
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from acclimate.images import Geometry, Images, label_subset, load_images, make_split
from acclimate.storage.store import write_atomic

TRAIN, VAL, TEST = 400, 300, 500  # images in all, shared by the classes as evenly as there are any
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Domain:
    """One target domain.

    Attributes
    ----------
    path
        Where it lies below the folder of the data.
    what
        In a few words, for the page.
    shift
        ``photographs`` as the models saw them in pretraining, or ``other images``.
    classes
        So many classes are drawn, the same for every seed; 0 takes all.
    """

    path: str
    what: str
    shift: str
    classes: int = 0


DOMAINS: Final[dict[str, Domain]] = {
    "cifar": Domain("cifar100.npz", "photographs, 20 classes of CIFAR-100", "photographs", 20),
    "photo": Domain("pacs/photo", "photographs, 7 classes", "photographs"),
    "sketch": Domain("pacs/sketch", "drawings, the same 7 classes", "other images"),
    "eurosat": Domain("eurosat", "satellite images, 10 classes", "other images"),
    "wbc": Domain("wbc", "blood cells, 4 classes, split by photograph", "other images"),
    "omniglot": Domain("omniglot.npz", "handwriting, 40 characters", "other images", 40),
}


def file_of(name: str, seed: int) -> str:
    """Return the name of the file of a domain and seed, as the study has it."""
    return f"{name}-{seed}.npz"


def prepare(name: str, seed: int, data: Path, out: Path, side: int) -> Path:
    """Write a domain's images of one seed to ``out``, if they are not there.

    The test and the validation part are the same for every seed and share no group with what is trained on; a seed
    draws the training images. Without a test part of its own, a quarter of each class becomes one.

    Parameters
    ----------
    data
        The folder that the domains' paths begin in.
    side
        Of the images in the file, in pixels: the short side is fitted, the centre is kept.
    """
    path = out / file_of(name, seed)
    if path.is_file():
        return path
    images = load_images(data / DOMAINS[name].path)
    kept = chosen_classes(len(images.classes), DOMAINS[name].classes)
    arrays: dict[str, Any] = {"classes": np.array([images.classes[k] for k in kept])}
    for part, indices in parts(images, kept, seed).items():
        pixels = [images.source.fitted(int(i), Geometry(side, side)) for i in indices]
        arrays[f"x_{part}"] = np.stack(pixels)
        arrays[f"y_{part}"] = np.searchsorted(kept, images.labels[indices])
    out.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    np.savez(file, **arrays)
    write_atomic(path, file.getvalue())
    return path


def chosen_classes(there: int, wanted: int) -> Indices:
    """Return the classes of a domain, ascending: all, or as many as are wanted, always the same."""
    drawn = np.random.default_rng(0).permutation(there)[: wanted or there]
    return np.sort(drawn).astype(np.int64)


def parts(images: Images, kept: Indices, seed: int) -> dict[str, Indices]:
    """Return the images of ``train``, ``val`` and ``test``, ascending."""
    split = make_split(with_test(images), seed=0)
    of_class = np.isin(images.labels, kept)
    even = {"train": (split.train, TRAIN, seed), "val": (split.val, VAL, 0), "test": (split.test, TEST, 0)}
    return {
        part: label_subset(images.labels, indices[of_class[indices]], count=max(1, total // len(kept)), seed=draw)
        for part, (indices, total, draw) in even.items()
    }


def with_test(images: Images) -> Images:
    """Return the images with a test part: their own, or a quarter of each class in whole groups."""
    if (images.splits == "test").any():
        return images
    splits = images.splits.astype("<U5")
    splits[make_split(images, seed=0, val_fraction=0.25).val] = "test"
    return dataclasses.replace(images, splits=splits)
