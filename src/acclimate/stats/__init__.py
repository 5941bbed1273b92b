"""Statistics: one prediction's numbers, intervals, rank correlations, and what chance does.

No other room resamples. `LEVEL` is that of every interval that is shown, `METRICS` all that is said of a metric.
"""

from acclimate.stats.correlations import LEAST_MODELS as LEAST_MODELS
from acclimate.stats.correlations import STATISTICS as STATISTICS
from acclimate.stats.correlations import correlate as correlate
from acclimate.stats.correlations import midranks as midranks
from acclimate.stats.correlations import spearman as spearman
from acclimate.stats.intervals import Interval as Interval
from acclimate.stats.intervals import MeanInterval as MeanInterval
from acclimate.stats.intervals import at_level as at_level
from acclimate.stats.intervals import bootstrap_interval as bootstrap_interval
from acclimate.stats.intervals import mean_interval as mean_interval
from acclimate.stats.intervals import outer_percentiles as outer_percentiles
from acclimate.stats.intervals import paired_difference as paired_difference
from acclimate.stats.intervals import paired_over as paired_over
from acclimate.stats.intervals import percentile_interval as percentile_interval
from acclimate.stats.intervals import share_interval as share_interval
from acclimate.stats.intervals import two_way_curves as two_way_curves
from acclimate.stats.metrics import METRICS as METRICS
from acclimate.stats.metrics import Metric as Metric
from acclimate.stats.metrics import larger_is_better as larger_is_better
from acclimate.stats.resampling import LEVEL as LEVEL
from acclimate.stats.resampling import RESAMPLES as RESAMPLES
from acclimate.stats.resampling import benjamini_hochberg as benjamini_hochberg
from acclimate.stats.resampling import bootstrap_counts as bootstrap_counts
from acclimate.stats.resampling import holm as holm
from acclimate.stats.resampling import permutation_p as permutation_p
from acclimate.stats.resampling import student as student
from acclimate.stats.ties import model_set as model_set
from acclimate.stats.ties import ranks_with_ties as ranks_with_ties
