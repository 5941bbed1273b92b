"""The interface of a probe, the types of features, and the checks that all scores share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from acclimate.errors import DataError
from acclimate.stats.metrics import Labels, log_losses

Features = npt.NDArray[np.floating[Any]]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

# Working memory of one block, in bytes: large enough for a fast matrix product, small beside the features.
BLOCK_BYTES: Final = 16 * 2**20


# Changes of all features (the first two: of the images and the classes) under which no prediction changes.
Law = Literal["order", "labels", "columns", "rotation", "shift", "scale"]


class ProbeSettings(BaseModel):
    """What a user may choose about one probe; an unknown key is an error. The defaults choose on validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


OwnSettings = TypeVar("OwnSettings", bound=ProbeSettings)


class FittedProbe(Protocol):
    """A probe that is fitted to its training features."""

    @property
    def name(self) -> str:
        """The name in `PROBES`."""

    @property
    def settings(self) -> dict[str, Any]:
        """What validation chose, and what was fixed; JSON-able."""

    def predict_proba(self, x: Features) -> Float64:
        """Return class probabilities (m, C), rows summing to one, of features (m, d)."""


@dataclass(frozen=True, eq=False)
class ProbeData:
    """What a probe is fitted on, checked: training and validation features and labels; see `Probe.fit`."""

    x: Features
    y: Labels
    x_val: Features
    y_val: Labels
    n_classes: int


@dataclass(frozen=True)
class Probe(Generic[OwnSettings]):
    """An entry of `PROBES`."""

    fitted: Callable[[ProbeData, OwnSettings], FittedProbe]  # fits and chooses settings
    settings: type[OwnSettings]
    meaning: str  # the meaning of the number, in one sentence for users
    # What its predictions do not depend on, with default settings: the order of the images, the names of the classes,
    # the order of the columns, and one rotation, shift or (positive) scale of all features. Tests check these.
    laws: frozenset[Law]

    def fit(
        self,
        x: Features,
        y: Labels,
        x_val: Features,
        y_val: Labels,
        *,
        n_classes: int,
        seed: int,
        settings: OwnSettings | None = None,
    ) -> FittedProbe:
        """Fit on training features and choose settings on validation features.

        Raises `DataError`: shapes that do not match, a value that is not finite (with the index of its row), a label
        out of range.

        Parameters
        ----------
        x : (n, d) floats
            Training features, finite. n < d is fine. Never changed; a probe may keep a view of them.
        y : (n,) integers in [0, n_classes)
            Training labels; at least two classes occur. A class that does not occur gets probability 0.
        x_val, y_val : (v, d) floats, (v,) integers
            Validation features and labels, on which settings are chosen; v >= 1.
        n_classes : int
            C, the number of columns of the probabilities.
        seed : int
            For probes that draw random numbers; none of `PROBES` does.
        settings : ProbeSettings, optional
            Of the probe's own class; None for its defaults.
        """
        check_fit(x, y, x_val, y_val, n_classes)
        return self.fitted(ProbeData(x, y, x_val, y_val, n_classes), settings or self.settings())


def check_fit(x: Features, y: Labels, x_val: Features, y_val: Labels, n_classes: int) -> None:
    """Raise `DataError` for training and validation data that no probe can use."""
    check_features(x, "training features")
    check_features(x_val, "validation features", width=x.shape[1])
    check_labels(y, len(x), n_classes, "training")
    check_labels(y_val, len(x_val), n_classes, "validation")
    if y.min() == y.max():
        raise DataError(
            f"all {len(y)} training labels are class {y[0]}; a score needs two classes or more: "
            "label images of another class"
        )


def check_features(x: Features, what: str, *, width: int | None = None) -> None:
    """Raise `DataError` unless `x` is a non-empty matrix of finite floats, `width` columns wide if given."""
    if x.ndim != 2 or 0 in x.shape:
        raise DataError(f"{what} have shape {x.shape}; expected (n, d) with n and d of at least 1")
    if not np.issubdtype(x.dtype, np.floating):
        raise DataError(f"{what} have type {x.dtype}; expected float32 or float64")
    if width is not None and x.shape[1] != width:
        raise DataError(f"{what} have {x.shape[1]} columns; expected {width} as the training features")
    for rows in blocks(len(x), 8 * x.shape[1]):
        finite = np.isfinite(x[rows])
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise DataError(
                f"row {rows.start + row} of the {what} has {x[rows.start + row, column]} in column {column}; "
                "expected finite numbers: leave that image out or extract its features again"
            )


def check_labels(y: Labels, n: int, n_classes: int, what: str) -> None:
    """Raise `DataError` unless `y` is (n,) integers in [0, n_classes)."""
    if y.shape != (n,):
        raise DataError(f"{what} labels have shape {y.shape}; expected ({n},), one per row of the features")
    if not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"{what} labels have type {y.dtype}; expected integers")
    if y.min() < 0 or y.max() >= n_classes:
        row = int(np.argmax((y < 0) | (y >= n_classes)))
        raise DataError(f"{what} label {y[row]} of row {row} is outside 0..{n_classes - 1}; pass labelled images only")


def blocks(n: int, bytes_per_row: int, *, size: int | None = None, at_least: int = 0) -> list[slice]:
    """Cut range(n) into slices of about `size` bytes each (`BLOCK_BYTES`), or of `at_least` where that is more."""
    step = max(1, max(size or BLOCK_BYTES, at_least) // max(1, bytes_per_row))
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def judge(probabilities: Float64, labels: Labels) -> tuple[float, float]:
    """Return accuracy and mean log loss (nats): what settings are chosen by."""
    right = np.argmax(probabilities, axis=1) == labels
    return float(right.mean()), float(log_losses(probabilities, labels).mean())
