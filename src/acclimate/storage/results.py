"""Result rows: one for each (model, data set, protocol, seed), and the folder that keeps them.

`rows/KEY.json` holds one row, `predictions/KEY.npz` the probabilities behind it. Both appear by a rename,
predictions first, so that a row never refers to predictions that are not there. Every row is a file of its
own, named by what identifies it: any number of workers may write to one folder at once, and folders are
merged by copying.
"""

from __future__ import annotations

import functools
import io
import json
import math
import platform
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError
from acclimate.storage.store import digest, write_atomic

if TYPE_CHECKING:
    import pandas as pd

PACKAGES: Final = ("acclimate", "torch", "timm", "numpy")
IDENTITY: Final = ("weights", "fingerprint", "protocol", "settings", "seed", "labels")
PARTS: Final = ("train", "val", "test")
COLUMNS: Final = ("model", "dataset", "protocol", "metric", "value", "seed", "split", "labels")


@dataclass(frozen=True)
class Result:
    """One row: what was run on what, and what came out.

    Attributes
    ----------
    model, dataset, protocol
        Names, for people.
    metrics
        Split (`val`, and `test` if there is one) -> name of a metric -> value; nan where it is undefined.
    settings
        What was asked of the protocol, JSON-able. It identifies the row, so it must be known before the run.
    labels
        Label budget; None for all labels.
    trainable, total
        Numbers of parameters.
    random_start
        Whether the backbone began from random weights.
    fingerprint, weights
        Digests of the data and of the model the run began with.
    seconds
        Wall time of the run.
    images_per_second, peak_memory_mb
        None where it was not measured.
    created
        UTC, ISO 8601.
    chosen
        What the run found by validation, such as k or C; JSON-able and no part of the identity.
    """

    model: str
    dataset: str
    protocol: str
    seed: int
    metrics: Mapping[str, Mapping[str, float]]
    settings: Mapping[str, Any]
    labels: str | int | float | None
    trainable: int
    total: int
    random_start: bool
    fingerprint: str
    weights: str
    versions: Mapping[str, str]
    seconds: float
    images_per_second: float | None
    peak_memory_mb: float | None
    device: str
    precision: str
    created: str
    chosen: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The name of the row's files: a digest of everything that identifies it, see `row_key`."""
        return row_key(**{name: getattr(self, name) for name in IDENTITY})


@dataclass(frozen=True, eq=False)
class Predictions:
    """Probabilities behind a row.

    Attributes
    ----------
    probabilities, labels
        ``(m, C)``; the true classes ``(m,)``.
    index
        Which images of the data set ``(m,)``, so that two rows can be paired.
    part
        Which part each image belongs to ``(m,)``, as its place in `PARTS`; None in files of an older program.
    """

    probabilities: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    index: npt.NDArray[np.int64]
    part: npt.NDArray[np.uint8] | None = None


def part_codes(part: str, n: int) -> npt.NDArray[np.uint8]:
    """Return `Predictions.part` of n images of one part."""
    return np.full(n, PARTS.index(part), dtype=np.uint8)


def row_key(
    *,
    weights: str,
    fingerprint: str,
    protocol: str,
    settings: Mapping[str, Any],
    seed: int,
    labels: str | int | float | None,
) -> str:
    """Return the key of a row from what is known before it is run: 24 hexadecimal digits."""
    return digest("row", weights, fingerprint, protocol, dict(settings), seed, labels)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on, importing none of them."""
    return {"python": platform.python_version(), **installed(PACKAGES)}


@functools.cache  # they cannot change while the program runs, and finding them takes as long as a small score
def installed(names: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of some packages without importing them; `not installed` for one that is missing."""
    present = {}
    for name in names:
        try:
            present[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            present[name] = "not installed"
    return present


@dataclass(frozen=True)
class Results:
    """A folder of rows. The first `append` makes it; a missing folder has no rows."""

    folder: Path

    def append(self, result: Result, predictions: Predictions | None = None) -> None:
        """Keep a row, and the predictions behind it.

        A row with the same key is the same run done again and takes the old one's place; None keeps the
        predictions that were there.

        Raises DataError: settings or metrics that JSON cannot hold; predictions whose shapes do not match. Raises
        InputError: no permission, no space.
        """
        text = _encode(result, has_predictions=predictions is not None or self._npz(result.key).exists())
        if predictions is not None:
            write_atomic(self._npz(result.key), _packed(predictions))
        write_atomic(self._json(result.key), text)

    def has(self, key: str) -> bool:
        """Whether the row of this key is there."""
        return self._json(key).is_file()

    def get(self, key: str) -> Result:
        """Return one row; a `DataError` says that there is none, or that its file is damaged."""
        path = self._json(key)
        if not path.is_file():
            raise DataError(f"there is no row {key} in {self.folder / 'rows'}; run that protocol first")
        return _decode(path)

    def rows(self) -> list[Result]:
        """Return all rows, by model, data set, protocol, labels and seed; a damaged file is a `DataError`."""
        # A writer's unfinished files begin with a dot.
        paths = [path for path in (self.folder / "rows").glob("*.json") if not path.name.startswith(".")]
        return sorted(map(_decode, paths), key=lambda r: (r.model, r.dataset, r.protocol, str(r.labels), r.seed, r.key))

    def predictions(self, key: str) -> Predictions:
        """Return the predictions behind a row; a `DataError` says that none were kept, or that they are damaged."""
        path = self._npz(key)
        if not path.is_file():
            raise DataError(f"row {key} has no predictions in {path.parent}; run it again to keep them")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                part = arrays.get("part")
                return Predictions(arrays["probabilities"], arrays["labels"], arrays["index"], part)
        except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is damaged ({error}); delete it and its row, and run it again") from error

    def frame(self) -> pd.DataFrame:
        """Return all rows in long format: one line for each metric of each split, columns `COLUMNS`."""
        import pandas as pd  # slow to import, and rows are read without it

        lines = [
            (row.model, row.dataset, row.protocol, name, value, row.seed, split, row.labels)
            for row in self.rows()
            for split, metrics in row.metrics.items()
            for name, value in metrics.items()
        ]
        return pd.DataFrame(lines, columns=list(COLUMNS))

    def _json(self, key: str) -> Path:
        return self.folder / "rows" / f"{key}.json"

    def _npz(self, key: str) -> Path:
        return self.folder / "predictions" / f"{key}.npz"


def plain(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    """Return metrics for JSON, which has no nan: None stands for it."""
    return {
        split: {name: float(value) if math.isfinite(value) else None for name, value in values.items()}
        for split, values in metrics.items()
    }


def _encode(result: Result, *, has_predictions: bool) -> str:
    document = {"key": result.key, "predictions": has_predictions, **asdict(result)}
    document["metrics"] = plain(result.metrics)
    try:
        return json.dumps(document, indent=1, allow_nan=False, default=_scalar) + "\n"
    except (TypeError, ValueError) as error:
        raise DataError(f"row of {result.model} cannot be written as JSON: {error}; use finite plain values") from error


def _scalar(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is no JSON value")


def _decode(path: Path) -> Result:
    """Return the row of a file, or raise `DataError` with its name."""
    try:
        document = json.loads(path.read_text("utf-8"))
        key = document.pop("key")
        document.pop("predictions")
        row = Result(**document)
        metrics = {
            split: {name: math.nan if value is None else value for name, value in values.items()}
            for split, values in row.metrics.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        names = ", ".join(["key", "predictions", *(f.name for f in fields(Result))])
        raise DataError(
            f"{path} is no result row ({error}); expected JSON with {names}: delete it and run it again"
        ) from error
    if not key == row.key == path.stem:
        raise DataError(f"{path} was changed: its content has the key {row.key}; delete it and run that protocol again")
    return replace(row, metrics=metrics)


def _packed(predictions: Predictions) -> bytes:
    """Return the .npz file of predictions after a check of their shapes."""
    m = len(predictions.labels)
    shapes = predictions.probabilities.shape, predictions.labels.shape, predictions.index.shape
    if len(shapes[0]) != 2 or shapes[0][0] != m or shapes[1:] != ((m,), (m,)):
        raise DataError(f"predictions have shapes {shapes}; expected (m, C), (m,) and (m,)")
    if predictions.part is not None and (predictions.part.shape != (m,) or (predictions.part >= len(PARTS)).any()):
        raise DataError(f"predictions have parts {predictions.part}; expected (m,) places among {', '.join(PARTS)}")
    types = {"probabilities": np.float32, "labels": np.int64, "index": np.int64, "part": np.uint8}
    values = {name: getattr(predictions, name) for name in types}
    arrays: dict[str, Any] = {name: np.asarray(a, types[name]) for name, a in values.items() if a is not None}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
