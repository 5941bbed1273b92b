"""Does a cheap protocol foresee an expensive one: asked of any table of results. No torch."""

from acclimate.comparison.analysis import analyse as analyse
from acclimate.comparison.domains import Matrix as Matrix
from acclimate.comparison.domains import matrices as matrices
from acclimate.comparison.domains import read_shifts as read_shifts
from acclimate.comparison.question import Question as Question
from acclimate.comparison.resamples import ImageDraw as ImageDraw
from acclimate.comparison.resamples import StoredImages as StoredImages
from acclimate.comparison.table import keep as keep
from acclimate.comparison.table import read_table as read_table
from acclimate.stats import STATISTICS as STATISTICS
from acclimate.stats import correlate as correlate
