"""What needs no look at the data set at all: the mean rank on the others, and a list ordered by size.

On the usual benchmarks such a fixed list beats most scores of transferability, so it stands beside every proxy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from acclimate.comparison.sides import ScoreColumn, mean_over
from acclimate.stats.correlations import Float64, midranks

if TYPE_CHECKING:
    import pandas as pd

SIZES: Final = ("parameters", "params", "n_params", "param_count", "param_count_M", "params_M", "total", "size")


def static_list(target: ScoreColumn, others: Sequence[ScoreColumn]) -> Float64 | None:
    """Return each model's mean rank (n,) in the target protocol on the other data sets, best first: larger is better.

    Ranks are scaled to (0, 1), so that data sets with missing models count the same. None without another data set.
    """
    elsewhere = [column for column in others if column.dataset != target.dataset]
    if not elsewhere:
        return None
    values = [column.means * column.sign for column in elsewhere]
    return mean_over(np.stack([(midranks(v) - 0.5) / max(1, int(np.isfinite(v).sum())) for v in values], axis=1))


def size_list(frame: pd.DataFrame, models: Sequence[str]) -> Float64 | None:
    """Return each model's number of parameters (n,) from the first column of `SIZES`; None where there is none."""
    import pandas as pd

    name = next((name for name in SIZES if name in frame.columns), None)
    if name is None:
        return None
    numbers = pd.to_numeric(frame[name], errors="coerce").groupby(frame["model"]).first()
    sizes = numbers.reindex([*models]).to_numpy(dtype=np.float64)
    return sizes if np.isfinite(sizes).any() else None
