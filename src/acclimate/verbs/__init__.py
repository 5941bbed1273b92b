"""The commands as Python functions: names in, one JSON-able document out, the same keys as ``--json`` prints."""

from acclimate.verbs.choose import rank, report
from acclimate.verbs.common import Options
from acclimate.verbs.data import check, embed, models, score
from acclimate.verbs.runs import adapt, export, predict, tune

__all__ = [
    "Options",
    "adapt",
    "check",
    "embed",
    "export",
    "models",
    "predict",
    "rank",
    "report",
    "score",
    "tune",
]
