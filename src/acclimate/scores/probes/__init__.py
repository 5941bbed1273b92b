"""Probes: classifiers of features that are fitted on training images and judged on others.

To add one: a file here with its settings, a function `fitted` (see `base.Probe`) and its description, and a line in
`PROBES`; the contract tests then cover it. `episodes` is no classifier and stands beside them.
"""

from __future__ import annotations

from typing import Any, Final

from acclimate.scores.base import Probe
from acclimate.scores.probes import knn, logistic, ncm, ridge

PROBES: Final[dict[str, Probe[Any]]] = {
    "knn": knn.KNN,
    "ncm": ncm.NCM,
    "ridge": ridge.RIDGE,
    "logistic": logistic.LOGISTIC,
}
