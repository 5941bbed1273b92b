"""What the verbs that need models share: data, splits, label budgets and folders by what the user wrote."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from acclimate.errors import DataError
from acclimate.images import Images, Split, label_subset, load_images, make_split, parse_labels
from acclimate.protocols import Task
from acclimate.verbs.options import Options


def open_data(data: str | Path, options: Options, *, dry_run: bool = False) -> Images:
    """Load images and say on stderr what was left out; a dry run remembers nothing of the files it looked at."""
    if not str(data).strip():
        raise DataError("got an empty name of data; expected a folder, a manifest, an .npz or builtin:digits")
    fetched = str(data).startswith("torchvision:") or (str(data).startswith("data:") and "@" not in str(data))
    if dry_run and not fetched:  # those lie in the cache themselves
        with tempfile.TemporaryDirectory() as folder:
            images = load_images(data, skip_bad=options.skip_bad, cache=Path(folder))
    else:
        images = load_images(data, skip_bad=options.skip_bad, cache=options.cache)
    if images.skipped and not options.quiet:
        print(
            f"left out {len(images.skipped)} unreadable files, the first: {images.skipped[0]}",
            file=sys.stderr,
        )
    return images


def lasting(data: str | Path) -> str:
    """Return the name of data that still means the same from another folder: paths in it become absolute."""
    prefix, at, folder = str(data).partition("@")
    if prefix.startswith("data:") and at:
        return f"{prefix}@{Path(folder).expanduser().resolve()}"
    path = Path(data).expanduser()
    return str(path.resolve()) if path.exists() else str(data)


def setting_for(
    images: Images, options: Options, labels: str | None = None, *, origin: str | Path | None = None
) -> Task:
    """Return the setting of a supervised comparison: split, and the label budget if one is given.

    ``origin`` is what the user wrote for the data.
    ``labels`` is a number of images a class (``10``) or a share (``25%``) of the training part that keeps its labels;
    what loses its label goes to the pool, where it is already.
    """
    split = make_split(images, seed=options.seed)
    if labels is not None:
        split = restrict(images, split, labels, options.seed)
    return Task(
        images,
        split,
        seed=options.seed,
        labels=labels,
        origin=None if origin is None else lasting(origin),
    )


def restrict(images: Images, split: Split, labels: str, seed: int) -> Split:
    """Return the split with only some of the training labels."""
    count, fraction = parse_labels(labels)
    train = label_subset(images.labels, split.train, count=count, fraction=fraction, seed=seed)
    return replace(split, train=train)


def counts(images: Images, split: Split) -> dict[str, int]:
    """Return the size of each part, for dry runs."""
    names: Sequence[str] = ("train", "val", "test", "pool")
    sizes = {name: len(getattr(split, name)) for name in names}
    return {"images": len(images), "classes": len(images.classes), **sizes}


def fresh_folder(out: Path | None, default: str) -> Path:
    """Return the folder of a run, made if missing.

    Raises
    ------
    DataError
        When it cannot be written.
    """
    folder = Path(default) if out is None else Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".acclimate-write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
        why = "a file is in the way" if in_the_way else error.strerror
        raise DataError(
            f"cannot write into '{folder}': {why}; expected a folder you may write to, choose one with --out"
        ) from None
    return folder


def writable_file(out: str | Path, suffix: str) -> Path:
    """Return the path of a file that a long command will write at its end, after a look whether it can.

    Raises
    ------
    DataError
        For another suffix, a folder in its place, or a folder that cannot be written.
    """
    path = Path(out)
    if path.suffix != suffix or path.is_dir():
        raise DataError(f"got --out '{out}'; expected a file name that ends in {suffix}")
    fresh_folder(path.parent, "")
    return path
