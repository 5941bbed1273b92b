"""Data as the user writes them: images, their split with a label budget, and what documents say of both."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acclimate.images import Images, Split
    from acclimate.protocols import Task
    from acclimate.storage.runtime import Runtime


def open_data(data: str | Path, runtime: Runtime, *, dry_run: bool = False) -> Images:
    """Load images and say on stderr what was left out; a dry run remembers nothing of the files it looked at."""
    from acclimate.images import load_images

    fetched = str(data).startswith("torchvision:") or (str(data).startswith("data:") and "@" not in str(data))
    if dry_run and not fetched:  # those lie in the cache themselves
        with tempfile.TemporaryDirectory() as folder:
            images = load_images(data, skip_bad=runtime.skip_bad, cache=Path(folder))
    else:
        images = load_images(data, skip_bad=runtime.skip_bad, cache=runtime.cache)
    if images.skipped and not runtime.quiet:
        print(f"left out {len(images.skipped)} unreadable files, the first: {images.skipped[0]}", file=sys.stderr)
    return images


def lasting(data: str | Path) -> str:
    """Return the name of data that still means the same from another folder: paths in it become absolute."""
    prefix, at, folder = str(data).partition("@")
    if prefix.startswith("data:") and at:
        return f"{prefix}@{Path(folder).expanduser().resolve()}"
    path = Path(data).expanduser()
    return str(path.resolve()) if path.exists() else str(data)


def task_for(images: Images, data: str | Path, *, seed: int, labels: str | None = None) -> Task:
    """Return the task of a supervised comparison: split, and the label budget if one is given.

    Parameters
    ----------
    data
        What the user wrote for the images.
    labels
        A number of images a class (``10``) or a share (``25%``) of the training part that keeps its labels. What loses
        its label goes to the pool, where it is already.
    """
    from acclimate.images import make_split
    from acclimate.protocols import Task

    split = make_split(images, seed=seed)
    if labels is not None:
        split = _with_fewer_labels(images, split, labels, seed)
    return Task(images, split, seed=seed, labels=labels, origin=lasting(data))


def _with_fewer_labels(images: Images, split: Split, labels: str, seed: int) -> Split:
    from acclimate.images import label_subset, parse_labels

    count, fraction = parse_labels(labels)
    return replace(split, train=label_subset(images.labels, split.train, count=count, fraction=fraction, seed=seed))


def counts(images: Images, split: Split) -> dict[str, int]:
    """Return the number of images and classes, and the size of each part."""
    sizes = {name: len(getattr(split, name)) for name in ("train", "val", "test", "pool")}
    return {"images": len(images), "classes": len(images.classes), **sizes}
