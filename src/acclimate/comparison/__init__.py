"""Does a cheap protocol foresee an expensive one: asked of any table of results. No torch."""

from acclimate.comparison.analysis import analyse
from acclimate.comparison.domain_shifts import read_shifts
from acclimate.comparison.images import ImageDraw, StoredImages
from acclimate.comparison.matrix import Matrix, matrices
from acclimate.comparison.question import Question
from acclimate.comparison.table import keep, read_table
from acclimate.stats import STATISTICS, correlate

__all__ = [
    "STATISTICS",
    "ImageDraw",
    "Matrix",
    "Question",
    "StoredImages",
    "analyse",
    "correlate",
    "keep",
    "matrices",
    "read_shifts",
    "read_table",
]
