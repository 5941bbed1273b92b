"""Features of a whole data set: one row an image, their files, and the store that an extraction fills."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError
from acclimate.storage.store import ArrayStore, cache_root, digest, write_atomic


@dataclass(frozen=True, eq=False)
class Features:
    """The features of n images in the order of the data set.

    Raises DataError: shapes or types that do not fit, a label below -1, or a value that is not finite (its row is
    named).

    Attributes
    ----------
    x
        ``(n, d)`` float32, finite.
    y
        ``(n,)`` int64 labels, -1 for "no label".
    """

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.x.ndim != 2 or self.x.dtype != np.float32:
            raise DataError(f"features must be float32 of shape (n, d), got {self.x.dtype} of {self.x.shape}")
        if self.y.shape != self.x.shape[:1] or self.y.dtype != np.int64:
            raise DataError(
                f"labels must be int64 of shape ({len(self.x)},), one for each row of features, "
                f"got {self.y.dtype} of shape {self.y.shape}"
            )
        _require_finite(self.x)
        if len(self.y) and self.y.min() < -1:
            raise DataError(f"labels must be -1 (no label) or more, got {self.y.min()}")

    def __len__(self) -> int:
        """Return n."""
        return len(self.y)


def _require_finite(x: npt.NDArray[np.float32]) -> None:
    # The float64 sum of a row is finite exactly if its float32 values are; it needs no (n, d) array of flags.
    with np.errstate(invalid="ignore"):
        bad = np.flatnonzero(~np.isfinite(x.sum(axis=1, dtype=np.float64)))
    if len(bad):
        raise DataError(
            f"features must be finite, but {len(bad)} of {len(x)} rows hold NaN or infinity, first row "
            f"{bad[0]}; extract them again in float32"
        )


def save_features(
    features: Features,
    path: Path,
    *,
    classes: Sequence[str],
    names: Sequence[str],
    splits: Sequence[str] | npt.NDArray[np.str_],
) -> None:
    """Write ``x, y, classes, name, split`` as one ``.npz``, whole or not at all.

    `names` and `splits` have one entry a row; `classes` has one for each label. The file holds no pickle.
    """
    for what, values in (("names", names), ("splits", splits)):
        if len(values) != len(features):
            raise DataError(f"{what} must have one entry for each of {len(features)} rows, got {len(values)}")
    buffer = io.BytesIO()
    np.savez(
        buffer,
        x=features.x,
        y=features.y,
        classes=np.array(classes, dtype=np.str_),
        name=np.array(names, dtype=np.str_),
        split=np.array(splits, dtype=np.str_),
    )
    write_atomic(path, buffer.getvalue())


def load_features(path: Path) -> Features:
    """Read the ``x`` and ``y`` of a file of `save_features`, or of any ``.npz`` that has them.

    Raises DataError: no such file, no ``.npz``, a missing array, Python objects inside, or arrays that `Features`
    refuses.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            x, y = arrays["x"], arrays["y"]
    except FileNotFoundError as error:
        raise DataError(f"no features file {path}; make one with: acclimate embed DATA --out {path}") from error
    except KeyError as error:
        raise DataError(f"{path} has no x and y; expected the .npz of: acclimate embed") from error
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a features file (.npz with x and y): {error}") from error
    if not (np.issubdtype(x.dtype, np.number) and np.issubdtype(y.dtype, np.integer)):
        raise DataError(f"{path}: x must be numbers and y whole numbers, got {x.dtype} and {y.dtype}")
    return Features(x.astype(np.float32, copy=False), y.astype(np.int64, copy=False))


def feature_key(
    *, weights: str, preprocessing: Mapping[str, Any], fingerprint: str, pooling: str, precision: str
) -> str:
    """Return the name of a feature array: it changes when anything that changes the numbers does.

    `weights` and `fingerprint` are content hashes of the model and of the images; `preprocessing` is plain
    JSON data.
    """
    return digest("features", 1, weights, dict(preprocessing), fingerprint, pooling, precision)


def open_feature_store(key: str, n: int, d: int, *, cache: Path | None = None, meta: dict[str, Any]) -> ArrayStore:
    """Open or make the ``(n, d)`` float32 store of `key` in ``CACHE/features``; None means `cache_root()`."""
    return ArrayStore.open((cache or cache_root()) / "features" / key, (n, d), np.float32, meta)


def find_feature_store(key: str, n: int, *, cache: Path | None = None, meta: dict[str, Any]) -> ArrayStore | None:
    """Return the store of `key` with its n rows, whatever their width; None where it is not there, or damaged."""
    return ArrayStore.find((cache or cache_root()) / "features" / key, n, np.float32, meta)
