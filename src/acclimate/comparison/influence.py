"""Whether a single model carries the answer: the answer without each model in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from acclimate.comparison.cells import Pairing

SHOWN: Final = 10
_NUMBERS: Final = ("pearson", "spearman", "regret")


def influence(cells: Sequence[Pairing], names: Sequence[str]) -> dict[str, Any]:
    """Return the range of Spearman's correlation without one model, and the models that move it most.

    Of several cells the mean is meant. `most` is ordered by the size of `change`: without the model less with it.
    """
    empty: dict[str, Any] = {"spearman_low": None, "spearman_high": None, "most": []}
    defined = [cell for cell in cells if np.isfinite(cell.point["spearman"])]
    if not defined or min(cell.n for cell in defined) < 4:  # of two models left nothing can be said
        return empty
    without = {name: np.mean([cell.alone[name] for cell in defined], axis=0) for name in _NUMBERS}
    change = without["spearman"] - np.mean([cell.point["spearman"] for cell in defined])
    moved = np.where(np.isfinite(change), np.abs(change), -1)
    order = np.argsort(-moved, kind="stable")[:SHOWN]
    rows = without["spearman"][np.isfinite(without["spearman"])]
    if rows.size == 0:
        return empty
    return {
        "spearman_low": float(rows.min()),
        "spearman_high": float(rows.max()),
        "most": [
            {"model": names[i], "change": float(change[i]), **{name: _plain(without[name][i]) for name in _NUMBERS}}
            for i in order
            if moved[i] >= 0
        ],
    }


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
