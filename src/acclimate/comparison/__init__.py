"""How far a cheap protocol can be trusted to predict an expensive one, from any table of results. No torch."""

from acclimate.comparison.analysis import analyse
from acclimate.comparison.domain_shifts import read_shifts
from acclimate.comparison.images import ImageDraw, StoredImages
from acclimate.comparison.question import Question
from acclimate.comparison.table import keep, read_table
from acclimate.stats.correlations import STATISTICS, measure

__all__ = [
    "STATISTICS",
    "ImageDraw",
    "Question",
    "StoredImages",
    "analyse",
    "keep",
    "measure",
    "read_shifts",
    "read_table",
]
