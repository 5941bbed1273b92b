"""How far a cheap protocol can be trusted to predict an expensive one, from any table of results. No torch."""

from acclimate.agreement.analysis import analyse
from acclimate.agreement.images import ImageDraw, StoredImages
from acclimate.agreement.measures import STATISTICS, measure
from acclimate.agreement.question import Question
from acclimate.agreement.shifts import read_shifts
from acclimate.agreement.table import keep, read_table

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
