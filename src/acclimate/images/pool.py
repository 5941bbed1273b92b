"""The pool of unlabelled images, without those that look like an image the model is measured on."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import PIL

from acclimate.errors import DataError
from acclimate.images.dataset import Images
from acclimate.images.scan import bad_files
from acclimate.images.splits import Indices, Split
from acclimate.images.twins import Looks, exact_groups, look, near_pairs
from acclimate.storage.store import cache_root, digest, write_atomic

_VERSION = 1  # a new one when `look` gives other hashes or thumbnails
_LISTED = 10


@dataclass(frozen=True, eq=False)
class CleanPool:
    """A split whose pool shares no image with its val and test parts."""

    split: Split  # as given, but for the pool
    dropped: Indices  # images that left the pool, ascending
    # How many of them have a twin in test and in val; one may have both
    of_test: int
    of_val: int
    # Of the first ten dropped: its name, and the name of the held-out image it looks like
    twins: tuple[tuple[str, str], ...]

    @property
    def document(self) -> dict[str, int]:
        """What a run's document says: images in the pool, and images that were dropped from it."""
        return {"pool": len(self.split.pool), "dropped_twins": len(self.dropped)}


def clean_pool(images: Images, split: Split, *, cache: Path | None = None, workers: int = 2) -> CleanPool:
    """Drop from the pool what equals, or looks the same as, an image of test or val (see `twins`).

    Depends on the images and the split alone, not on a model. Every image is decoded once for it; what they look like
    is kept in ``CACHE/looks``. Train, val and test stay as they are, labelled twins in train included: `check` names
    those. Raises `DataError`: the pool has unreadable images, all its images are equal, or none is left.
    """
    looks = _looks(images, cache, workers)
    if bad := [(images.source.name(i), looks.bad[i]) for i in split.pool.tolist() if i in looks.bad]:
        raise bad_files(images.name, bad, len(images))
    _require_different(looks, split.pool)
    test, val = (_twins(looks, split.pool, part) for part in (split.test, split.val))
    twins = val | test
    pool = split.pool[~np.isin(split.pool, list(twins))]
    if len(split.pool) and not len(pool):
        raise DataError(
            f"every one of the {len(split.pool)} images of the pool looks the same as an image of val or test; "
            "expected others: there is nothing to adapt to without looking at held-out images"
        )
    _require_different(looks, pool)
    return CleanPool(
        split=replace(split, pool=pool),
        dropped=np.array(sorted(twins), dtype=np.int64),
        of_test=len(test),
        of_val=len(val),
        twins=tuple((images.source.name(i), images.source.name(twins[i])) for i in sorted(twins)[:_LISTED]),
    )


def _require_different(looks: Looks, pool: Indices) -> None:
    if len(pool) > 1 and len(np.unique(looks.contents[pool])) == 1:
        raise DataError(
            f"all {len(pool)} images of the pool are equal; expected different images: there is nothing to adapt to"
        )


def _twins(looks: Looks, pool: Indices, part: Indices) -> dict[int, int]:
    """Return the images of the pool that have a twin in a held-out part, each with the first of its twins."""
    sides = np.full(len(looks.contents), "other")
    sides[pool], sides[part] = "train", "test"
    twins: dict[int, int] = {}
    for group in exact_groups(looks):
        if held_out := [i for i in group if sides[i] == "test"]:
            twins |= {i: held_out[0] for i in group if sides[i] == "train"}
    for pair in near_pairs(looks, sides):
        i, twin = (pair.a, pair.b) if sides[pair.a] == "train" else (pair.b, pair.a)
        twins.setdefault(i, twin)
    return twins


def _looks(images: Images, cache: Path | None, workers: int) -> Looks:
    """Return what every image looks like, from the cache if an earlier run saw the same images."""
    if not images.fingerprint:
        return look(images, workers=workers)
    key = digest("looks", _VERSION, PIL.__version__, images.fingerprint)
    path = (cache or cache_root()) / "looks" / f"{key}.npz"
    if (stored := _read(path, len(images))) is not None:
        return stored
    looks = look(images, workers=workers)
    if not looks.bad:
        buffer = io.BytesIO()
        np.savez(buffer, contents=looks.contents, hashes=looks.hashes, thumbnails=looks.thumbnails)
        write_atomic(path, buffer.getvalue())
    return looks


def _read(path: Path, n: int) -> Looks | None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            looks = Looks(arrays["contents"], arrays["hashes"], arrays["thumbnails"], {})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # missing or damaged: everything is looked at again
    return looks if len(looks.contents) == n else None
