"""From listed files or arrays to `Images`: label names to numbers, bad files out, the fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from acclimate.images.dataset import FileSource, Images, ImageSource
from acclimate.images.geometry import Pixels
from acclimate.images.scan import bad_files, scan


@dataclass(frozen=True)
class Listing:
    """Files that a layout found: one entry each in all the columns.

    `labels` are names, "" for none; `groups` are names, "" for an image that is its own group, or None.
    """

    root: Path
    paths: Sequence[str]
    labels: Sequence[str]
    splits: Sequence[str]
    groups: Sequence[str] | None = None
    ignored: int = 0


def from_files(listing: Listing, name: str, *, skip_bad: bool, cache: Path | None) -> Images:
    """Check and hash the listed files.

    Raises `DataError`: unreadable files, unless `skip_bad`; or nothing is left.
    """
    entries = scan(listing.root, listing.paths, full=skip_bad, cache=cache)
    bad = [(path, entry.reason) for path, entry in zip(listing.paths, entries, strict=True) if entry.reason]
    if bad and (not skip_bad or len(bad) == len(entries)):
        raise bad_files(name, bad, len(entries))
    keep = [k for k, entry in enumerate(entries) if not entry.reason]
    paths = [listing.paths[k] for k in keep]
    label_names = [listing.labels[k] for k in keep]
    splits = [listing.splits[k] for k in keep]
    groups = None if listing.groups is None else group_codes([listing.groups[k] for k in keep])
    labels, classes = coded(label_names)
    return Images(
        name=name,
        source=FileSource(listing.root, paths),
        labels=labels,
        classes=classes,
        splits=np.array(splits, dtype="<U5"),
        groups=groups,
        fingerprint=fingerprint(paths, [entries[k].sha256 for k in keep], label_names, splits, groups),
        skipped=tuple(f"{path} ({reason})" for path, reason in bad),
        ignored=listing.ignored,
    )


def from_source(
    name: str,
    source: ImageSource,
    contents: Sequence[str],
    labels: npt.NDArray[np.int64],
    classes: Sequence[str],
    splits: Sequence[str],
) -> Images:
    """Make `Images` of pixels that are in no files of their own; `contents` are the hashes of all of them."""
    names = [source.name(i) for i in range(len(source))]
    texts = [classes[label] if label >= 0 else "" for label in labels]
    hashes = fingerprint(names, contents, texts, splits, None)
    return Images(name, source, labels, tuple(classes), np.array(splits, dtype="<U5"), fingerprint=hashes)


def coded(labels: Sequence[str]) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Return a number for each label, -1 for "", and the classes: sorted as numbers if all are, else as text."""
    names = set(labels) - {""}
    whole = all(name.isdecimal() for name in names)
    classes = tuple(sorted(names, key=lambda name: (int(name) if whole else 0, name)))
    code = {label: number for number, label in enumerate(classes)} | {"": -1}
    return np.array([code[label] for label in labels], dtype=np.int64), classes


def content_hash(pixels: Pixels) -> str:
    """Return the SHA-256 over shape and values of one image."""
    return hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def group_codes(groups: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return numbers for group names; an image without one ("") is alone in its group."""
    code = {name: number for number, name in enumerate(sorted(set(groups) - {""}))}
    alone = iter(range(len(code), len(code) + len(groups)))
    return np.array([code[name] if name else next(alone) for name in groups], dtype=np.int64)


def fingerprint(
    names: Sequence[str],
    contents: Sequence[str],
    labels: Sequence[str],
    splits: Sequence[str],
    groups: npt.NDArray[np.int64] | None,
) -> str:
    """Return the SHA-256 over name, content hash, label name, split and group of all images in order."""
    columns = [list(names), list(contents), list(labels), list(splits)]
    text = json.dumps([*columns, None if groups is None else groups.tolist()])
    return hashlib.sha256(text.encode()).hexdigest()
